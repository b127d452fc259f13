"""Recordings as text: one line a sample, one column a lead."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .channels import COUNTS_PER_MV, INT16, Channels, IntArray
from .records import FloatArray, Int16Array

COUNTS = "counts"  # as units: the column holds the ADC's own counts
DEFAULT_GAIN = 1000.0  # counts per mV: 1 uV a count, up to 32.767 mV
TIME_NAMES = ("time", "t", "time_s", "time (s)", "time [s]", "seconds")
DELIMITERS = (";", "\t", ",")
LINE_CHARS_MAX = 10_000
BLOCK_LINES = 65_536


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """What the numbers of a CSV file mean.

    Parameters
    ----------
    fs : sample rate in Hz.
    units : a key of `COUNTS_PER_MV`, or "counts".
    gain : counts per mV of the recording made from it, 1000 where None; of counts, their own.
    baseline : the count that means 0 mV, 0 where None.
    """

    fs: float | None = None
    units: str | None = None
    gain: float | None = None
    baseline: int | None = None


def parse_option(name: str, text: str, where: str) -> Any:
    """Return the value of the `CsvOptions` field `name` that `text` writes.

    Raises
    ------
    ValueError : the text breaks the option's rule; it names `where`.
    """
    parse, rule = OPTION_RULES[name]
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{where}: {name} must be {rule}, got {text!r}") from error


def read_csv(path: Path, options: CsvOptions, names: Sequence[str] | None = None) -> Channels:
    """Read the CSV file `path`; all of it, since text has no random access.

    Lines at its top that start with # may give options, as `convert` writes them; a first line
    without any number names the columns. A column named time (in seconds) is no lead, and
    must go up by one sample interval a line.

    Parameters
    ----------
    options : what the file does not say itself.
    names : the columns to read, as the file names them, or their numbers from 1; default all.

    Raises
    ------
    ValueError : an option is missing, a value is not a finite number or too large, or a line is
        out of step; the text names file, line, rule and value.
    """
    if not path.is_file():
        raise ValueError(f"{path}: must be there, got no file")
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = _numbered_lines(path, file)
            head = _read_head(path, lines, options)
            columns = _chosen_columns(path, head, names)
            counts = _read_counts(path, head, lines, columns)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be text in UTF-8, got {error}") from error

    def read(start: int, stop: int, wanted: Sequence[int]) -> IntArray:
        return counts[start:stop, wanted]

    return Channels(
        where=str(path),
        fs=head.fs,
        leads=tuple(head.names[column] for column in columns),
        adc_gains=(head.gain,) * len(columns),
        baselines=(head.baseline,) * len(columns),
        n_samples=len(counts),
        read=read,
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a file before its numbers: a value v is v * factor + baseline counts."""

    fs: float
    units: str
    gain: float
    baseline: int
    names: tuple[str, ...]
    delimiter: str
    first: tuple[int, str]

    @property
    def factor(self) -> float:
        return 1.0 if self.units == COUNTS else self.gain / COUNTS_PER_MV[self.units]

    @property
    def offset(self) -> int:
        return 0 if self.units == COUNTS else self.baseline

    @property
    def time_column(self) -> int | None:
        found = [i for i, name in enumerate(self.names) if name.lower() in TIME_NAMES]
        return found[0] if found else None


def _numbered_lines(path: Path, file: TextIO) -> Iterator[tuple[int, str]]:
    """Yield every line with its number, from 1; a line that never ends is an error."""
    for number in itertools.count(1):
        line = file.readline(LINE_CHARS_MAX)
        if not line:
            return
        if len(line) == LINE_CHARS_MAX:
            raise ValueError(
                f"{path}, line {number}: must have fewer than {LINE_CHARS_MAX} characters"
            )
        yield number, line.strip()


def _read_head(path: Path, lines: Iterator[tuple[int, str]], options: CsvOptions) -> _Head:
    """Read up to the first line of numbers, which is then `first`."""
    names: tuple[str, ...] = ()
    for number, line in lines:
        if line.startswith("#"):
            options = _with_comment(options, line.lstrip("# "), f"{path}, line {number}")
            continue
        delimiter = next((mark for mark in DELIMITERS if mark in line), ",")
        cells = [cell.strip() for cell in line.split(delimiter)]
        if not names and all(map(is_name, cells)):
            names = tuple(cells)
            continue
        names = names or tuple(f"column {column}" for column in range(1, len(cells) + 1))
        fs, units, gain = _checked(path, options)
        return _Head(fs, units, gain, options.baseline or 0, names, delimiter, (number, line))
    raise ValueError(f"{path}: must hold lines of numbers, got none")


def _with_comment(options: CsvOptions, line: str, where: str) -> CsvOptions:
    """Return `options` and those the comment gives; one about something else gives none."""
    pairs = [part.partition("=") for part in line.split(",")]
    for name, _, text in pairs:
        if name in OPTION_RULES:
            value, given = parse_option(name, text.strip(), where), getattr(options, name)
            if given not in (None, value):
                raise ValueError(f"{where}: {name} is {value} here, got {name}={given} as well")
            options = replace(options, **{name: value})
    return options


