"""The diffusion detector: what ships is what was trained, at fixed times and with fixed noise."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from export.blob import Score, read_header, write_blob
from export.native import Role
from export.pipeline import run_network, trace_network
from export.quantize import quantize, untrained_graph
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from nas.blocks import Block
from nas.checkpoint import Checkpoint
from nas.detectors import diffusion
from nas.detectors.detector import build_detector, count_detector, outputs_of
from nas.layers import KerasLayers
from nas.plan import TrainingPlan
from nas.train import Trainer
from nas.windows import TrainingWindows
from tests.anomalies import auroc, flipped, scattered, scores_of, shifted, untrained
from tests.rebuilding import draw
from tests.test_contract_kernel import tflm_trace

LSB_MV = 1 / 64
SMALL = diffusion.Params(
    blocks=(Block(16, 5, stride=2), Block(16, 5, stride=5)), times=(200, 500, 700)
)


def beats(n_windows, seed=0, n_leads=2, height=1.0):
    """Return windows of spikes in all leads."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.02, (n_windows, 200, n_leads))
    for window in x:
        window[:: rng.integers(30, 60)] += rng.uniform(0.3, 0.8)
    codes = np.rint(height * x / LSB_MV).clip(-128, 127).astype(np.int8)
    return TrainingWindows(codes, LSB_MV, np.ones((n_windows, 1), bool), ("NORM",))


def fitted(params, windows, folder, epochs):
    """Return model, scoring, objective and losses of a training."""
    keras.utils.set_random_seed(0)
    model = build_detector(diffusion, params, windows.shape)
    plan = TrainingPlan(epochs=epochs, batch_size=16, learning_rate=3e-3)
    trainer = Trainer(plan, 0, len(windows), Checkpoint(folder, {}))
    objectives = []

    def train(objective, stage="main", epochs=None):
        objectives.append(objective)
        trainer(objective, stage, epochs)

    scoring = diffusion.fit(params, model, windows, train)
    return model, scoring, objectives[0], trainer.losses["main"]


@pytest.fixture(scope="module", params=diffusion.PREDICTIONS)
def trained(request, tmp_path_factory):
    params = replace(SMALL, predicts=request.param)
    windows = beats(128)
    folder = tmp_path_factory.mktemp("diffusion")
    return params, windows, *fitted(params, windows, folder, epochs=6)


def fixed_inputs(params, windows, time):
    """Return the objective's inputs for one time and the noise that ships."""
    noise = diffusion.fixed_noise(params, windows.shape)
    share = diffusion.alpha_bar(params.schedule)[time]
    signal = diffusion.SIGNAL_PER_MV * windows.x_mv()
    noisy = np.sqrt(share) * signal + np.sqrt(1 - share) * noise
    frequencies = diffusion.frequencies(np.full(len(signal), time))
    wanted = signal if params.predicts == "signal" else np.broadcast_to(-noise, signal.shape)
    in_noise = share / (1 - share) if params.predicts == "signal" else 1.0
    return [noisy, frequencies, wanted, np.full(len(signal), in_noise, np.float32)]


def test_the_score_is_the_trained_noise_error_at_the_fixed_times(trained):
    """The time's embedding has become the same biases that training computed."""
    params, windows, model, scoring, objective, _ = trained
    errors = [
        objective.network.predict(fixed_inputs(params, windows, time), verbose=0)
        for time in params.times
    ]
    np.testing.assert_allclose(
        scores_of(model, scoring, windows), np.mean(errors, axis=0), rtol=1e-3
    )


def test_training_removes_noise_and_spares_the_signal(trained):
    *_, losses = trained
    assert losses[-1] < 0.6 * losses[0]


def test_windows_of_another_kind_score_higher(trained):
    _, _, model, scoring, _, _ = trained
    normal = scores_of(model, scoring, beats(100, seed=1))
    strange = scores_of(model, scoring, beats(100, seed=1, height=3))
    assert np.median(strange) > np.percentile(normal, 95)


