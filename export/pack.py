"""A training run made into a bundle: int8, calibrated, with golden vectors and a model card."""

from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from datasets import DATASETS, LeaveOneOut, leave_one_out, open_dataset
from datasets.records import Int8Array

from .blob import Score, read_header, with_chain, with_threshold, write_blob
from .bundle import FORMAT, write_bundle
from .chain_windows import windows_of
from .golden import golden_file, golden_windows, other_sensors
from .layers import Graph
from .model_card import model_card
from .native import Role
from .pipeline import Pipeline, run_network
from .provenance import commit
from .quantize import QuantizedModel, quantize
from .score_rules import SCORE_RULES
from .signal_chain import SignalChain
from .streaming import NotStreamableError, StreamPlan, plan_stream
from .threshold import Threshold, fit_threshold
from .training_run import (
    PARTS,
    DataSettings,
    TrainedPart,
    load_part,
    model_path,
)

RANK_CORRELATION_MIN = 0.95
"""Least Spearman correlation of float with int8: of the filter's score, of each logit.

The one tolerance of the project; behind the int8 network everything is equal to the bit.
"""
N_REPRESENTATIVE = 500
TOOLS = ("tensorflow-cpu", "keras", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the bundle, and how far int8 is from float."""

    trained: TrainedPart
    quantized: QuantizedModel
    blob: bytes
    rank_correlation: float
    execution: str

    @property
    def cost(self) -> dict[str, int]:
        """Exact figures: of the network, of its blob, of its memory in either form."""
        header = read_header(self.blob)
        return {
            "n_parameters": self.quantized.graph.n_parameters,
            "macs_per_window": self.quantized.graph.macs,
            "blob_bytes": len(self.blob),
            "activation_bytes": header.activation_bytes,
            "stream_bytes": header.stream_bytes,
            "stream_step": header.stream_step,
        }


def pack_bundle(
    run: Path,
    out: Path,
    alpha: float = 0.05,
    data: str | None = None,
    cache: Path | None = None,
    front_end: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the bundle `out` from the training run `run` and return its manifest.

    The int8 ranges come from training windows, the threshold from the clean in-distribution
    windows of the calibration half of the selection fold. The held-out class is in neither.

    Parameters
    ----------
    run : folder written by `python -m nas train` and `python -m nas classifier`.
    out : folder to make; an existing bundle there is replaced file by file, the manifest last.
    alpha : false-reject rate of clean in-distribution windows.
    data : where the recordings lie now; default where they lay in training.
    cache : folder of the data set's cache.
    front_end : what of the sensor the bundle is for differs from the one that made the recordings:
        some of `fs`, `adc_gain`, `baseline`, `mains_hz`.

    Raises
    ------
    ValueError : a check of `quantize`, `fit_threshold` or the float parity failed, or no signal
        chain leads from that sensor to the networks.
    FileNotFoundError : the run or its data set is incomplete.
    """
    trained = {part: load_part(run, part) for part in PARTS}
    settings = trained["filter"].data
    if trained["classifier"].data != settings:
        raise ValueError(f"filter and classifier of {run} must share their data settings")
    chain = settings.chain.for_front_end(**{**settings.chain.front_end, **(front_end or {})})
    dataset = open_dataset(settings.dataset, data or settings.data, settings.fs, cache)
    if dataset.fingerprint != settings.fingerprint:
        raise ValueError(
            f"{data or settings.data} must hold the {settings.dataset} that {run} was trained on, "
            f"its tables or settings differ"
        )
    protocol = leave_one_out(dataset, settings.hold_out, rehearsal=settings.rehearsal)
    representative = representative_windows(protocol, settings, trained["filter"].seed)
    records = protocol.records("calibration", settings.leads, clean_only=True)
    calibration = windows_of(records, settings.chain, settings.window_len, settings.hop_len).x
    gate, classifier = (
        _checked(run, part, make_network(run, part, trained[part], representative, calibration))
        for part in PARTS
    )
    _, scores = run_network(gate.blob, Role.GATE, calibration)
    threshold = fit_threshold(scores, alpha)
    gate = replace(gate, blob=with_chain(with_threshold(gate.blob, threshold.value), chain))
    classifier = replace(classifier, blob=with_chain(classifier.blob, chain))

    manifest = _manifest(settings, chain, dataset.source, gate, classifier, threshold)
    golden = golden_windows(records, settings.chain.n_samples(settings.window_len))
    if chain != settings.chain:
        golden = other_sensors(golden, settings.chain, chain, settings.window_len)
    files = {
        "filter.tflite": gate.quantized.tflite,
        "filter.bgm": gate.blob,
        "classifier.tflite": classifier.quantized.tflite,
        "classifier.bgm": classifier.blob,
        "golden.npz": golden_file(gate.blob, classifier.blob, golden),
        "MODEL_CARD.md": model_card(manifest).encode(),
    }
    return write_bundle(out, files, manifest)


def representative_windows(protocol: LeaveOneOut, data: DataSettings, seed: int) -> Int8Array:
    """Return windows of randomly chosen training records, int8 (n_windows, window_len, n_leads)."""
    record_ids = protocol.record_ids("train")
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(record_ids))[:N_REPRESENTATIVE]
    picked = [protocol.open(record_ids[i], "train", data.leads).whole() for i in sorted(chosen)]
    return windows_of(picked, data.chain, data.window_len, data.hop_len).x


