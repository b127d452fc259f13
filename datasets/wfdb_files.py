"""WFDB records: a .hea header and its .dat signals. wfdb's objects stop here.

References
----------
Formats: https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .channels import COUNTS_PER_MV, Channels, IntArray

HEADER_BYTES_MAX = 100_000  # one of 12 leads has about a thousand
DEFAULT_GAIN = 200.0  # counts per mV where a header states none (header-5.htm)

BITS_AND_MISSING = {
    "16": (16, -(2**15)),
    "24": (24, -(2**23)),
    "32": (32, -(2**31)),
    "61": (16, -(2**15)),
    "80": (8, -(2**7)),
    "160": (16, -(2**15)),
    "212": (12, -(2**11)),
}
"""Bits a sample by format, and the value that marks a missing one; those with random access."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RECORD_FIELDS = (
    ("record name", r"(?P<record>[\w-]+)(?P<segments>/\d+)?"),
    ("number of signals", r"(?P<n_signals>\d{1,4})"),
    ("fs", rf"(?P<fs>{NUMBER})(?:/{NUMBER}(?:\({NUMBER}\))?)?"),
    ("number of samples", r"(?P<n_samples>\d{1,18})"),
    ("time", r"[\d:.]+"),
    ("date", r"[\d/]+"),
)
SIGNAL_FIELDS = (
    ("file", r"(?P<file>\w[\w.-]*)"),
    ("format", r"(?P<fmt>\d+)(?P<frame>x\d+)?(?P<skew>:\d+)?(?:\+(?P<offset>\d{1,9}))?"),
    ("gain", rf"(?P<gain>{NUMBER})(?:\((?P<baseline>[-+]?\d{{1,9}})\))?(?:/(?P<units>\S+))?"),
    ("resolution", r"\d+"),
    ("ADC zero", r"(?P<zero>[-+]?\d{1,9})"),
    ("first value", r"[-+]?\d+"),
    ("checksum", r"[-+]?\d+"),
    ("block size", r"[-+]?\d+"),
    ("description", r"(?P<name>.+)"),
)
"""The fields of a header's lines (header-5.htm) as regular expressions; later ones may be absent.
wfdb takes defaults for what it cannot parse, 250 Hz for a rate of -1; so it does not get to."""


@dataclass(frozen=True, slots=True)
class WfdbRecord:
    """What a WFDB header says, and the way to the samples.

    Parameters
    ----------
    channels : the signals.
    comments : the header's comment lines, without their #.
    """

    channels: Channels
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Signal:
    file: str
    fmt: str
    offset: int
    gain: float
    baseline: int
    units: str
    name: str


@dataclass(frozen=True, slots=True)
class _Header:
    fs: float
    n_samples: int | None
    signals: tuple[_Signal, ...]
    comments: tuple[str, ...]


def read_wfdb(path: Path, names: Sequence[str] | None = None) -> WfdbRecord:
    """Read the header `path`, a .hea file, and check it against its signal files.

    A header without a gain means 200 counts a mV, as everywhere in WFDB.

    Parameters
    ----------
    names : the signals to open, as the header names them; default all.

    Raises
    ------
    ValueError : a file is missing, of another size than the header claims, or breaks a rule; a
        signal is no voltage. The text names file, rule and value.
    """
    header = _parse_header(path)
    n_samples = _n_samples(path, header)
    labels = [signal.name for signal in header.signals]
    for name in names or ():
        if name not in labels:
            raise ValueError(f"{path}: channels must be among {', '.join(labels)}, got {name}")
    wanted = range(len(labels)) if names is None else [labels.index(name) for name in names]
    calibrations = [_calibration(path, header.signals[number]) for number in wanted]

    def read(start: int, stop: int, columns: Sequence[int]) -> IntArray:
        return _read_valid(path, header, start, stop, [wanted[column] for column in columns])

    channels = Channels(
        where=str(path),
        fs=header.fs,
        leads=tuple(labels[number] for number in wanted),
        adc_gains=tuple(gain for gain, _ in calibrations),
        baselines=tuple(baseline for _, baseline in calibrations),
        n_samples=n_samples,
        read=read,
    )
    return WfdbRecord(channels, header.comments)


