"""The baselines: each sees what it is made to see, and nothing else is needed to fit it."""

import numpy as np
import pytest
from scipy import signal as filters

from datasets import SUPERCLASSES, WindowBatch
from nas.baselines import (
    confidence_scores,
    fit_baselines,
    hand_features,
    log_spectrum,
    quality_indices,
)

FS = 100.0
LSB_MV = 1 / 64


def beats(n, n_leads=2, seed=0):
    """Noisy spikes of slightly varying size and rate, int8 (n, 1000, n_leads)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (n, 1000, n_leads))
    for window in x:
        every = int(rng.integers(70, 100))
        window[int(rng.integers(0, every)) :: every] += rng.uniform(20, 30) * (
            1 + np.arange(n_leads)
        )
    return np.clip(np.rint(x), -128, 127).astype(np.int8)


def batch_of(x):
    n = len(x)
    return WindowBatch(
        x=x,
        lsb_mv=LSB_MV,
        fs=FS,
        leads=("I", "II")[: x.shape[2]],
        record_ids=np.arange(n).astype(str),
        subject_ids=np.arange(n).astype(str),
        starts=np.zeros(n, np.int64),
        labels=np.zeros((n, len(SUPERCLASSES)), np.bool_),
        clean=np.ones(n, np.bool_),
    )


@pytest.fixture(scope="module")
def fitted():
    return fit_baselines(batch_of(beats(200)))


def hum(x):
    wave = np.rint(30 * np.sin(2 * np.pi * 40 * np.arange(1000) / FS))
    return np.clip(x + wave[:, None], -128, 127).astype(np.int8)


def white_noise(x):
    noise = np.random.default_rng(1).normal(0, 30, x.shape)
    return np.clip(x + noise, -128, 127).astype(np.int8)


def doubled(x):
    return np.clip(x.astype(int) * 2, -128, 127).astype(np.int8)


def flat_lead(x):
    changed = x.copy()
    changed[:, :, 0] = 0
    return changed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("amplitude", doubled),
        ("signal_quality", flat_lead),
        ("signal_quality", white_noise),
        ("pca", white_noise),
        ("spectrum", hum),
        ("hand_features", hum),
        ("hand_features", flat_lead),
    ],
)
def test_it_scores_what_it_is_made_for_higher(fitted, name, change):
    normal = beats(50, seed=5)
    before, after = (fitted[name](batch_of(x)) for x in (normal, change(normal)))
    assert before.shape == after.shape == (50,)
    assert np.median(after) > np.max(before)


def test_scores_do_not_depend_on_the_batch(fitted):
    x = beats(20, seed=2)
    for name, baseline in fitted.items():
        together = baseline(batch_of(x))
        alone = np.concatenate([baseline(batch_of(x[i : i + 1])) for i in range(len(x))])
        np.testing.assert_allclose(together, alone, rtol=1e-4, err_msg=name)


def test_a_flat_window_has_finite_scores(fitted):
    zeros = batch_of(np.zeros((3, 1000, 2), np.int8))
    assert all(np.isfinite(baseline(zeros)).all() for baseline in fitted.values())


def test_the_same_seed_gives_the_same_components():
    x, test = batch_of(beats(60)), batch_of(beats(10, seed=3))
    first, again = (fit_baselines(x, seed=4)["pca"](test) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_short_windows_of_one_lead_are_taken(fitted):
    x = batch_of(beats(60, n_leads=1)[:, :250])
    scores = {name: baseline(x) for name, baseline in fit_baselines(x).items()}
    assert set(scores) == set(fitted)
    assert all(np.isfinite(values).all() for values in scores.values())


def test_a_sine_has_its_power_in_its_band():
    wave = np.sin(2 * np.pi * 7.2 * np.arange(1000) / FS)[None, :, None]
    features = log_spectrum(wave, FS)[0]
    hz, power = filters.periodogram(wave[0, :, 0], FS, "hann")
    edges = np.arange(0.5, 10, 0.5)
    assert np.argmax(features) == np.searchsorted(edges, hz[np.argmax(power)], "right") - 1


def test_kurtosis_is_scipys():
    from scipy.stats import kurtosis

    x = beats(4, n_leads=1) * LSB_MV
    expected = kurtosis(x[:, :, 0], axis=1, fisher=False)
    np.testing.assert_allclose(np.exp(quality_indices(x, FS)[:, 0]) - 1, expected, rtol=1e-3)


def test_opposite_leads_correlate_by_minus_one():
    x = beats(3, n_leads=1) * LSB_MV
    features = hand_features(np.concatenate([x, -x], axis=2), FS)
    np.testing.assert_allclose(features[:, -1], -1, atol=1e-3)


def test_confidence_is_low_where_no_class_is_likely():
    logits = np.array([[4.0, -4.0, -4.0], [-4.0, -4.0, -4.0], [-4.0, 4.0, -4.0]])
    scores = confidence_scores(logits, ("NORM", "MI", "CD"))
    assert np.argmax(scores["softmax"]) == np.argmax(scores["energy"]) == 1
    np.testing.assert_allclose(scores["not_norm"][0], 1 / (1 + np.exp(4.0)))
    assert "not_norm" not in confidence_scores(logits, ("MI", "CD", "HYP"))


def test_extreme_logits_stay_finite():
    scores = confidence_scores(np.array([[900.0, -900.0]]), ("NORM", "MI"))
    assert all(np.isfinite(values).all() for values in scores.values())