def make_network(
    run: Path, part: str, trained: TrainedPart, windows: Int8Array, held_back: Int8Array
) -> Network:
    """Quantize one part of a run and write its blob, without a threshold yet.

    Parameters
    ----------
    run : folder of the run; part : of `trained`, "filter" or "classifier".
    windows : int8 codes (n_windows, window_len, n_leads) that the int8 ranges come from.
    held_back : others, on which int8 is compared with float; whether it is near enough is the
        caller's to say.

    Raises
    ------
    ValueError : a check of `quantize` failed, or a classifier's outputs are not its classes.
    """
    data = trained.data
    quantized = quantize(model_path(run, part), windows, data.lsb_mv, held_back)
    output = quantized.graph.tensors[quantized.graph.output]
    expected = quantized.float_outputs.astype(np.float64)
    if part == "filter":
        rule = SCORE_RULES[str(trained.score_rule)]
        constants = rule.quantize_constants(trained.score_constants, output)
        score, role = Score(rule.code, constants), Role.GATE
        expected = rule.score_float(expected, trained.score_constants)[:, np.newaxis]
    else:
        if output.n_bytes != len(trained.classes):
            raise ValueError(
                f"{model_path(run, part)} must have one output a class "
                f"({', '.join(trained.classes)}), has {output.n_bytes}"
            )
        score, role = None, Role.CLASSIFIER
    stream, execution = _streaming(quantized.graph, data.hop_len, part)
    blob = write_blob(quantized.graph, data.chain, data.hop_len, quantized.tflite, score, stream)
    outputs, scores = run_network(blob, role, held_back)
    found = outputs if score is None else scores[:, np.newaxis]
    columns = zip(found.T, expected.T, strict=True)
    # A constant column has no ranks: its NaN must be the least.
    correlation = min(np.nan_to_num(stats.spearmanr(a, b).statistic, nan=-1) for a, b in columns)
    return Network(trained, quantized, blob, float(correlation), execution)


def _checked(run: Path, part: str, network: Network) -> Network:
    """Return `network`, or refuse one whose int8 form ranks windows otherwise than the float one.

    A classifier is held to it by each logit.
    """
    if network.rank_correlation < RANK_CORRELATION_MIN:
        raise ValueError(
            f"int8 {part} of {run} must rank windows as the float network does "
            f"(Spearman >= {RANK_CORRELATION_MIN}), got {network.rank_correlation:.3f}"
        )
    return network


def _streaming(graph: Graph, hop_len: int, part: str) -> tuple[StreamPlan | None, str]:
    """Return how a part runs along the stream, None for whole windows, and that in words.

    A gate runs on every window, so it streams where it can. The classifier runs only on what
    passed: along the stream it would run always.
    """
    if part != "filter":
        return None, "on whole windows: it runs on accepted ones alone"
    try:
        plan = plan_stream(graph, hop_len)
    except NotStreamableError as error:
        return None, f"on whole windows: {error}"
    return plan, f"along the stream, every {plan.step} frames"


def _manifest(
    data: DataSettings,
    chain: SignalChain,
    source: str,
    gate: Network,
    classifier: Network,
    threshold: Threshold,
) -> dict[str, Any]:
    with Pipeline([gate.blob], classifier.blob) as pipeline:
        arena_bytes = pipeline.arena_bytes
    return {
        "format": FORMAT,
        "commit": commit(),
        "versions": {tool: version(tool) for tool in TOOLS},
        "data": asdict(_portable(data)),
        "front_end": chain.front_end,
        "source": source,
        "arena_bytes": arena_bytes,
        "filter": {
            "seed": gate.trained.seed,
            "score_rule": gate.trained.score_rule,
            "score_constants": gate.trained.score_constants,
            "threshold": asdict(threshold),
            "spearman_int8_float": round(gate.rank_correlation, 4),
            "execution": gate.execution,
            "cost": gate.cost,
            "training": gate.trained.details,
        },
        "classifier": {
            "seed": classifier.trained.seed,
            "classes": list(classifier.trained.classes),
            "spearman_int8_float": round(classifier.rank_correlation, 4),
            "execution": classifier.execution,
            "cost": classifier.cost,
            "training": classifier.trained.details,
        },
    }


def _portable(data: DataSettings) -> DataSettings:
    """Return `data` without where a folder lay on this disk."""
    return replace(data, data=None) if DATASETS[data.dataset].needs_folder else data