def _parse_header(path: Path) -> _Header:
    if _file_bytes(path) > HEADER_BYTES_MAX:
        raise ValueError(
            f"{path}: a header must have at most {HEADER_BYTES_MAX} bytes, "
            f"got {path.stat().st_size}"
        )
    try:
        numbered = list(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be text, got {error}") from error
    lines = [(f"{path}, line {n}", t.strip()) for n, t in numbered if t.strip()]
    comments = tuple(text.strip("# \t") for _, text in lines if text.startswith("#"))
    (where, first), *others = [line for line in lines if not line[1].startswith("#")] or [
        (str(path), "")
    ]
    record = _parse_fields(where, first, RECORD_FIELDS, n_needed=3)
    if record["segments"]:
        raise ValueError(f"{where}: must describe one segment, got {record['segments'][1:]}")
    n_signals, fs = int(record["n_signals"]), float(record["fs"])
    if not (math.isfinite(fs) and fs > 0):
        raise ValueError(f"{where}: fs must be positive, got {record['fs']}")
    if not n_signals or n_signals != len(others):
        raise ValueError(f"{where}: number of signals must be {len(others)}, got {n_signals}")
    signals = tuple(
        _parse_signal(where, text, number) for number, (where, text) in enumerate(others, start=1)
    )
    n_samples = record.get("n_samples")
    return _Header(fs, int(n_samples) if n_samples else None, signals, comments)


def _parse_signal(where: str, text: str, number: int) -> _Signal:
    fields = _parse_fields(where, text, SIGNAL_FIELDS, n_needed=2)
    fmt, skew, frame = fields["fmt"], fields["skew"] or ":0", fields["frame"] or "x1"
    for rule, value, ok, wanted in (
        ("format", fmt, fmt in BITS_AND_MISSING, f"one of {', '.join(BITS_AND_MISSING)}"),
        ("samples per frame", frame[1:], int(frame[1:]) == 1, "1: one rate for all signals"),
        ("skew", skew[1:], int(skew[1:]) == 0, "0"),
    ):
        if not ok:
            raise ValueError(f"{where}: {rule} must be {wanted}, got {value}")
    return _Signal(
        file=fields["file"],
        fmt=fmt,
        offset=int(fields["offset"] or 0),
        gain=float(fields.get("gain") or 0) or DEFAULT_GAIN,
        baseline=int(fields.get("baseline") or fields.get("zero") or 0),
        units=fields.get("units") or "mV",
        name=fields.get("name") or f"signal {number}",
    )


def _parse_fields(
    where: str, text: str, fields: Sequence[tuple[str, str]], n_needed: int
) -> dict[str, str]:
    """Return the named groups of the `fields` of a line, of which the first few must be there."""
    cells = text.split(maxsplit=len(fields) - 1)
    if len(cells) < n_needed:
        raise ValueError(f"{where}: {fields[len(cells)][0]} must be there, got {text!r}")
    groups: dict[str, str] = {}
    for (name, pattern), cell in zip(fields, cells, strict=False):
        match = re.fullmatch(pattern, cell, re.ASCII)
        if match is None:
            raise ValueError(f"{where}: {name} must be as WFDB writes it, got {cell[:60]!r}")
        groups |= match.groupdict()
    return groups


def _calibration(path: Path, signal: _Signal) -> tuple[float, int]:
    """Return counts per mV and the count that means 0 mV."""
    if signal.units not in COUNTS_PER_MV:
        raise ValueError(
            f"{path}: units of {signal.name} must be one of {', '.join(COUNTS_PER_MV)}, "
            f"got {signal.units}; name the signals to read with channels="
        )
    if not (math.isfinite(signal.gain) and signal.gain > 0):
        raise ValueError(f"{path}: gain of {signal.name} must be positive, got {signal.gain:g}")
    return signal.gain * COUNTS_PER_MV[signal.units], signal.baseline


def _n_samples(path: Path, header: _Header) -> int:
    """Return the samples per signal, having checked them against the size of every signal file."""
    claimed = header.n_samples
    for name in dict.fromkeys(signal.file for signal in header.signals):
        n_bytes = _file_bytes(path.with_name(name))
        signals = [signal for signal in header.signals if signal.file == name]
        layouts = {(signal.fmt, signal.offset) for signal in signals}
        if len(layouts) > 1:
            raise ValueError(f"{path}: signals in {name} must share format and byte offset")
        ((fmt, offset),) = layouts
        bits = BITS_AND_MISSING[fmt][0] * len(signals)
        if claimed is None:
            claimed = max(n_bytes - offset, 0) * 8 // bits
        wanted = offset + -(-claimed * bits // 8)
        # Writers fill the last pair of samples of format 212 up, or do not.
        if not wanted <= n_bytes <= wanted + (fmt == "212"):
            raise ValueError(
                f"{path.with_name(name)}: must have {wanted} bytes for {claimed} samples of "
                f"{len(signals)} leads in format {fmt}, got {n_bytes}"
            )
    if not claimed:
        raise ValueError(f"{path}: number of samples must be positive, got {claimed}")
    return claimed


def _read_valid(
    path: Path, header: _Header, start: int, stop: int, numbers: Sequence[int]
) -> IntArray:
    """Return samples [start, stop) of the signals `numbers`, none of them marked missing."""
    if start == stop:
        return np.empty((0, len(numbers)), np.int16)
    counts = _read_samples(path, header, start, stop, numbers)
    missing = [BITS_AND_MISSING[header.signals[number].fmt][1] for number in numbers]
    found = np.argwhere(counts == missing)
    if len(found):
        row, column = found[0]
        signal = header.signals[numbers[column]]
        raise ValueError(
            f"{path.with_name(signal.file)}: every sample must be valid, got one "
            f"marked missing (NaN) at sample {start + row} of lead {signal.name}"
        )
    return counts


def _read_samples(
    path: Path, header: _Header, start: int, stop: int, numbers: Sequence[int]
) -> IntArray:
    """Return samples [start, stop) of the signals `numbers`, unchecked."""
    first, n_leads = header.signals[0], len(header.signals)
    if {(signal.file, signal.fmt) for signal in header.signals} == {(first.file, "16")}:
        dat, n_values = path.with_name(first.file), (stop - start) * n_leads
        flat = np.fromfile(dat, "<i2", n_values, offset=first.offset + 2 * n_leads * start)
        if len(flat) < n_values:
            raise ValueError(f"{dat}: has become shorter since it was opened")
        return flat.reshape(-1, n_leads)[:, numbers]
    import wfdb

    try:
        part = wfdb.rdrecord(
            str(path.with_suffix("")), start, stop, list(numbers), physical=False, return_res=32
        )
    except Exception as error:  # whatever wfdb meets in a damaged file
        raise ValueError(f"{path}: its samples must be readable, got {_text(error)}") from error
    counts: IntArray = part.d_signal
    return counts


def _file_bytes(path: Path) -> int:
    if not path.is_file():
        raise ValueError(f"{path}: must be there, got no file")
    return path.stat().st_size


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
