"""The signals a file holds, each with its own calibration, brought to one scale for a recording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .reader import RecordReader
from .recordings import RecordInfo, lead_columns
from .records import Annotations, Int16Array

IntArray = npt.NDArray[np.integer]
INT16 = np.iinfo(np.int16)

COUNTS_PER_MV = {"mV": 1.0, "uV": 1000.0, "µV": 1000.0, "μV": 1000.0, "V": 0.001, "nV": 1e6}
"""Counts per mV of a gain of 1 count per the unit; micro is written with u, U+00B5 or U+03BC."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Signals of one file at one rate, as the file stores them.

    Parameters
    ----------
    where : the file, for messages.
    fs : sample rate in Hz.
    leads : name of every signal.
    adc_gains : counts per mV of every signal; baselines : count that means 0 mV.
    n_samples : time samples per signal.
    read : called with (start, stop, columns), returns those samples of those signals, an integer
        array (stop - start, len(columns)); a sample marked missing is a ValueError.
    """

    where: str
    fs: float
    leads: tuple[str, ...]
    adc_gains: tuple[float, ...]
    baselines: tuple[int, ...]
    n_samples: int
    read: Callable[[int, int, Sequence[int]], IntArray]

    def open(
        self,
        info: RecordInfo,
        leads: Sequence[str] | None = None,
        annotations: Annotations | None = None,
    ) -> RecordReader:
        """Open the recording `info` describes with `leads`, or with all the file has.

        A recording has one calibration. Leads that share theirs stay as they are; of others the
        counts are computed anew at the largest gain among them and baseline 0.

        Raises
        ------
        ValueError : a lead is not there, or two have one name; on reading, a sample is missing or
            does not fit int16.
        """
        columns = lead_columns(self.leads if leads is None else leads, self.leads, self.where)
        names = [self.leads[column] for column in columns]
        gains = np.array([self.adc_gains[column] for column in columns])
        baselines = np.array([self.baselines[column] for column in columns])
        alike = len(set(gains)) == len(set(baselines)) == 1
        gain, baseline = float(gains.max()), int(baselines[0]) if alike else 0

        def read(start: int, stop: int) -> Int16Array:
            counts = self.read(start, stop, columns)
            if not alike:
                counts = np.rint((counts - baselines) * (gain / gains)).astype(np.int64)
            return self._as_int16(counts, start, names)

        record = info.record(self.fs, names, gain, baseline, annotations)
        return RecordReader(record, self.n_samples, read)

    def _as_int16(self, counts: IntArray, start: int, names: Sequence[str]) -> Int16Array:
        if counts.dtype != np.int16:
            too_large = np.argwhere((counts < INT16.min) | (counts > INT16.max))
            if len(too_large):
                row, column = too_large[0]
                raise ValueError(
                    f"{self.where}: every sample must fit 16 bits, got {counts[row, column]} at "
                    f"sample {start + row} of lead {names[column]}"
                )
        return np.ascontiguousarray(counts, dtype=np.int16)