def _checked(path: Path, options: CsvOptions) -> tuple[float, str, float]:
    fs, units, gain = options.fs, options.units, options.gain
    if fs is None or units is None:
        missing = "fs" if fs is None else "units"
        raise ValueError(f"{path}: {missing} must be given, such as {path},fs=250,units=mV")
    if gain is None and units == COUNTS:
        raise ValueError(f"{path}: gain, in counts per mV, must be given where units=counts")
    return fs, units, DEFAULT_GAIN if gain is None else gain


def _chosen_columns(path: Path, head: _Head, names: Sequence[str] | None) -> list[int]:
    """Return the columns of the signals called `names`; default all but the time."""
    leads = [column for column in range(len(head.names)) if column != head.time_column]
    column_by_name = {str(column + 1): column for column in leads}
    column_by_name |= {head.names[column]: column for column in leads}
    if names is None:
        names = [head.names[column] for column in leads]
    for name in names:
        if name not in column_by_name:
            there = ", ".join(head.names[column] for column in leads)
            raise ValueError(f"{path}: channels must be among {there}, got {name}")
    if not names:
        raise ValueError(f"{path}: must have a column with a lead, got none")
    return [column_by_name[name] for name in names]


def _read_counts(
    path: Path, head: _Head, lines: Iterator[tuple[int, str]], columns: Sequence[int]
) -> Int16Array:
    blocks = []
    time_before: float | None = None
    numbered = itertools.chain([head.first], lines)
    while block := list(itertools.islice(numbered, BLOCK_LINES)):
        values = _parse_block(path, head, block)
        if head.time_column is not None:
            times = values[:, head.time_column]
            _check_time(path, head.fs, times, time_before, block[0][0])
            time_before = float(times[-1])
        counts = np.rint(values[:, columns] * head.factor) + head.offset
        _check_range(path, head, values[:, columns], counts, columns, block[0][0])
        blocks.append(counts.astype(np.int16))
    return np.concatenate(blocks)


def _parse_block(path: Path, head: _Head, block: Sequence[tuple[int, str]]) -> FloatArray:
    """Return the numbers of some lines, float64 (n_lines, n_columns)."""
    rows = [line.split(head.delimiter) for _, line in block]
    try:
        values = np.array(rows, np.float64)
        if values.shape == (len(block), len(head.names)) and np.isfinite(values).all():
            return values
    except ValueError:
        pass  # the loop below finds the line
    for (number, _), cells in zip(block, rows, strict=True):
        where = f"{path}, line {number}"
        if len(cells) != len(head.names):
            raise ValueError(f"{where}: must have {len(head.names)} columns, got {len(cells)}")
        for name, cell in zip(head.names, cells, strict=True):
            if not _is_number(cell):
                raise ValueError(
                    f"{where}: {name} must be a finite number (a gap cannot be replayed), "
                    f"got {cell[:40]!r}"
                )
    raise AssertionError("a block that numpy refuses has a cell that Python refuses")


def _check_time(
    path: Path, fs: float, times: FloatArray, before: float | None, first_line: int
) -> None:
    """Raise ValueError where the time goes on by anything but about one sample interval."""
    steps = np.diff(times, prepend=times[0] - 1 / fs if before is None else before)
    wrong = np.flatnonzero(~((steps > 0.5 / fs) & (steps < 1.5 / fs)))
    if len(wrong):
        raise ValueError(
            f"{path}, line {first_line + wrong[0]}: time must go up by 1/fs = {1 / fs:.6g} s a "
            f"line, got {steps[wrong[0]]:.6g} s"
        )


def _check_range(
    path: Path,
    head: _Head,
    values: FloatArray,
    counts: FloatArray,
    columns: Sequence[int],
    first_line: int,
) -> None:
    too_large = np.argwhere((counts < INT16.min) | (counts > INT16.max))
    if len(too_large):
        row, column = too_large[0]
        low, high = ((edge - head.offset) / head.factor for edge in (INT16.min, INT16.max))
        raise ValueError(
            f"{path}, line {first_line + row}: {head.names[columns[column]]} must be within "
            f"{low:.6g} to {high:.6g} {head.units}, the range of 16 bits at gain="
            f"{head.gain:g} counts/mV, got {values[row, column]:.6g}; are the units right?"
        )
    if head.units == COUNTS and len(broken := np.argwhere(values != counts)):
        row, column = broken[0]
        raise ValueError(
            f"{path}, line {first_line + row}: counts must be whole numbers, "
            f"got {values[row, column]:.6g}"
        )


def is_name(cell: str) -> bool:
    """Return whether `cell` can stand in a line of names: it is there, and no number, nor NaN."""
    try:
        float(cell)
    except ValueError:
        return bool(cell)
    return False


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


def _units(text: str) -> str:
    if text not in (*COUNTS_PER_MV, COUNTS):
        raise ValueError
    return text


OPTION_RULES: dict[str, tuple[Callable[[str], Any], str]] = {
    "fs": (_positive, "a positive number of Hz"),
    "units": (_units, f"one of {', '.join((*COUNTS_PER_MV, COUNTS))}"),
    "gain": (_positive, "a positive number of counts per mV"),
    "baseline": (int, "a whole number of counts"),
}
