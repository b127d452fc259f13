"""Random points of the detectors' search spaces, and what each has to go through.

Free of pytest, so that processes beside it can take a share of the points.
"""

import os
from functools import cache

# Workers share the cores already. Read once, when TensorFlow is loaded.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import keras
import numpy as np
import optuna

from export import blob as blobs
from export.native import Role
from export.pipeline import run_network
from export.quantize import PARAMETERS_MAX, quantize
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from nas.candidate import suggest_candidate
from nas.detectors.detector import build_detector
from tests.brief_training import LSB_MV, example_windows
from tests.networks import run_tflm

optuna.logging.set_verbosity(optuna.logging.WARNING)

FS = 100.0
LEADS = (1, 2, 12)
N_DRAWS = 150
MACS_MAX = 20_000_000  # what the tests have time for, not what a filter may cost
ARENA_BYTES = 16 << 20  # TFLite Micro's
BLOB_LIMIT = 128  # tensors, and layers


@cache
def drawn_points(name):
    """Return `N_DRAWS` candidates drawn at random, with the shape of their windows."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = []
    for i in range(N_DRAWS):
        n_leads = LEADS[i % len(LEADS)]
        candidate = suggest_candidate(study.ask(), name, FS, n_leads)
        points.append((candidate, (round(candidate.window_s * FS), n_leads)))
    return points


@cache
def small_points(name):
    """Return those points that are within the cap and quick to convert."""
    counted = [(*point, point[0].count(point[1])) for point in drawn_points(name)]
    return [p for p in counted if p[2].n_parameters <= PARAMETERS_MAX and p[2].macs <= MACS_MAX]


def untrained(candidate, windows):
    """Return the network as it begins and how it would be scored; every objective gives a loss."""
    keras.utils.set_random_seed(0)
    model = build_detector(candidate.module, candidate.params, windows.shape)
    losses = []

    def train(objective, stage="main", epochs=None):
        inputs = list(objective.inputs(np.arange(4), np.random.default_rng(0)))
        loss = objective.network(inputs if len(inputs) > 1 else inputs[0])
        losses.append(keras.ops.convert_to_numpy(loss))

    scoring = candidate.module.fit(candidate.params, model, windows, train)
    assert losses
    assert all(loss.shape == (4,) and np.isfinite(loss).all() for loss in losses)
    rng = np.random.default_rng(0)
    model.set_weights([_stirred(weights, rng) for weights in model.get_weights()])
    return model, scoring


def _stirred(weights, rng):
    """Return weights, random in place of a kernel that starts at zero, each in its own way.

    No trained kernel is zero. The int8 scale of one that is would be next to nothing, and its bias
    in steps of that more than the firmware takes. Of two equal ones the converter makes one layer.
    """
    if weights.ndim < 2 or weights.any():
        return weights
    return rng.normal(0, 0.1, weights.shape).astype(weights.dtype)


def check_point(name, index, folder):
    """Take a point from its parameters to the firmware; raise AssertionError where it breaks."""
    candidate, shape, counts = small_points(name)[index]
    windows = example_windows(shape)
    model, scoring = untrained(candidate, windows)
    assert counts.n_parameters == model.count_params(), candidate
    path = folder / f"{name}-{index}.keras"
    model.save(path)
    quantized = quantize(path, windows.codes[:2], LSB_MV, windows.codes)
    graph = quantized.graph
    assert counts.macs == graph.macs, candidate
    assert max(len(graph.tensors), len(graph.layers)) <= BLOB_LIMIT, candidate

    output, rule = graph.tensors[graph.output], SCORE_RULES[scoring.rule]
    constants = rule.quantize_constants(scoring.constants, output)
    score = blobs.Score(rule.code, constants)
    blob = blobs.write_blob(graph, SignalChain(), 100, quantized.tflite, score)
    outputs, scores = run_network(blob, Role.GATE, windows.codes[:3])
    reference = run_tflm(quantized.tflite, windows.codes[:3], ARENA_BYTES)
    np.testing.assert_array_equal(outputs, reference, repr(candidate))
    np.testing.assert_array_equal(scores, rule.score(reference, output, constants), repr(candidate))
    floats = rule.score_float(quantized.float_outputs.astype(np.float64), scoring.constants)
    assert np.isfinite(floats).all(), candidate
