"""The variational autoencoder: its bound, its score, and that it does not collapse."""

import numpy as np
import pytest

from export.score_rules import SCORE_RULES
from nas.detectors import vae
from nas.detectors.detector import build_detector, outputs_of
from tests.rebuilding import SMALL, assert_learns, beats, draw

N_LATENT = 20 * SMALL.embedding  # of a window of 200 samples


def parts_of(outputs, n):
    """Return residual, mean and log-variance of every window."""
    latent = (outputs.shape[1] - n) // 2
    residual, mean, log_variance = np.split(outputs, [n, n + latent], axis=1)
    return residual, mean / vae.MEAN_GAIN, log_variance * vae.LOG_VARIANCE_MAX


def bound(residual, mean, log_variance, sigma, beta):
    """Return the score as the module's docstring has it, in float64."""
    divergence = (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1) / 2
    error = (residual**2).sum(axis=1) / (2 * sigma**2)
    return (error + beta * divergence) / residual.shape[1]


@pytest.fixture(scope="module")
def trained():
    return assert_learns(vae, vae.Params(SMALL))


def test_it_learns_and_scores_by_the_bound(trained):
    model, scoring, normal = trained
    outputs = outputs_of(model, beats(128, seed=1)).astype(np.float64)
    residual, mean, log_variance = parts_of(outputs, 200)
    error = outputs_of(model, beats(128)).astype(np.float64)[:, :200]
    sigma = np.sqrt((error**2).mean())  # of the training windows
    expected = bound(residual, mean, log_variance, sigma, beta=1.0)
    np.testing.assert_allclose(normal, expected, rtol=1e-4)
    assert [part["count"] for part in scoring.constants["parts"]] == [200, N_LATENT, N_LATENT]


def test_the_bottleneck_is_used(trained):
    """A collapsed one has mean 0 and variance 1 for every window."""
    model, _, _ = trained
    outputs = outputs_of(model, beats(128))
    _, mean, log_variance = parts_of(outputs, 200)
    assert mean.std(axis=0).max() > 0.5
    assert log_variance.min() < -1


def objective_of(params, windows):
    model = build_detector(vae, params, windows.shape)
    found = []
    scoring = vae.fit(params, model, windows, found.append)
    return model, scoring, found[0]


@pytest.mark.parametrize("noise_mv", [0.0, 0.05])
def test_the_loss_is_the_bound_with_a_drawn_code(noise_mv):
    """At the start nothing is rebuilt, so the loss has a closed form whatever was drawn."""
    windows = beats(8)
    model, _, objective = objective_of(vae.Params(SMALL, beta=2.0, noise_mv=noise_mv), windows)
    inputs = objective.inputs(np.arange(8), np.random.default_rng(0))
    assert inputs[1].shape == (8, 20, SMALL.embedding)
    loss = objective.network.predict_on_batch(list(inputs))
    residual, mean, log_variance = parts_of(outputs_of(model, windows).astype(np.float64), 200)
    sigma = noise_mv or np.sqrt((residual**2).mean())
    expected = bound(residual, mean, log_variance, sigma, 2.0) + np.log(sigma)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(log_variance, vae.LOG_VARIANCE_START, rtol=1e-4)


def test_what_is_drawn_moves_the_code():
    windows = beats(8)
    model, _, objective = objective_of(vae.Params(SMALL), windows)
    last = model.get_layer("last_convolution")
    last.set_weights([np.full_like(weights, 0.1) for weights in last.get_weights()])
    x_mv, eps = objective.inputs(np.arange(8), np.random.default_rng(0))
    first = objective.network.predict_on_batch([x_mv, eps])
    assert not np.array_equal(first, objective.network.predict_on_batch([x_mv, 2 * eps]))


def test_a_fixed_noise_level_is_the_scores_weight():
    _, scoring, _ = objective_of(vae.Params(SMALL, noise_mv=0.1), beats(8))
    parts = scoring.constants["parts"]
    assert parts[0]["weight"] == pytest.approx(1 / (2 * 0.1**2 * 200))
    assert SCORE_RULES[scoring.rule].score_float(
        np.zeros((1, 200 + 2 * N_LATENT)), {"parts": parts}
    )[0] == pytest.approx(0)


@pytest.mark.parametrize("seed", range(3))
def test_drawn_points_build(seed):
    params = draw(vae.suggest, seed, (250, 2))
    model = build_detector(vae, params, (250, 2))
    assert model.output_shape[1] > 500
    assert 0.1 <= params.beta <= 10


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"beta": 0.0}, r"beta must be in \(0, 1000\), got 0"),
        ({"noise_mv": 10.0}, r"noise_mv must be in \[0, 10\), got 10"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        vae.Params(**fields)
