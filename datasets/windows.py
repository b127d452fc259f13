"""Where windows begin in a record."""

import numpy as np

from .records import Int64Array


def window_starts(
    n_samples: int, window_len: int, hop_len: int, record_id: str | None = None
) -> Int64Array:
    """Return the first sample of every whole window, int64 (n_windows,), ascending.

    Parameters
    ----------
    n_samples : time samples per lead of the record.
    window_len, hop_len : in samples, positive.
    record_id : named in the error message.

    Raises
    ------
    ValueError : a length is not positive, or the record is shorter than one window.

    Examples
    --------
    >>> window_starts(n_samples=10, window_len=4, hop_len=3)
    array([0, 3, 6])
    """
    if window_len < 1 or hop_len < 1:
        raise ValueError(f"window_len and hop_len must be positive, got {window_len} and {hop_len}")
    if n_samples < window_len:
        where = f" in record {record_id}" if record_id is not None else ""
        raise ValueError(
            f"a record must hold one window of {window_len} samples, got {n_samples}{where}"
        )
    return np.arange(0, n_samples - window_len + 1, hop_len, dtype=np.int64)
