"""EDF and EDF+ files, through EDFlib.

References
----------
Kemp et al., "A simple format for exchange of digitized polygraphic recordings", Electroenceph.
Clin. Neurophysiol. 82, 391-393 (1992); EDF+: https://www.edfplus.info/specs/edfplus.html
"""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .channels import COUNTS_PER_MV, Channels, IntArray

END_MARK = "Recording ends"
"""EDF+'s standard text for it. EDF stores whole data records only; `convert` fills the last one up
and marks the true end with this annotation."""


def read_edf(path: Path, names: Sequence[str] | None = None) -> Channels:
    """Open the signals called `names` of the EDF file `path`; default all of them.

    Raises
    ------
    ValueError : the file is damaged, of another size than its header claims, or not continuous;
        signals differ in rate, or one is no voltage. The text names file, rule and value.
    """
    with _opened(path, annotations=True) as file:
        labels = [
            label.strip() or f"signal {number}"
            for number, label in enumerate(file.getSignalLabels(), start=1)
        ]
        wanted = labels if names is None else list(names)
        for name in wanted:
            if name not in labels:
                raise ValueError(f"{path}: channels must be among {', '.join(labels)}, got {name}")
        if not wanted:
            raise ValueError(f"{path}: must hold at least one signal, got none")
        signals = [labels.index(name) for name in wanted]
        headers = [file.getSignalHeader(signal) for signal in signals]
        rates = [float(header["sample_frequency"]) for header in headers]
        if len(set(rates)) > 1:
            listed = ", ".join(f"{n} {r:g} Hz" for n, r in zip(wanted, rates, strict=True))
            raise ValueError(f"{path}: channels must have one rate, got {listed}")
        n_samples = _end(file, int(file.getNSamples()[signals[0]]), rates[0])
    gains, baselines = zip(
        *(_calibration(path, name, h) for name, h in zip(wanted, headers, strict=True)), strict=True
    )

    def read(start: int, stop: int, columns: Sequence[int]) -> IntArray:
        counts = np.empty((stop - start, len(columns)), np.int16)
        with _opened(path, annotations=False) as file:
            for column, target in zip(columns, counts.T, strict=True):
                if stop > start:
                    target[:] = file.readSignal(signals[column], start, stop - start, digital=True)
        return counts

    return Channels(str(path), rates[0], tuple(wanted), gains, baselines, n_samples, read)


@contextlib.contextmanager
def _opened(path: Path, annotations: bool) -> Iterator[Any]:
    """Open the file for the time of a block: EDFlib refuses a file that is open already."""
    import pyedflib

    _check_size(path)
    mode = pyedflib.READ_ALL_ANNOTATIONS if annotations else pyedflib.DO_NOT_READ_ANNOTATIONS
    try:
        file = pyedflib.EdfReader(str(path), mode)
    except Exception as error:  # whatever the library meets in a damaged file
        text = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: must be an EDF file, got: {text}") from error
    with file:
        yield file


def _check_size(path: Path) -> None:
    """Raise ValueError where the file is not as long as its header claims.

    EDFlib checks that too, but then prints to stdout.
    """
    if not path.is_file():
        raise ValueError(f"{path}: must be there, got no file")
    with path.open("rb") as file:
        fixed = file.read(256)
        try:
            header_bytes, n_records, n_signals = (
                int(fixed[start:stop]) for start, stop in ((184, 192), (236, 244), (252, 256))
            )
            file.seek(256 + 216 * n_signals)
            samples = [int(file.read(8)) for _ in range(n_signals)]
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: must be an EDF file, got: {error}") from error
    wanted, n_bytes = header_bytes + 2 * n_records * sum(samples), path.stat().st_size
    if wanted != n_bytes:
        raise ValueError(
            f"{path}: must have {wanted} bytes for {n_records} data records, got {n_bytes}"
        )


def _end(file: Any, n_samples: int, fs: float) -> int:
    """Return the number of samples up to the mark of the end, if that is in the last record."""
    onsets, _, texts = file.readAnnotations()
    ends = [
        round(onset * fs) for onset, text in zip(onsets, texts, strict=True) if text == END_MARK
    ]
    record_len = round(file.datarecord_duration * fs)
    return ends[-1] if ends and n_samples - record_len < ends[-1] <= n_samples else n_samples


def _calibration(path: Path, name: str, header: dict[str, Any]) -> tuple[float, int]:
    """Return counts per mV and the count that means 0 mV."""
    units = header["dimension"].strip()
    if units not in COUNTS_PER_MV:
        raise ValueError(
            f"{path}: units of {name} must be one of {', '.join(COUNTS_PER_MV)}, got {units!r}; "
            "name the signals to read with channels="
        )
    # Fractions, because 65535 / 327.675 as floats is not the 200 that was meant.
    low, high = (Fraction(repr(float(header[f"physical_{edge}"]))) for edge in ("min", "max"))
    span = header["digital_max"] - header["digital_min"]
    if high <= low or span <= 0:
        raise ValueError(
            f"{path}: maxima of {name} must exceed its minima, got {float(low):g} to "
            f"{float(high):g} and {header['digital_min']} to {header['digital_max']}"
        )
    gain = span / (high - low)
    return float(gain) * COUNTS_PER_MV[units], round(header["digital_min"] - low * gain)
