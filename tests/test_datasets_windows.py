import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import window_starts

LENGTHS = st.integers(1, 500)


@given(window_len=LENGTHS, hop_len=LENGTHS, n_more=st.integers(0, 5000))
def test_windows_are_whole_evenly_spaced_and_none_is_missing(window_len, hop_len, n_more):
    n_samples = window_len + n_more
    starts = window_starts(n_samples, window_len, hop_len)
    assert starts.dtype == np.int64
    assert starts[0] == 0
    assert np.all(np.diff(starts) == hop_len)
    assert starts[-1] + window_len <= n_samples < starts[-1] + hop_len + window_len


@given(window_len=LENGTHS, n_windows=st.integers(1, 50))
def test_windows_without_overlap_tile_the_record(window_len, n_windows):
    starts = window_starts(n_windows * window_len, window_len, window_len)
    covered = (starts[:, None] + np.arange(window_len)).ravel()
    assert np.array_equal(covered, np.arange(n_windows * window_len))


def test_a_record_shorter_than_a_window_is_named():
    with pytest.raises(ValueError, match="1000 samples, got 999 in record 17"):
        window_starts(999, 1000, 100, record_id="17")


@pytest.mark.parametrize(("window_len", "hop_len"), [(0, 1), (1, 0), (-5, 1)])
def test_lengths_must_be_positive(window_len, hop_len):
    with pytest.raises(ValueError, match="must be positive"):
        window_starts(10, window_len, hop_len)
