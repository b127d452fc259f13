"""Masked anomaly detection: what the masks hide, that nothing of it is seen, and the ensemble."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import Block
from nas.detectors import masked
from nas.detectors.detector import build_detector, count_detector, outputs_of
from nas.detectors.reconstruction import Coder
from nas.layers import KerasLayers
from nas.repeat import apply_to_each
from tests.rebuilding import SMALL, assert_learns, beats, draw

PARAMS = masked.Params(SMALL, n_masks=3, period=40)


@given(
    n_masks=st.sampled_from(masked.MASKS),
    period=st.integers(4, 300),
    window_len=st.integers(4, 600),
    n_leads=st.integers(1, 12),
)
def test_every_sample_is_hidden_exactly_once(n_masks, period, window_len, n_leads):
    params = masked.Params(SMALL, n_masks=n_masks, period=period)
    hidden = masked.hidden_samples(params, (window_len, n_leads))
    assert hidden.shape[0] == n_masks
    assert window_len * n_leads % hidden.shape[1] == 0
    np.testing.assert_array_equal(hidden.sum(axis=0), 1)
    assert (hidden.sum(axis=1) > 0).all()
    by_sample = hidden.reshape(n_masks, -1, n_leads)
    assert (by_sample == by_sample[:, :, :1]).all()


def test_a_mask_hides_one_segment_a_period():
    hidden = masked.hidden_samples(masked.Params(SMALL, n_masks=3, period=50), (1000, 1))
    assert hidden.sum(axis=1).tolist() == [17, 17, 16]
    assert (np.diff(hidden.argmax(axis=0)) >= 0).all()


@pytest.mark.parametrize(("window_len", "period"), [(1000, 50), (1280, 40), (1021, 1021)])
def test_the_period_is_the_divisor_of_the_window_nearest_to_what_was_asked(window_len, period):
    params = masked.Params(SMALL, period=45 if window_len == 1280 else 50)
    assert masked.hidden_samples(params, (window_len, 2)).shape == (3, 2 * period)


def test_a_prediction_does_not_see_what_it_predicts():
    """Whatever a sample is, what the network makes of its neighbours' mask stays the same."""
    windows = beats(1, n_leads=2)
    model = build_detector(masked, PARAMS, windows.shape)
    x = windows.x_mv()
    rebuilt = x - model.predict_on_batch(x)
    rows = masked.hidden_samples(PARAMS, windows.shape)
    hidden = np.tile(rows, 5).reshape(3, *windows.shape)
    for mask in hidden.astype(bool):
        changed = np.where(mask, x + 1, x)
        again = changed - model.predict_on_batch(changed)
        np.testing.assert_allclose(again[0, mask], rebuilt[0, mask], atol=1e-5)
        assert not np.allclose(again[0, ~mask], rebuilt[0, ~mask], atol=1e-2)


def test_all_masks_share_their_weights():
    model = build_detector(masked, PARAMS, (200, 1))
    alone = build_detector_of_one_mask()
    assert model.count_params() == alone.count_params()
    counts = [count_detector(masked, masked.Params(SMALL, n_masks=n), (200, 1)) for n in (2, 4)]
    assert counts[1].n_parameters == counts[0].n_parameters
    assert counts[1].macs == 2 * counts[0].macs


def build_detector_of_one_mask():
    from nas.layers import build

    return build(lambda layers, coder, x: coder.rebuild(layers, x), SMALL, (200, 1), "one")


def test_one_set_of_weights_gives_equal_signals_equal_results():
    import keras

    x = keras.Input((60, 2))
    first, second = apply_to_each(KerasLayers(), SMALL.rebuild, [x, x])
    model = keras.Model(x, [first, second])
    rng = np.random.default_rng(0)
    a, b = model.predict_on_batch(rng.normal(size=(3, 60, 2)).astype(np.float32))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("error", ["square", "absolute"])
def test_it_learns_and_scores_by_the_mean_error(error):
    params = masked.Params(SMALL, n_masks=2, period=20, error=error)
    model, _, normal = assert_learns(masked, params)
    residual = outputs_of(model, beats(128, seed=1))
    expected = np.abs(residual) ** (2 if error == "square" else 1)
    np.testing.assert_allclose(normal, expected.mean(axis=(1, 2)), rtol=1e-5)


def test_the_loss_is_the_error_of_hidden_samples_alone():
    windows = beats(16)
    model = build_detector(masked, PARAMS, windows.shape)
    found = []
    masked.fit(PARAMS, model, windows, found.append)
    (objective,) = found
    shown, x, hidden = objective.inputs(np.arange(16), np.random.default_rng(0))
    np.testing.assert_array_equal(shown, x * (1 - hidden))
    assert set(hidden.sum(axis=(1, 2)).tolist()) == {65, 70}
    assert len(np.unique(hidden.argmax(axis=1))) == 3
    loss = objective.network.predict_on_batch([shown, x, hidden])
    expected = (hidden * x**2).sum(axis=(1, 2)) / hidden.sum(axis=(1, 2))  # it rebuilds nothing yet
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_drawn_points_keep_within_a_blobs_tensors(seed):
    params = draw(masked.suggest, seed, (250, 12))
    assert len(params.coder.blocks) * params.n_masks <= masked.BLOCKS_MAX
    count_detector(masked, params, (250, 12))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"n_masks": 1}, r"n_masks must be one of \(2, 3, 4\), got 1"),
        ({"n_masks": 4, "period": 3}, "period must be at least n_masks 4, got 3"),
        ({"error": "cube"}, "error must be one of square, absolute, got cube"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        masked.Params(**fields)


def test_a_window_of_fewer_samples_than_masks_is_refused():
    params = masked.Params(Coder((Block(8, 3),)), n_masks=4)
    with pytest.raises(ValueError, match="4 masks need as many samples"):
        build_detector(masked, params, (3, 1))
