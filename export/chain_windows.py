"""Windows of recordings after the signal chain: in memory, or streamed with bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets import SUPERCLASSES, EcgRecord, WindowBatch, window_starts
from datasets.grades import Grades
from datasets.reader import RecordReader
from datasets.records import FloatArray, Int8Array, Int64Array

from .signal_chain import ChainStream, SignalChain


def check_front_end(record: EcgRecord, chain: SignalChain) -> None:
    """Raise ValueError unless `record` was sampled as `chain` expects."""
    for name in ("fs", "adc_gain", "baseline"):
        value, expected = getattr(record, name), getattr(chain, name)
        if value != expected:
            raise ValueError(
                f"{name} must be {expected:g} as in the signal chain, got {value:g} "
                f"in record {record.record_id}"
            )


def check_length(reader: RecordReader, chain: SignalChain, window_len: int) -> None:
    """Raise ValueError unless the recording gives a window of `window_len` codes."""
    n_codes = chain.n_codes(reader.n_samples)
    window_starts(n_codes, window_len, window_len, reader.record.record_id)


def samples_shown(
    chain: SignalChain, starts: Int64Array, window_len: int
) -> tuple[FloatArray, FloatArray]:
    """Return the sensor's samples [begin, end) that the windows of codes at `starts` show.

    A code shows what the sensor saw a delay earlier; before the first sample is nothing.
    """
    samples_per_code, delay = float(1 / chain.ratio), chain.delay_s * chain.fs
    begins: FloatArray = np.floor(starts * samples_per_code - delay).clip(0)
    ends: FloatArray = np.ceil((starts + window_len) * samples_per_code - delay)
    return begins, ends


def windows_of(
    records: Iterable[EcgRecord], chain: SignalChain, window_len: int, hop_len: int
) -> WindowBatch:
    """Return every window of `records` after the signal chain, in order.

    Parameters
    ----------
    records : recordings with the same leads, at the chain's sensor rate and gain. Of one with
        grades of its quality, only the windows that lie wholly in graded samples are taken.
    window_len, hop_len : in samples at the chain's target rate.

    Raises
    ------
    ValueError : no record or no window, a record shorter than a window, other leads, another rate
        or gain.
    """
    cut: list[_Windows] = []
    for record in records:
        check_front_end(record, chain)
        if not cut:
            leads, stream = record.leads, ChainStream(chain, len(record.leads))
        elif record.leads != leads:
            raise ValueError(
                f"leads must be {', '.join(leads)} in every record, "
                f"got {', '.join(record.leads)} in record {record.record_id}"
            )
        stream.reset()
        codes = stream.push(record.adc_counts)
        starts = window_starts(len(codes), window_len, hop_len, record.record_id)
        cut.append(_Cutter(record, chain, window_len).cut(codes, 0, starts))
    if not cut:
        raise ValueError("windows need at least one record, got none")
    if not any(len(windows.starts) for windows in cut):
        raise ValueError("windows need samples with a grade of their quality, got none long enough")
    return _batch(cut, chain)


def stream_windows(
    reader: RecordReader,
    chain: SignalChain,
    window_len: int,
    hop_len: int,
    chunk_s: float = 60.0,
) -> Iterator[WindowBatch]:
    """Yield the windows `windows_of` gives of one recording, a chunk of it in memory at a time.

    Parameters
    ----------
    reader : the recording, at the chain's sensor rate and gain.
    window_len, hop_len : in samples at the chain's target rate.
    chunk_s : seconds of signal to read at once; a batch holds the windows that end in them.

    Raises
    ------
    ValueError : the recording is shorter than a window, or has another rate or gain.
    """
    check_front_end(reader.record, chain)
    check_length(reader, chain, window_len)
    cutter = _Cutter(reader.record, chain, window_len)
    stream = ChainStream(chain, len(reader.record.leads))
    codes = stream.push(reader.read(0, 0))
    first = next_start = 0  # where `codes` begins; where the next window does
    for counts in reader.chunks(max(1, round(chunk_s * chain.fs))):
        codes = np.concatenate([codes, stream.push(counts)])
        stop = first + len(codes) - window_len + 1
        starts = np.arange(next_start, stop, hop_len, dtype=np.int64)
        windows = cutter.cut(codes, first, starts)
        if len(windows.starts):
            yield _batch([windows], chain)
        next_start += len(starts) * hop_len
        n_done = min(next_start - first, len(codes))
        codes, first = codes[n_done:], first + n_done


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of one record; fields as in `WindowBatch`."""

    record: EcgRecord
    x: Int8Array
    starts: Int64Array
    quality: Int8Array
    agreement: npt.NDArray[np.float32]


class _Cutter:
    """Cuts a record's codes into those windows that may be used."""

    def __init__(self, record: EcgRecord, chain: SignalChain, window_len: int) -> None:
        self._record, self._chain, self._window_len = record, chain, window_len
        self._grades = Grades(record.annotations)

    def cut(self, codes: Int8Array, first: int, starts: Int64Array) -> _Windows:
        """Return the windows at `starts`; `codes` begin at code `first` of the recording."""
        begins, ends = samples_shown(self._chain, starts, self._window_len)
        graded, quality, agreement = self._grades.over(begins, ends)
        starts = starts[graded]
        x = np.empty((len(starts), self._window_len, codes.shape[1]), np.int8)
        for window, start in zip(x, starts - first, strict=True):
            window[:] = codes[start : start + self._window_len]
        return _Windows(self._record, x, starts, quality[graded], agreement[graded])


def _batch(cut: Sequence[_Windows], chain: SignalChain) -> WindowBatch:
    """Return the windows of some records, which share their leads, as one batch."""
    n_windows = [len(windows.starts) for windows in cut]
    records = [windows.record for windows in cut]

    def per_window(values: npt.ArrayLike) -> npt.NDArray[Any]:
        return np.repeat(np.array(values), n_windows, axis=0)

    return WindowBatch(
        x=np.concatenate([windows.x for windows in cut]),
        lsb_mv=chain.lsb_mv,
        fs=chain.fs_target,
        leads=records[0].leads,
        record_ids=per_window([record.record_id for record in records]),
        subject_ids=per_window([record.subject_id for record in records]),
        starts=np.concatenate([windows.starts for windows in cut]),
        labels=per_window([[c in r.superclasses for c in SUPERCLASSES] for r in records]),
        clean=per_window([record.clean for record in records]),
        quality=np.concatenate([windows.quality for windows in cut]),
        agreement=np.concatenate([windows.agreement for windows in cut]),
    )
