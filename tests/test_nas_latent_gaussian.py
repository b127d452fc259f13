"""The latent Gaussian: what it ships, how it whitens, and that it names the odd ones out."""

import keras
import numpy as np
import pytest

from nas.blocks import Block
from nas.checkpoint import Checkpoint
from nas.detectors import latent_gaussian
from nas.detectors.detector import build_detector, count_detector, outputs_of
from nas.detectors.latent_gaussian import Params, whitening
from nas.plan import TrainingPlan
from nas.train import Trainer
from tests.anomalies import auroc, flipped, scattered, shifted
from tests.brief_training import example_windows

SMALL = Params(
    blocks=(Block(8, 7, stride=2), Block(8, 5, stride=5), Block(16, 3, stride=2)), taps=(1, 2)
)


def fitted(params, folder, windows):
    keras.utils.set_random_seed(0)
    model = build_detector(latent_gaussian, params, windows.shape)
    trainer = Trainer(TrainingPlan(epochs=2), 0, len(windows), Checkpoint(folder, {}))
    return model, latent_gaussian.fit(params, model, windows, trainer)


@pytest.fixture(scope="module")
def windows():
    return example_windows((250, 2), n_windows=128)


@pytest.fixture(scope="module")
def small(tmp_path_factory, windows):
    return fitted(SMALL, tmp_path_factory.mktemp("small"), windows)


def test_the_training_windows_come_out_white(small, windows):
    model, scoring = small
    outputs = outputs_of(model, windows)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-3)
    assert 0.3 < outputs.var(axis=0).mean() <= 1  # shrinking and rounding leave less than 1
    assert (scoring.rule, scoring.constants["centre"]) == ("squared_distance", [0.0] * 16)


@pytest.mark.parametrize("strange", [flipped, scattered, shifted])
def test_fitting_is_what_ranks_strange_windows_last(small, windows, strange):
    model, scoring = small
    keras.utils.set_random_seed(0)
    before = build_detector(latent_gaussian, SMALL, windows.shape)
    others = example_windows((250, 2), n_windows=128, seed=1)
    reached = auroc((model, scoring), others, strange(others))
    assert reached > max(0.9, auroc((before, scoring), others, strange(others)))


def test_features_lie_between_0_and_6_about_3(small, windows):
    model, _ = small
    features = outputs_of(keras.Model(model.input, model.get_layer("features").output), windows)
    assert features.min() >= 0
    assert features.max() <= 6
    np.testing.assert_allclose(features.mean(axis=0), 3, atol=0.3)


def test_blocks_behind_the_last_tap_are_not_shipped(small):
    model, _ = small
    counts = count_detector(latent_gaussian, SMALL, (250, 2))
    assert counts.n_parameters == model.count_params()
    assert max(shape[-1] for shape in (w.shape for w in model.get_weights()) if shape) == 16
    assert len([x for x in model.layers if isinstance(x, keras.layers.Conv1D)]) == 2


def test_squares_and_many_taps_join_a_few_at_a_time(windows):
    params = Params(taps=(1, 2, 3, 4, 5, 6), second_moments=True)
    model = build_detector(latent_gaussian, params, windows.shape)
    joins = [x for x in model.layers if isinstance(x, keras.layers.Concatenate)]
    assert max(len(join.input) for join in joins) == 4
    assert model.get_layer("features").output.shape[1] == 2 * (16 + 24 + 32 + 48 + 64 + 64)


def test_the_energy_weighs_no_class_that_was_held_out(tmp_path, windows):
    params = Params(blocks=SMALL.blocks, taps=(1,), score="energy")
    model, scoring = fitted(params, tmp_path, windows)
    assert model.output_shape == (None, 5)
    assert scoring.rule == "table_sum"
    weights = [(part["count"], part["weight"]) for part in scoring.constants["parts"]]
    assert weights == [(4, -1.0), (1, 0.0)]


def correlated(n_windows=4000):
    """Return three features, two of them almost the same, and a label that moves the third."""
    rng = np.random.default_rng(0)
    labels = rng.random((n_windows, 1)) < 0.5
    x = rng.normal(size=(n_windows, 3))
    x[:, 1] = x[:, 0] + 1e-6 * x[:, 1]
    x[:, 2] += 4 * labels[:, 0]
    return x.astype(np.float32), labels


@pytest.mark.parametrize("shrinkage", latent_gaussian.SHRINKAGES)
def test_rounding_keeps_empty_directions_small(shrinkage):
    x, labels = correlated()
    kernel, bias = whitening(Params(shrinkage=shrinkage), x, labels)
    assert np.linalg.norm(kernel, axis=0).max() <= 1 / latent_gaussian.ROUNDING
    np.testing.assert_allclose((x @ kernel + bias).mean(axis=0), 0, atol=0.01)


def test_within_classes_a_label_explains_its_part():
    x, labels = correlated()
    spread = {}
    for covariance in latent_gaussian.COVARIANCES:
        kernel, bias = whitening(Params(covariance=covariance), x, labels)
        spread[covariance] = (x @ kernel + bias).var(axis=0).max()
    assert spread["total"] == pytest.approx(1, abs=0.05)
    assert spread["within_class"] == pytest.approx(5, rel=0.1)  # 1 + 4^2 / 4


def test_fewer_directions_are_the_widest():
    x, labels = correlated()
    kernel, _ = whitening(Params(n_directions=1), x, labels)
    assert kernel.shape == (3, 1)
    assert np.argmax(np.abs(kernel)) == 2


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"taps": ()}, "taps must be blocks in ascending order"),
        ({"taps": (2, 1)}, "taps must be blocks in ascending order"),
        ({"taps": (7,)}, "taps must be among the blocks 1 to 6"),
        ({"covariance": "none"}, "covariance must be one of total, within_class, got none"),
        ({"shrinkage": "none"}, "shrinkage must be one of ledoit_wolf, oas, got none"),
        ({"score": "none"}, "score must be one of mahalanobis, energy, got none"),
        ({"clip": 0.5}, r"clip must be in \[1, 10\], got 0.5"),
        ({"n_directions": 0}, "n_directions must be at least 1, got 0"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        Params(**fields)
