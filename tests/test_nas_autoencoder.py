"""The autoencoder and what all rebuilding families share: coder, drawn shapes, start, error."""

import numpy as np
import pytest

from nas.blocks import Block
from nas.detectors import autoencoder
from nas.detectors.detector import build_detector, count_detector, outputs_of
from nas.detectors.reconstruction import LAST, Coder, start_at_zero, suggest_coder
from nas.plan import TrainingPlan
from tests.rebuilding import SMALL, assert_learns, beats, draw


@pytest.mark.parametrize("error", ["square", "absolute"])
def test_it_learns_what_beats_look_like(error):
    params = autoencoder.Params(SMALL, error=error)
    model, _, normal = assert_learns(autoencoder, params)
    residual = outputs_of(model, beats(128, seed=1))
    expected = np.abs(residual) ** (2 if error == "square" else 1)
    np.testing.assert_allclose(normal, expected.mean(axis=(1, 2)), rtol=1e-5)
    if error == "square":
        assert normal.mean() < 0.5 * (beats(128, seed=1).x_mv() ** 2).mean()


def test_the_residual_is_the_window_before_training():
    windows = beats(4)
    model = build_detector(autoencoder, autoencoder.Params(SMALL), windows.shape)
    start_at_zero(model)
    np.testing.assert_array_equal(outputs_of(model, windows), windows.x_mv())


def test_the_noise_it_takes_out_is_no_error_of_the_window():
    """A network that rebuilds nothing errs by the window, whatever was added to it."""
    windows = beats(8)
    params = autoencoder.Params(SMALL, noise_mv=1.0)
    model = build_detector(autoencoder, params, windows.shape)
    seen = []

    def train(objective):
        inputs = objective.inputs(np.arange(8), np.random.default_rng(0))
        seen.append((inputs[1], objective.network.predict_on_batch(list(inputs))))

    autoencoder.fit(params, model, windows, train)
    ((noise, error),) = seen
    assert noise.std() == pytest.approx(1, rel=0.05)
    np.testing.assert_allclose(error, (windows.x_mv() ** 2).mean(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("window_len", [50, 199, 250, 1000])
@pytest.mark.parametrize("n_leads", [1, 12])
def test_strides_need_not_divide_the_window(window_len, n_leads):
    coder = Coder((Block(8, 5, stride=4), Block(8, 3, dilation=2), Block(8, 5, stride=5)))
    model = build_detector(autoencoder, autoencoder.Params(coder), (window_len, n_leads))
    assert model.output_shape == (None, window_len, n_leads)
    assert (
        model.count_params()
        == count_detector(
            autoencoder, autoencoder.Params(coder), (window_len, n_leads)
        ).n_parameters
    )


@pytest.mark.parametrize("n_leads", [1, 2, 12])
def test_the_default_is_small_and_narrow(n_leads):
    counts = count_detector(autoencoder, autoencoder.Params(), (1000, n_leads))
    assert counts.n_parameters < 30_000
    assert counts.macs < 3_000_000
    coder = Coder()
    assert coder.embedding * 2 < coder.stride * n_leads


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", [(250, 1), (1000, 12), (320, 2)])
def test_every_coder_drawn_has_a_bottleneck_and_skips_no_sample(seed, shape):
    coder = draw(suggest_coder, seed, shape)
    assert coder.embedding < coder.stride * shape[1]
    assert coder.stride <= shape[0]
    assert all(block.kernel >= block.stride for block in coder.blocks)
    count_detector(autoencoder, autoencoder.Params(coder), shape)


def test_a_window_shorter_than_the_strides_is_refused():
    with pytest.raises(ValueError, match="49 columns are fewer than the 50 the blocks step over"):
        build_detector(autoencoder, autoencoder.Params(), (49, 1))


def test_only_the_last_convolution_starts_at_zero():
    model = build_detector(autoencoder, autoencoder.Params(SMALL), (200, 2))
    start_at_zero(model)
    zero = [w.path for w in model.trainable_weights if not np.asarray(w).any() and w.ndim > 1]
    assert zero == [f"{LAST}/kernel"]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Coder(()), "at least one block, got none"),
        (lambda: Coder(embedding=0), "embedding must be at least 1, got 0"),
        (lambda: Coder(decoder_kernel=-1), "decoder_kernel must be at least 1, got -1"),
        (lambda: Coder(activation="gelu"), "activation must be one of .* got gelu"),
        (lambda: autoencoder.Params(error="cube"), "error must be one of .* got cube"),
        (lambda: autoencoder.Params(noise_mv=-0.1), r"noise_mv must be in \[0, 10\), got -0.1"),
    ],
)
def test_impossible_params_are_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


def test_the_plan_is_short():
    assert isinstance(autoencoder.PLAN, TrainingPlan)
    assert autoencoder.PLAN.epochs <= 6
