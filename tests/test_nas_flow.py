"""The coupling flow: its likelihood is exact, its map invertible, and what ships scores by it."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from export.blob import Score, write_blob
from export.graph import read_graph
from export.native import Role
from export.pipeline import run_network, trace_network
from export.quantize import quantize
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from nas.blocks import Block
from nas.checkpoint import Checkpoint
from nas.detectors import flow
from nas.detectors.detector import build_detector, count_detector
from nas.plan import TrainingPlan
from nas.train import Trainer
from nas.windows import TrainingWindows
from tests.anomalies import auroc, flipped, scattered, scores_of, shifted, untrained
from tests.test_contract_kernel import tflm_trace

LSB_MV = 1 / 64
# Smooth, so that differences can stand for derivatives.
SMALL = flow.Params(
    squeeze=2, channels=4, n_steps=3, blocks=(Block(8, 3, dilation=2),), activation="tanh"
)


def beats(n_windows, seed=0, window_len=200, n_leads=2):
    """Return windows of spikes in all leads."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.05, (n_windows, window_len, n_leads))
    for window in x:
        period, height = rng.integers(30, 60), rng.uniform(0.5, 1.5)
        window[::period] += height
    codes = np.rint(x / LSB_MV).clip(-128, 127).astype(np.int8)
    return TrainingWindows(codes, LSB_MV, np.ones((n_windows, 1), bool), ("NORM",))