def test_int8_runs_as_in_tflm_and_keeps_noise_and_weights_once(trained, tmp_path):
    params, windows, model, scoring, _, _ = trained
    model.save(tmp_path / "filter.keras")
    quantized = quantize(tmp_path / "filter.keras", windows.codes, LSB_MV, windows.codes[:1])
    rule, graph = SCORE_RULES[scoring.rule], quantized.graph
    constants = rule.quantize_constants(scoring.constants, graph.tensors[graph.output])
    blob = write_blob(graph, SignalChain(), 200, quantized.tflite, Score(rule.code, constants))
    for codes in windows.codes[:3]:
        traced = trace_network(blob, Role.GATE, codes).tolist()
        assert traced == tflm_trace(quantized.tflite, graph, codes)
    _, scores = run_network(blob, Role.GATE, windows.codes)
    assert np.corrcoef(scores, scores_of(model, scoring, windows))[0, 1] > 0.98
    noises = [t.data for t in graph.tensors if t.data is not None and t.n_bytes == 400]
    assert len(noises) >= len(params.times)
    assert len({noise.tobytes() for noise in noises}) == 1
    used = [offset for offset in read_header(blob).weights if offset]
    assert len(used) == len(params.times) * len(set(used))


def test_alpha_bar_falls_from_all_signal_to_none():
    linear, cosine = (diffusion.alpha_bar(name) for name in ("linear", "cosine"))
    for schedule in (linear, cosine):
        assert schedule.shape == (1001,)
        assert schedule[0] == 1
        assert (np.diff(schedule) < 0).all()
    assert linear[1000] == pytest.approx(4.04e-5, rel=0.01)  # DDPM: "close to 0"
    assert cosine[500] == pytest.approx(0.4938, abs=1e-3)


def test_fixed_noise_is_seeded_normal_noise():
    noise = diffusion.fixed_noise(SMALL, (1000, 12))
    assert noise.std() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(noise, diffusion.fixed_noise(SMALL, (1000, 12)))
    other = diffusion.fixed_noise(replace(SMALL, noise_seed=1), (1000, 12))
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("shape", [(250, 1), (1000, 12)])
@pytest.mark.parametrize("noise_seed", range(20))
def test_noise_has_the_same_codes_whatever_multiplies_it(noise_seed, shape):
    """Also negated, and whether or not a converter takes its range for a symmetric one."""
    noise = diffusion.fixed_noise(replace(SMALL, noise_seed=noise_seed), shape)
    levels = np.rint(noise / np.abs(noise).max() * 127)
    assert (levels.min(), levels.max()) == diffusion.NOISE_LEVELS
    shares = np.concatenate([diffusion.alpha_bar(name)[1::37] for name in diffusion.SCHEDULES])
    for sign in (1, -1):
        found = {"symmetric": set(), "asymmetric": set()}
        for factor in (1.0, *np.sqrt(1 - shares)):
            values = np.float32(sign * factor) * noise
            low, high = float(values.min()), float(values.max())
            step = (high - low) / 255
            codes = np.rint(values / step) + np.rint(-128 - low / step)
            found["asymmetric"].add(codes.tobytes())
            found["symmetric"].add(np.rint(values / (max(-low, high) / 127)).tobytes())
        assert {name: len(codes) for name, codes in found.items()} == dict.fromkeys(found, 1)


def test_the_converter_gives_every_draw_one_constant(tmp_path):
    """One network adds 4 draws, each times 8 factors."""
    layers, shape = KerasLayers(), (250, 2)
    shares = [diffusion.alpha_bar(name)[[50, 300, 500, 950]] for name in diffusion.SCHEDULES]
    x = h = keras.Input(shape)
    for noise_seed in range(4):
        noise = diffusion.fixed_noise(replace(SMALL, noise_seed=noise_seed), shape)
        for factor in np.sqrt(1 - np.concatenate(shares)).astype(np.float32):
            h = layers.activation(layers.add_to(h, factor * noise), "relu")
    keras.Model(x, layers.conv(1, 1)(h)).save(tmp_path / "noises.keras")
    graph = untrained_graph(tmp_path / "noises.keras", LSB_MV)
    constants = [t.data.tobytes() for t in graph.tensors if t.data is not None and t.n_bytes == 500]
    assert len(constants) == 32
    assert len(set(constants)) == 4


