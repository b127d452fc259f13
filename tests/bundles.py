"""Bundles for tests, made without TensorFlow: a complete one, and one without networks."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from export import blob as blobs
from export.bundle import FORMAT, Bundle, Golden, load_bundle, write_bundle
from export.golden import golden_file
from export.graph import read_graph
from export.native import Role
from export.pipeline import Pipeline, run_network
from export.training_run import DataSettings
from tests.networks import small_network
from tests.streamable import EXAMPLE_CONSTANTS, example_score


def bare_bundle(threshold, hold_out="HYP", leads=("I",), stream_step=0):
    """Return a bundle without networks, for what reads its manifest and headers."""
    data = DataSettings("synthetic", None, leads, hold_out)
    fitted = {"value": threshold, "alpha": 0.05, "n_calibration": 400}
    return Bundle(
        path=Path("build/test"),
        manifest={
            "commit": "abc1234",
            "versions": {"keras": "3"},
            "arena_bytes": 4096,
            "front_end": data.chain.front_end,
            "filter": {"seed": 7, "threshold": fitted},
            "classifier": {"seed": 7},
        },
        data=data,
        chain=data.chain,
        classes=data.classes,
        filter_tflite=b"",
        filter_blob=bare_blob(stream_step),
        classifier_tflite=b"",
        classifier_blob=b"",
        golden=Golden(*[np.zeros(0)] * 5),
    )


def bare_blob(stream_step):
    """Return a blob without layers, of as little as `read_header` needs."""
    header = np.zeros(1, blobs.HEADER_DTYPE)
    header["tensors"], header["n_tensors"] = header.nbytes, 1
    header["chain"]["up"] = 1
    header["stream_step"] = stream_step
    return header.tobytes() + bytes(blobs.TENSOR_DTYPE.itemsize)


def ecg_like(seed, n_samples=1000, n_leads=1):
    """Return counts with beats of random size and noise, int16 (n_samples, n_leads)."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples)[:, np.newaxis]
    beats = rng.uniform(200, 2500) * (t % rng.integers(50, 110) < 5)
    return (beats + rng.normal(300, 40, (n_samples, n_leads))).astype(np.int16)


def make_bundle(folder, n_leads=1, dataset="synthetic", score_rule="squared_distance"):
    """Write a bundle whose threshold rejects about half of `ecg_like`, and load it."""
    leads = ("I", "II", "V1")[:n_leads]
    data = DataSettings(dataset, None, leads, "HYP")
    gate_file = small_network(1, data.window_len, n_leads)
    head_file = small_network(2, data.window_len, n_leads, classifier=True)
    graph = read_graph(gate_file)
    output = graph.tensors[graph.output]
    score = example_score(score_rule, output)
    gate = blobs.write_blob(graph, data.chain, data.hop_len, gate_file, score)
    windows = np.stack([ecg_like(seed, n_leads=n_leads) for seed in range(12)])
    codes = np.stack([data.chain.apply(window) for window in windows])
    threshold = int(np.median(run_network(gate, Role.GATE, codes)[1]))
    gate = blobs.with_threshold(gate, threshold)
    head = blobs.write_blob(read_graph(head_file), data.chain, data.hop_len, head_file, None)
    with Pipeline([gate], head) as pipeline:
        arena_bytes = pipeline.arena_bytes
    files = {
        "filter.tflite": gate_file,
        "filter.bgm": gate,
        "classifier.tflite": head_file,
        "classifier.bgm": head,
        "golden.npz": golden_file(gate, head, windows),
        "MODEL_CARD.md": b"# Model card of a test\n",
    }
    manifest = {
        "format": FORMAT,
        "commit": "test",
        "versions": {},
        "data": asdict(data),
        "front_end": data.chain.front_end,
        "source": "made by the tests",
        "arena_bytes": arena_bytes,
        "filter": {
            "seed": 0,
            "score_rule": score_rule,
            "score_constants": EXAMPLE_CONSTANTS[score_rule](output),
            "threshold": {"value": threshold, "alpha": 0.5, "n_calibration": 12},
            "training": {"detector": "deep_svdd"},
        },
        "classifier": {"seed": 0, "classes": list(data.classes), "training": {}},
    }
    write_bundle(folder, files, manifest)
    return load_bundle(folder)
