"""What every entry of DETECTORS promises; a new one is tested the moment it is listed."""

import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import FrozenInstanceError, fields
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
import pytest

from export.quantize import PARAMETERS_MAX
from export.score_rules import SCORE_RULES
from nas import DETECTORS
from nas.candidate import Candidate, default_candidate
from nas.checkpoint import StageCheckpoint
from nas.detectors.detector import build_detector, outputs_of
from nas.plan import TrainingPlan
from tests import brief_training
from tests.brief_training import SHAPE, briefly_trained, example_windows
from tests.detector_points import N_DRAWS, check_point, drawn_points, small_points

ROOT = Path(__file__).resolve().parents[1]
N_POINTS = 30


class Killed(BaseException):
    """Stands for Ctrl-C."""


@pytest.fixture(params=DETECTORS)
def name(request):
    return request.param


@pytest.fixture
def detector(name):
    return DETECTORS[name]


@pytest.fixture(scope="module")
def workers():
    """Processes, one a core, that take points beside each other."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawn) as pool:
        yield pool


def test_every_point_of_the_search_space_becomes_firmware(name, workers, tmp_path):
    check = partial(check_point, name, folder=tmp_path)
    assert list(workers.map(check, range(N_POINTS))) == [None] * N_POINTS


def test_every_point_counts_and_those_over_the_cap_are_refused(name):
    for candidate, shape in drawn_points(name):
        counts = candidate.count(shape)
        assert min(counts.n_parameters, counts.macs) > 0
        if counts.n_parameters > PARAMETERS_MAX:
            with pytest.raises(ValueError, match=rf"{name} of these parameters has [0-9,]+$"):
                candidate.check_cap(shape)
    assert len(small_points(name)) > N_DRAWS / 2  # else a search would mostly draw in vain


def test_a_point_survives_json(name):
    candidates = [default_candidate(name), *(point for point, _ in drawn_points(name))]
    for candidate in candidates:
        written = json.loads(json.dumps(candidate.to_json(), allow_nan=False))
        assert Candidate.from_json(written) == candidate
    assert len({candidate.params for candidate in candidates}) > N_DRAWS / 2


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


def equal(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train a family undisturbed, once for all tests."""
    return cache(lambda name: briefly_trained(name, tmp_path_factory.mktemp(name)))


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """Train a family, killed `n_times` behind an epoch that was just kept, to its end."""

    def train(name, n_times, **fields):
        save = StageCheckpoint.save

        def kill(self, model, losses):
            save(self, model, losses)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(StageCheckpoint, "save", kill)
            for _ in range(n_times):
                with pytest.raises(Killed):
                    briefly_trained(name, tmp_path / "killed", **fields)
        return briefly_trained(name, tmp_path / "killed", **fields)

    return train


def test_a_killed_training_ends_as_an_undisturbed_one(name, trained, resumed):
    (whole, whole_scoring), (model, scoring) = trained(name), resumed(name, 1)
    assert equal(model, whole)
    assert scoring == whole_scoring


def test_so_does_one_killed_in_every_stage(resumed, tmp_path):
    """The soft boundary's centre and radius come from the pretrained network."""
    fields = {"objective": "soft_boundary", "pretrain_epochs": 2}
    whole, whole_scoring = briefly_trained("deep_svdd", tmp_path / "whole", **fields)
    model, scoring = resumed("deep_svdd", 3, **fields)
    assert equal(model, whole)
    assert scoring == whole_scoring


def test_another_seed_gives_other_weights(name, trained, tmp_path):
    assert not equal(trained(name)[0], briefly_trained(name, tmp_path, seed=1)[0])


def test_one_finite_score_a_window(name, trained):
    model, scoring = trained(name)
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
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
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
    np.testing.assert_allclose(loaded, made, atol=1e-4 * scale)