def test_noise_of_one_sign_is_refused():
    with pytest.raises(ValueError, match="noise of both signs takes more than 1 values"):
        diffusion.fixed_noise(SMALL, (1, 1))


def test_a_window_shorter_than_the_strides_is_refused():
    with pytest.raises(ValueError, match="39 columns are fewer than the 40 the blocks step over"):
        count_detector(diffusion, diffusion.Params(), (39, 1))


@pytest.mark.parametrize("seed", range(60))
def test_drawn_strides_fit_the_window(seed):
    params = draw(diffusion.suggest, seed, (250, 2))
    assert math.prod(block.stride for block in params.blocks) <= 250
    assert params.noise_seed == diffusion.Params().noise_seed


@pytest.mark.parametrize(("skip", "n_tensors"), [("add", 103), ("concatenate", 121)])
def test_the_largest_point_keeps_within_a_blobs_tensors(skip, n_tensors, tmp_path):
    """Every block in its longest form, cut columns at every level, as many runs as there may be."""
    params = diffusion.Params(
        blocks=(Block(8, 3, stride=2, separable=True, residual=True),) * 4,
        skip=skip,
        activation="leaky_relu",
        times=(50, 500, 950),
    )
    build_detector(diffusion, params, (250, 1)).save(tmp_path / "largest.keras")
    graph = untrained_graph(tmp_path / "largest.keras", LSB_MV)
    assert (len(graph.tensors), len(graph.tensors) > len(graph.layers)) == (n_tensors, True)
    assert n_tensors <= BLOB_LIMIT


def test_times_are_told_apart():
    features = diffusion.frequencies(np.arange(1, 1001))
    distances = np.linalg.norm(features[1:] - features[:-1], axis=1)
    assert features.shape == (1000, 32)
    assert distances.min() > 0.5


def test_another_time_costs_runs_and_no_weights():
    """But for the four values a channel that stand for a time's biases."""
    once, thrice = (
        count_detector(diffusion, replace(SMALL, times=times), (1000, 1))
        for times in ((300,), (200, 300, 500))
    )
    assert thrice.n_parameters == once.n_parameters + 2 * 4 * SMALL.blocks[0].width
    assert thrice.macs == 3 * once.macs


@pytest.mark.parametrize("n_leads", [1, 2, 12])
def test_the_default_stays_small(n_leads):
    counts = count_detector(diffusion, diffusion.Params(), (1000, n_leads))
    assert counts.n_parameters < 50_000
    assert counts.macs < 3_000_000


@pytest.mark.parametrize("window_len", [250, 333, 1000])
@pytest.mark.parametrize("skip", diffusion.SKIPS)
def test_any_window_comes_back_in_its_length(window_len, skip):
    params = replace(diffusion.Params(), skip=skip)
    model = build_detector(diffusion, params, (window_len, 2))
    assert model.output_shape == (None, window_len, 2)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"blocks": ()}, "at least one block"),
        ({"kernel_up": 0}, "kernel_up must be at least 1, got 0"),
        ({"skip": "none"}, "skip must be one of add, concatenate, got none"),
        ({"predicts": "x"}, "predicts must be one of signal, noise, got x"),
        ({"schedule": "sine"}, "schedule must be one of linear, cosine, got sine"),
        ({"times": ()}, "1 to 3 rising steps"),
        ({"times": (0,)}, "1 to 3 rising steps"),
        ({"times": (1001,)}, "1 to 3 rising steps"),
        ({"times": (5, 4)}, "1 to 3 rising steps"),
        ({"times": (5, 5)}, "1 to 3 rising steps"),
        ({"times": (1, 2, 3, 4)}, "1 to 3 rising steps"),
        ({"noise_seed": -1}, "noise_seed must be at least 0, got -1"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        diffusion.Params(**fields)
