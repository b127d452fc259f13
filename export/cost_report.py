"""`python -m export cost`: what a file or a bundle costs on a board, for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .blob import Score, read_header
from .bundle import Bundle, load_bundle
from .cost import Cost, CostModel, PlannedNetwork, plan_network, untrained_score
from .graph import read_graph
from .layers import Graph
from .score_rules import SCORE_RULES
from .signal_chain import SignalChain

RULE = "squared_distance"


@dataclass(frozen=True, slots=True)
class Planned:
    """A pipeline to cost: its networks and their rate in Hz."""

    gates: tuple[PlannedNetwork, ...]
    classifier: PlannedNetwork | None
    fs: float


def plan_source(source: Path, hop_s: float = 1.0, is_classifier: bool = False) -> Planned:
    """Return the networks of a bundle, or the one network of a .tflite or .keras file.

    Parameters
    ----------
    source : a bundle is taken as it is. A .keras file need not be trained; it is converted with
        ranges from noise, for which TensorFlow is needed.
    hop_s : seconds between decisions; is_classifier : what a file is. Not of a bundle.

    Raises
    ------
    ValueError : it is none of these, or the firmware cannot run it.
    FileNotFoundError : there is no such file.
    """
    if source.is_dir():
        return _plan_bundle(load_bundle(source))
    chain = SignalChain()
    graph = _read_file(source, chain.lsb_mv)
    score = None
    if not is_classifier:
        score = untrained_score(RULE, graph.tensors[graph.output].n_bytes)
    network = plan_network(graph, round(hop_s * chain.fs_target), score, chain)
    if is_classifier:
        return Planned((), network, chain.fs_target)
    return Planned((network,), None, chain.fs_target)


def _read_file(source: Path, lsb_mv: float) -> Graph:
    if source.suffix == ".tflite":
        return read_graph(source.read_bytes())
    if source.suffix == ".keras":
        from .quantize import untrained_graph

        return untrained_graph(source, lsb_mv)
    raise ValueError(f"{source} must be a bundle, a .tflite or a .keras file")


def _plan_bundle(bundle: Bundle) -> Planned:
    hop_len = bundle.data.hop_len
    header = read_header(bundle.filter_blob)
    rule = SCORE_RULES[bundle.manifest["filter"]["score_rule"]]
    score = Score(rule.code, np.array(header.score_constants, np.int32), header.threshold)
    gate = plan_network(read_graph(bundle.filter_tflite), hop_len, score, bundle.chain)
    classifier = plan_network(read_graph(bundle.classifier_tflite), hop_len, None, bundle.chain)
    return Planned((gate,), classifier, bundle.chain.fs_target)


def cost_lines(cost: Cost, model: CostModel) -> Iterator[str]:
    """Yield what `python -m export cost` prints."""
    board = model.board
    yield f"on {board.name} ({board.cpu}), an estimate of instructions a decision"
    for network in cost.networks:
        how = "along the stream" if network.streams else "on whole windows"
        yield f"{f'{network.role}, {how}':<34}{network.per_window:>14,.0f}"
        for name, instructions in zip(network.names, network.layers, strict=True):
            yield f"  {name:<32}{instructions:>14,.0f}"
    yield (
        f"a second of ECG  {cost.per_ecg_second:,.0f} instructions where every window is accepted, "
        f"{board.milliseconds(cost.per_ecg_second):,.2f} ms at {board.clock_hz / 1e6:g} MHz, "
        "the signal chain not included"
    )
    for name, error in model.fit.errors.items():
        yield (
            f"off by           {error.median:.1%} at the median and {error.worst:.1%} at most on "
            f"{error.n} other networks, {name}"
        )
    yield f"blobs            {' + '.join(f'{n:,}' for n in cost.blob_bytes)} bytes, exact"
    yield f"arena            {cost.arena_bytes:,} bytes, exact"
    yield (
        f"image            {_of(cost.image_flash_bytes, board.flash_bytes)} bytes of flash, "
        f"{_of(cost.image_ram_bytes, board.ram_bytes)} of RAM, exact"
    )


def _of(needed: int, available: int) -> str:
    return f"{needed:,} of {available:,}"