def coupled(params, windows, seed=0):
    """Return a model started on `windows` whose couplings do something."""
    keras.utils.set_random_seed(seed)
    model = build_detector(flow, params, windows.shape)
    flow.start(params, model, windows)
    rng = np.random.default_rng(seed)
    for i in range(params.n_steps):
        for layer in (model.get_layer(f"scale{i}"), model.get_layer(f"shift{i}")):
            layer.set_weights([w + rng.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    for mix in flow.mixings(params, model):
        mix.set_weights([w + rng.normal(0, 0.3, w.shape) for w in mix.get_weights()])
    return model


def z_of(model, x):
    """Return z (n, values), without the scales."""
    columns, channels = model.get_layer("whiten").output.shape[1:]
    return model.predict(x, verbose=0)[:, : 2 * columns].reshape(len(x), columns * channels)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    params = replace(SMALL, activation="relu")
    windows = beats(128)
    keras.utils.set_random_seed(0)
    model = build_detector(flow, params, windows.shape)
    checkpoint = Checkpoint(tmp_path_factory.mktemp("flow"), {})
    plan = TrainingPlan(epochs=8, batch_size=16, learning_rate=3e-3)
    trainer = Trainer(plan, 0, len(windows), checkpoint)
    scoring = flow.fit(params, model, windows, trainer)
    return params, model, windows, scoring, trainer.losses["main"]


def test_the_loss_is_the_likelihood_by_the_numerical_jacobian():
    """-log p(x) = -log N(z) - log |det dz/dx|, the determinant by central differences."""
    windows = beats(64, window_len=8)
    model = coupled(SMALL, windows)
    x = windows.x_mv(slice(3))
    n_values, step = x[0].size, np.float32(2**-8)
    loss = flow.likelihood(SMALL, model, windows).network.predict(x, verbose=0) * n_values
    for window, found in zip(x, loss, strict=True):
        moves = step * np.eye(n_values, dtype=np.float32).reshape(-1, *window.shape)
        difference = z_of(model, window + moves) - z_of(model, window - moves)
        _, log_determinant = np.linalg.slogdet(difference.astype(np.float64) / (2 * step))
        z = z_of(model, window[np.newaxis])[0].astype(np.float64)
        log_normal = -(z**2).sum() / 2 - n_values * math.log(2 * math.pi) / 2
        assert found == pytest.approx(-log_normal - log_determinant, abs=0.01)


def test_the_score_is_the_loss_but_for_a_constant(trained):
    params, model, windows, scoring, _ = trained
    loss = flow.likelihood(params, model, windows).network.predict(windows.x_mv(), verbose=0)
    whitened = model.get_layer("whiten").output.shape
    constants = scores_of(model, scoring, windows) - loss * math.prod(whitened[1:])
    assert np.ptp(constants) < 1e-2


def test_the_flow_is_undone_from_z():
    windows = beats(64, window_len=40)
    model = coupled(SMALL, windows)
    x = windows.x_mv(slice(5))
    z = z_of(model, x).reshape(5, 20, 4)
    for i in reversed(range(SMALL.n_steps)):
        # The heads depend on the first half alone, which a step leaves as it is.
        heads = [model.get_layer(f"{name}{i}").output for name in ("scale", "shift")]
        before = model.get_layer(f"mix{i}" if i else "whiten")
        a, t = keras.Model(before.output, heads).predict(z, verbose=0)
        z = np.concatenate([z[..., :2], (z[..., 2:] - t) * (1 + np.exp(-a))], axis=-1)
        if i > 0:
            kernel, bias = before.get_weights()
            z = (z - bias) @ np.linalg.inv(kernel[0])
    kernel, bias = model.get_layer("whiten").get_weights()
    back = (z - bias) @ np.linalg.inv(kernel.reshape(4, 4))
    np.testing.assert_allclose(back.reshape(x.shape), x, atol=1e-3)


@pytest.mark.parametrize("channels", [20, 6])
def test_the_fixed_map_whitens_noisy_windows(channels):
    """Two leads with one signal, squeezed: far more directions than the signal has."""
    params = flow.Params(squeeze=10, channels=channels, noise_mv=0.03)
    windows = beats(300)
    kernel, bias = flow.whitening(params, windows, channels)
    rng = np.random.default_rng(1)
    x = windows.x_mv() + rng.normal(0, params.noise_mv, (300, 200, 2))
    x += rng.uniform(-LSB_MV / 2, LSB_MV / 2, x.shape)
    whitened = x.reshape(-1, 20) @ kernel.reshape(20, channels) + bias
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(channels), atol=0.06)


def test_training_makes_windows_likely_and_leaves_the_fixed_map(trained):
    params, model, windows, _, losses = trained
    assert losses[-1] < losses[0] - 0.03
    whiten = model.get_layer("whiten").get_weights()
    for found, fixed in zip(whiten, flow.whitening(params, windows, 4), strict=True):
        np.testing.assert_array_equal(found, fixed)


@pytest.mark.parametrize("strange", [shifted, flipped, scattered])
def test_training_is_what_ranks_strange_windows_last(trained, strange):
    params, model, windows, scoring, _ = trained
    before, others = untrained(flow, params, windows), beats(128, seed=1)
    reached = auroc((model, scoring), others, strange(others))
    assert reached > max(0.75, auroc(before, others, strange(others)) + 0.1)


def test_scores_stay_finite_far_from_all_windows(trained):
    _, model, windows, scoring, _ = trained
    rails = np.where(np.arange(400).reshape(1, 200, 2) % 3, 127, -128).astype(np.int8)
    assert np.isfinite(scores_of(model, scoring, replace(windows, codes=rails))).all()


def test_int8_runs_as_in_tflm_and_ranks_as_float_does(trained, tmp_path):
    _, model, windows, scoring, _ = trained
    model.save(tmp_path / "filter.keras")
    quantized = quantize(tmp_path / "filter.keras", windows.codes, LSB_MV, windows.codes[:1])
    rule = SCORE_RULES[scoring.rule]
    graph = read_graph(quantized.tflite)
    constants = rule.quantize_constants(scoring.constants, graph.tensors[graph.output])
    blob = write_blob(graph, SignalChain(), 200, quantized.tflite, Score(rule.code, constants))
    for codes in windows.codes[:3]:
        traced = trace_network(blob, Role.GATE, codes).tolist()
        assert traced == tflm_trace(quantized.tflite, graph, codes)
    _, scores = run_network(blob, Role.GATE, windows.codes)
    assert np.corrcoef(scores, scores_of(model, scoring, windows))[0, 1] > 0.98


@pytest.mark.parametrize(
    ("n_leads", "n_parameters", "macs"),
    [(1, 16_224, 1_588_800), (2, 20_704, 2_028_800), (12, 25_024, 2_457_600)],
)
def test_the_default_costs_what_the_docs_say(n_leads, n_parameters, macs):
    counts = count_detector(flow, flow.Params(), (1000, n_leads))
    assert (counts.n_parameters, counts.macs) == (n_parameters, macs)


def test_what_the_squeeze_leaves_over_is_dropped():
    model = build_detector(flow, flow.Params(squeeze=7, channels=4), (100, 1))
    assert model.get_layer("whiten").output.shape == (None, 14, 4)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"squeeze": 0}, "squeeze must be at least 1, got 0"),
        ({"channels": 5}, "channels must be even and at least 2, got 5"),
        ({"channels": 0}, "channels must be even and at least 2, got 0"),
        ({"n_steps": 9}, "n_steps must be in 2 to 8, got 9"),
        ({"n_steps": 1}, "n_steps must be in 2 to 8, got 1"),
        ({"blocks": ()}, "one or more without a stride"),
        ({"blocks": (Block(8, 3, stride=2),)}, "one or more without a stride"),
        ({"noise_mv": -0.1}, r"noise_mv must be in \[0, 10\), got -0.1"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        flow.Params(**fields)


def test_one_value_a_column_cannot_be_halved():
    with pytest.raises(ValueError, match="squeeze times the leads must be at least 2"):
        count_detector(flow, flow.Params(squeeze=1), (1000, 1))
