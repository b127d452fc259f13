"""What every entry of DETECTORS promises; a new one is tested the moment it is listed."""

import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest

from export import blob as blobs
from export.native import Role
from export.pipeline import run_network
from export.quantize import PARAMETERS_MAX, quantize
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from nas import DETECTORS
from nas.candidate import Candidate, default_candidate, suggest_candidate
from nas.detectors.detector import build_detector, count_detector, outputs_of
from nas.plan import TrainingPlan
from tests import brief_training
from tests.brief_training import LSB_MV, SHAPE, briefly_trained, example_windows
from tests.networks import run_tflm

ROOT = Path(__file__).resolve().parents[1]
optuna.logging.set_verbosity(optuna.logging.WARNING)

FS = 100.0
LEADS = (1, 2, 12)
N_POINTS = 30
N_DRAWS_MAX = 300
MACS_MAX = 20_000_000  # what the tests have time for, not what a filter may cost
ARENA_BYTES = 16 << 20
TENSORS_MAX = LAYERS_MAX = 128  # of a blob


@pytest.fixture(params=DETECTORS)
def name(request):
    return request.param


@pytest.fixture
def detector(name):
    return DETECTORS[name]


def points(name):
    """Yield candidates drawn at random, with the shape of their windows."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for i in range(N_DRAWS_MAX):
        n_leads = LEADS[i % len(LEADS)]
        candidate = suggest_candidate(study.ask(), name, FS, n_leads)
        yield candidate, (round(candidate.window_s * FS), n_leads)


def small_points(name):
    """Yield `N_POINTS` that are within the cap and quick to convert."""
    found = 0
    for candidate, shape in points(name):
        counts = candidate.count(shape)
        if counts.n_parameters <= PARAMETERS_MAX and counts.macs <= MACS_MAX:
            yield candidate, shape, counts
            found += 1
            if found == N_POINTS:
                return
    pytest.fail(f"{found} of {N_DRAWS_MAX} points drawn are small, {N_POINTS} are needed")


def untrained(candidate, shape):
    """Return the network as it begins, and how it would be scored."""
    keras.utils.set_random_seed(0)
    windows = example_windows(shape)
    model = build_detector(candidate.module, candidate.params, shape)
    losses = []

    def train(objective, stage="main", epochs=None):
        index = np.arange(4)
        inputs = list(objective.inputs(index, np.random.default_rng(0)))
        losses.append(np.asarray(objective.network(inputs if len(inputs) > 1 else inputs[0])))

    scoring = candidate.module.fit(candidate.params, model, windows, train)
    assert losses
    assert all(loss.shape == (4,) and np.isfinite(loss).all() for loss in losses)
    return model, scoring, windows


def test_every_point_of_the_search_space_becomes_firmware(name, tmp_path):
    for i, (candidate, shape, counts) in enumerate(small_points(name)):
        model, scoring, windows = untrained(candidate, shape)
        assert counts.n_parameters == model.count_params(), candidate
        path = tmp_path / f"{i}.keras"
        model.save(path)
        quantized = quantize(path, windows.codes[:2], LSB_MV, windows.codes[:1])
        graph = quantized.graph
        assert counts.macs == graph.macs, candidate
        assert max(len(graph.tensors), len(graph.layers)) <= TENSORS_MAX

        output, rule = graph.tensors[graph.output], SCORE_RULES[scoring.rule]
        constants = rule.quantize_constants(scoring.constants, output)
        score = blobs.Score(rule.code, constants)
        blob = blobs.write_blob(graph, SignalChain(), 100, quantized.tflite, score)
        codes = windows.codes[:3]
        outputs, scores = run_network(blob, Role.GATE, codes)
        reference = run_tflm(quantized.tflite, codes, ARENA_BYTES)
        np.testing.assert_array_equal(outputs, reference)
        np.testing.assert_array_equal(scores, rule.score(reference, output, constants))
        floats = outputs_of(model, windows).astype(np.float64)
        assert np.isfinite(rule.score_float(floats, scoring.constants)).all()


def test_every_point_counts_and_those_over_the_cap_are_refused(name):
    n_large = 0
    for candidate, shape in points(name):
        counts = count_detector(candidate.module, candidate.params, shape)
        assert min(counts.n_parameters, counts.macs) > 0
        if counts.n_parameters > PARAMETERS_MAX:
            n_large += 1
            with pytest.raises(ValueError, match=f"{name} of these parameters has [0-9,]+$"):
                candidate.check_cap(shape)
    assert n_large < N_DRAWS_MAX / 2  # else a search would mostly draw in vain


def test_a_point_survives_json(name):
    candidates = [default_candidate(name), *(point for point, _ in points(name))]
    for candidate in candidates:
        written = json.loads(json.dumps(candidate.to_json(), allow_nan=False))
        assert Candidate.from_json(written) == candidate
    assert len({candidate.params for candidate in candidates}) > N_DRAWS_MAX / 2


def test_params_are_frozen_and_have_defaults(detector):
    params = detector.Params()
    with pytest.raises(FrozenInstanceError):
        setattr(params, fields(params)[0].name, None)
    assert isinstance(detector.PLAN, TrainingPlan)


@pytest.mark.parametrize("window_len", [250, 500, 1000])
@pytest.mark.parametrize("n_leads", [1, 2, 12])
def test_the_default_takes_every_window(name, window_len, n_leads):
    candidate = default_candidate(name)
    candidate.check_cap((window_len, n_leads))
    model = build_detector(candidate.module, candidate.params, (window_len, n_leads))
    assert model.input_shape == (None, window_len, n_leads)
    assert model.count_params() == candidate.count((window_len, n_leads)).n_parameters


def test_a_window_that_is_too_short_is_refused(name):
    candidate = default_candidate(name)
    with pytest.raises(ValueError, match="the network must fit a window of 3 samples, it does not"):
        build_detector(candidate.module, candidate.params, (3, 1))


def test_same_seed_same_weights_and_scores(name, tmp_path):
    runs = [briefly_trained(name, tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2))]
    (first, first_scoring), (second, second_scoring), (other, _) = runs
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert first_scoring == second_scoring
    pairs = zip(first.get_weights(), other.get_weights(), strict=True)
    assert not all(np.array_equal(a, b) for a, b in pairs)


def test_one_finite_score_a_window(name, tmp_path):
    model, scoring = briefly_trained(name, tmp_path)
    outputs = outputs_of(model, example_windows(SHAPE)).astype(np.float64)
    constants = json.loads(json.dumps(scoring.constants, allow_nan=False))
    scores = SCORE_RULES[scoring.rule].score_float(outputs, constants)
    assert scores.shape == (len(outputs),)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) == len(scores)


@pytest.fixture(scope="module")
def by_backend(tmp_path_factory):
    """Train every family on this process's backend and, in another process, on JAX.

    Returns the folders that `tests.brief_training` fills, by backend.
    """
    folders = {b: tmp_path_factory.mktemp(b) for b in ("tensorflow", "jax")}
    brief_training.train_all(folders["tensorflow"])
    subprocess.run(
        [sys.executable, "-m", "tests.brief_training", folders["jax"], folders["tensorflow"]],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    brief_training.show_to_all(folders["tensorflow"], folders["jax"])
    return folders


@pytest.mark.parametrize(("here", "there"), [("tensorflow", "jax"), ("jax", "tensorflow")])
def test_a_network_of_one_backend_gives_the_same_on_the_other(name, by_backend, here, there):
    assert keras.backend.backend() == "tensorflow"
    for backend in (here, there):
        failure = by_backend[backend] / f"{name}.failed"
        assert not failure.exists(), failure.read_text()
    made = np.load(by_backend[here] / f"{name}.npy")
    loaded = np.load(by_backend[there] / f"{name}.theirs.npy")
    scale = np.abs(made).max()
    assert scale > 0
    np.testing.assert_allclose(loaded, made, atol=1e-5 * scale)
