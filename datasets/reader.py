"""A recording that may last for days: all of it but the samples, and how to read those in parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .records import EcgRecord, Int16Array


@dataclass(frozen=True, slots=True)
class RecordReader:
    """One recording, open for reading; holding it takes no memory for its samples.

    Parameters
    ----------
    record : the recording with 0 samples: `adc_counts` is int16 (0, n_leads).
    n_samples : time samples per lead there are to read.
    read : called with (start, stop), 0 <= start <= stop <= n_samples, returns those samples as
        C-contiguous int16 (stop - start, n_leads), which the caller may change.
    """

    record: EcgRecord
    n_samples: int
    read: Callable[[int, int], Int16Array]

    def chunks(self, chunk_len: int) -> Iterator[Int16Array]:
        """Yield the whole recording in order, `chunk_len` samples at a time, the last one shorter.

        Raises
        ------
        ValueError : `chunk_len` is not positive, or a sample is missing in the file.
        """
        if chunk_len < 1:
            raise ValueError(f"chunk_len must be positive, got {chunk_len}")
        for start in range(0, self.n_samples, chunk_len):
            yield self.read(start, min(start + chunk_len, self.n_samples))

    def whole(self) -> EcgRecord:
        """Return the recording with all its samples in memory."""
        return replace(self.record, adc_counts=self.read(0, self.n_samples))
