"""Split-conformal thresholds: the right rank, and the promised rate."""

import numpy as np
import pytest

from export.threshold import fit_threshold


def test_the_rank_is_the_conformal_one():
    """ceil(100 * 0.95) = 95th smallest of 99."""
    scores = np.random.default_rng(0).permutation(np.arange(1, 100))
    assert fit_threshold(scores.astype(np.int64), 0.05).value == 95


def test_nineteen_windows_are_just_enough():
    scores = np.arange(19, dtype=np.int64)
    assert fit_threshold(scores, 0.05).value == 18
    with pytest.raises(ValueError, match="at least 19 calibration windows, got 18"):
        fit_threshold(scores[:18], 0.05)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be in"):
        fit_threshold(np.arange(100, dtype=np.int64), alpha)


def test_new_windows_are_rejected_at_most_at_alpha():
    """Over many calibrations the mean false-reject rate is alpha, not above."""
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(2000):
        threshold = fit_threshold(rng.integers(0, 2**40, 199), 0.1)
        rates.append((rng.integers(0, 2**40, 100) > threshold.value).mean())
    assert np.mean(rates) == pytest.approx(0.1, abs=3 * np.std(rates) / np.sqrt(2000))
