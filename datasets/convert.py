"""Write a recording as WFDB, EDF or CSV, a part at a time, whole or not at all.

WFDB and EDF keep the ADC's counts, CSV their values in mV; read back, all three give equal counts.
Annotations and the patient stay behind.
"""

import datetime
import errno
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .cache import replacing
from .csv_files import TIME_NAMES, is_name
from .edf_files import END_MARK
from .progress import progress
from .reader import RecordReader
from .records import EcgRecord, Int16Array

CHUNK_S = 60.0
INT16 = np.iinfo(np.int16)
MISSING = INT16.min  # format 16's mark of a missing sample
EDF_NUMBER_CHARS = 8
EDF_LABEL_CHARS = 16
EDF_START = datetime.datetime(1985, 1, 1)  # EDF's way to say that the date is not known
GAIN_ERROR_MAX = 1e-4  # relative; 8 characters a number give 1e-5 or better


def write_record(reader: RecordReader, out: Path) -> None:
    """Write the recording to `out`, in the format its suffix names.

    Parameters
    ----------
    out : NAME.hea (and NAME.dat beside it), NAME.edf or NAME.csv; replaced where it is there.

    Raises
    ------
    ValueError : the suffix is another one, or the format cannot hold the recording; then, and when
        reading fails, nothing is written.
    """
    write = WRITERS.get(out.suffix)
    if write is None:
        raise ValueError(f"{out}: must end in one of {', '.join(WRITERS)}, got {out.suffix!r}")
    out.parent.mkdir(parents=True, exist_ok=True)
    write(reader, out)


def write_wfdb(reader: RecordReader, out: Path) -> None:
    """Write NAME.dat in format 16, then the header `out`, NAME.hea."""
    if not re.fullmatch(r"[\w-]+", out.stem, re.ASCII):
        raise ValueError(f"{out}: a WFDB name must have letters, digits, _ and - only")
    record, dat = reader.record, out.with_suffix(".dat")
    for lead in record.leads:
        if not (lead.strip() and lead.isascii() and lead.isprintable()):
            raise ValueError(f"{out}: a WFDB lead must have an ASCII name, got {lead!r}")
    sums = np.zeros(len(record.leads), np.int64)
    first = reader.read(0, min(1, reader.n_samples)).ravel()
    with replacing(dat) as temporary:
        with temporary.open("wb") as file:
            for counts in _chunks(reader):
                if np.any(counts == MISSING):
                    raise ValueError(f"{out}: WFDB has no count {MISSING}, which marks a gap there")
                sums += counts.sum(axis=0, dtype=np.int64)
                file.write(counts.astype("<i2").tobytes())
        out.unlink(missing_ok=True)  # an older header must not stand beside the new samples
    checksums = ((sums + 2**15) % 2**16) - 2**15
    lines = [f"{out.stem} {len(record.leads)} {record.fs:.17g} {reader.n_samples}"]
    lines += [
        f"{dat.name} 16 {record.adc_gain:.17g}({record.baseline})/mV 16 0 {start} {checksum} 0 "
        f"{lead}"
        for lead, start, checksum in zip(record.leads, first, checksums, strict=True)
    ]
    with replacing(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii")


def write_csv(reader: RecordReader, out: Path) -> None:
    """Write a line of options, a line of lead names, and a line of mV a sample."""
    record = reader.record
    for lead in record.leads:
        if not is_name(lead) or lead.lower() in TIME_NAMES or set(lead) & set('#"\n,;\t'):
            raise ValueError(f"{out}: a CSV lead must have a plain name, got {lead!r}")
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        options = f"gain={record.adc_gain:.17g},baseline={record.baseline}"
        file.write(f"# fs={record.fs:.17g},units=mV,{options}\n")
        file.write(",".join(record.leads) + "\n")
        for counts in _chunks(reader):
            values = (counts.astype(np.float64) - record.baseline) / record.adc_gain
            np.savetxt(file, values, fmt="%.9g", delimiter=",")


def write_edf(reader: RecordReader, out: Path) -> None:
    """Write EDF+ with data records of one second; the last one is filled up with its last value."""
    import pyedflib

    record = reader.record
    _check_edf(out, record)
    low, high = _physical_range(out, record)
    fs, n_leads = round(record.fs), len(record.leads)
    header: dict[str, str | int | float | None] = {
        "dimension": "mV",
        "sample_frequency": fs,
        "physical_min": low,
        "physical_max": high,
        "digital_min": INT16.min,
        "digital_max": INT16.max,
        "prefilter": "",
        "transducer": "",
    }
    with (
        replacing(out) as temporary,
        pyedflib.EdfWriter(str(temporary), n_leads, pyedflib.FILETYPE_EDFPLUS) as file,
    ):
        file.setStartdatetime(EDF_START)
        file.setSignalHeaders([{"label": lead, **header} for lead in record.leads])
        for counts in _chunks(reader):
            n_missing = -len(counts) % fs  # of the last chunk, if of any
            padded = np.pad(counts, ((0, n_missing), (0, 0)), mode="edge")
            for second in padded.reshape(-1, fs, n_leads):
                if file.blockWriteDigitalShortSamples(np.ascontiguousarray(second.T).ravel()):
                    raise OSError(errno.EIO, "EDFlib could not write", str(out))
        file.writeAnnotation(reader.n_samples / fs, -1, END_MARK)


def _chunks(reader: RecordReader) -> Iterator[Int16Array]:
    """Yield the recording minute by minute, in whole seconds, behind a progress bar."""
    with progress(f"Writing {reader.record.record_id}", reader.n_samples) as advance:
        for counts in reader.chunks(round(CHUNK_S) * math.ceil(reader.record.fs)):
            yield counts
            advance(len(counts))


def _check_edf(out: Path, record: EcgRecord) -> None:
    if record.fs != round(record.fs):
        raise ValueError(f"{out}: EDF needs a whole number of samples a second, got {record.fs:g}")
    for lead in record.leads:
        if len(lead) > EDF_LABEL_CHARS or not lead.isascii():
            raise ValueError(
                f"{out}: an EDF label must have at most {EDF_LABEL_CHARS} ASCII characters, "
                f"got {lead}"
            )


def _physical_range(out: Path, record: EcgRecord) -> tuple[float, float]:
    """Return the mV of the smallest and the largest count, as EDF's 8 characters can say them."""
    edges = (INT16.min, INT16.max)
    low, high = (_eight_chars((edge - record.baseline) / record.adc_gain) for edge in edges)
    gain = (edges[1] - edges[0]) / (high - low) if high > low else math.inf
    baseline = edges[0] - low * gain if high > low else math.inf
    if abs(gain / record.adc_gain - 1) > GAIN_ERROR_MAX or abs(baseline - record.baseline) >= 0.5:
        raise ValueError(
            f"{out}: EDF's numbers of {EDF_NUMBER_CHARS} characters cannot say a gain of "
            f"{record.adc_gain:g} counts/mV at baseline {record.baseline}"
        )
    return low, high


def _eight_chars(value: float) -> float:
    """Return the number nearest to `value` that has at most 8 characters."""
    for decimals in range(EDF_NUMBER_CHARS, -1, -1):
        text = f"{value:.{decimals}f}"
        if len(text) <= EDF_NUMBER_CHARS:
            return float(text)
    return math.inf


WRITERS: dict[str, Callable[[RecordReader, Path], None]] = {
    ".hea": write_wfdb,
    ".edf": write_edf,
    ".csv": write_csv,
}
