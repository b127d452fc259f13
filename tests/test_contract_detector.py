"""What every entry of DETECTORS promises; a new one is tested the moment it is listed."""

from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest

from export.quantize import PARAMETERS_MAX, quantize
from export.score_rules import SCORE_RULES
from nas import DETECTORS
from nas.plan import TrainingPlan

LSB_MV = 1 / 64


@pytest.fixture(params=DETECTORS)
def detector(request):
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def codes():
    """Spikes once a second on noise, int8 (32, 1000, 1)."""
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 2, (32, 1000, 1))
    signal[:, ::100] += rng.uniform(30, 90, (32, 1, 1))
    return signal.astype(np.int8)


@pytest.fixture(scope="module")
def windows(codes):
    return codes.astype(np.float32) * np.float32(LSB_MV)


def fitted(detector, windows, seed):
    """Return the network after two steps, and its score constants."""
    import keras

    keras.utils.set_random_seed(seed)
    model = detector.build(detector.Params(), windows.shape[1:])
    constants = detector.score_constants(model.predict(windows, verbose=0))
    model.compile(optimizer="adam", loss=detector.loss)
    model.fit(windows, detector.targets(constants, windows), batch_size=16, verbose=0)
    return model, constants


def test_params_are_frozen_numbers(detector):
    params = detector.Params()
    with pytest.raises(FrozenInstanceError):
        setattr(params, next(iter(asdict(params))), None)
    assert detector.Params(**asdict(params)) == params
    assert isinstance(detector.PLAN, TrainingPlan)


@pytest.mark.parametrize("n_leads", [1, 12])
def test_the_network_takes_any_number_of_leads(detector, n_leads):
    model = detector.build(detector.Params(), (1000, n_leads))
    assert model.input_shape == (None, 1000, n_leads)
    assert len(model.output_shape) == 2
    assert model.count_params() <= PARAMETERS_MAX


def test_a_window_that_is_too_short_is_refused(detector):
    with pytest.raises(ValueError, match=r"a window must hold .* got 3"):
        detector.build(detector.Params(), (3, 1))


def test_same_seed_same_weights(detector, windows):
    first, second, other = (fitted(detector, windows, seed)[0].get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_one_finite_score_a_window(detector, windows):
    model, constants = fitted(detector, windows, seed=0)
    outputs = model.predict(windows, verbose=0).astype(np.float64)
    as_stored = {name: value.tolist() for name, value in constants.items()}
    scores = SCORE_RULES[detector.score_rule].score_float(outputs, as_stored)
    assert scores.shape == (len(windows),)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) == len(windows)


def test_it_becomes_an_int8_network_the_firmware_can_run(detector, codes, windows, tmp_path):
    model, constants = fitted(detector, windows, seed=0)
    model.save(tmp_path / "filter.keras")
    quantized = quantize(tmp_path / "filter.keras", codes, LSB_MV, codes)
    output = quantized.graph.tensors[quantized.graph.output]
    rule = SCORE_RULES[detector.score_rule]
    as_stored = {name: value.tolist() for name, value in constants.items()}
    assert rule.quantize_constants(as_stored, output).dtype == np.int32
    assert quantized.graph.n_parameters <= PARAMETERS_MAX
