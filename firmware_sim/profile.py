"""What a bundle costs on a board: instructions by layer and by function, flash, RAM, stack.

The emulated board plays golden windows, one after another. Its first window is not counted: from
then on every hop costs the same but for what the signal itself decides. Instructions are counted,
not sampled, and two runs give the same figures; milliseconds and microjoules are estimates.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets.records import Int16Array
from export.blob import read_header
from export.boards import Board
from export.bundle import Bundle
from export.device.image import RAM_SECTIONS
from export.device.linker_map import PADDING
from export.graph import Graph, read_graph
from export.pipeline import Decision

from .engines.qemu import CoreProfile, QemuEngine
from .functions import count_instructions, instructions_by_function, plugins_supported

FORMAT = 1
N_HOPS = 20
"""Decisions that are counted, behind the first window."""

PORT = "simulator's port"
NO_PLUGINS = "this machine's QEMU was built without TCG plugins"


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer: its multiply-accumulates a window, and the instructions a decision takes."""

    name: str
    op: str
    macs: int
    instructions: float


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """One network.

    Parameters
    ----------
    name : "filter" or "classifier".
    streams : whether a decision computes only the columns that are new since the one before.
    n_runs : decisions that were counted; a rejected window has no run of the classifier.
    macs : multiply-accumulates of a whole window.
    instructions : a run, with everything around the layers; None where it never ran.
    layers : in order of execution.
    """

    name: str
    streams: bool
    n_runs: int
    macs: int
    instructions: float | None
    layers: tuple[LayerCost, ...]


@dataclass(frozen=True, slots=True)
class FunctionCost:
    """One function: the object file it is from, and the instructions of all counted decisions."""

    source: str
    name: str
    instructions: int


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes of an image.

    Parameters
    ----------
    flash : by what they are: each network's blob, runtime, libraries, simulator's port, padding.
    ram : the same: arena, pipeline, stack (reserved), simulator's port.
    sections : by section; sources : by object file, the parts of flash that are code.
    stack_used : the deepest the stack got, of what is reserved.
    """

    flash: dict[str, int]
    ram: dict[str, int]
    sections: dict[str, int]
    sources: dict[str, int]
    stack_used: int

    @property
    def product_flash(self) -> int:
        """Flash of everything but the simulator's port."""
        return sum(n for name, n in self.flash.items() if name != PORT)

    @property
    def product_ram(self) -> int:
        """RAM of arena and pipeline: what the caller of `bg_open` provides."""
        return self.ram["arena"] + self.ram["pipeline"]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a bundle costs on a board.

    Parameters
    ----------
    bundle, commit : name and commit of the bundle; board : what ran it.
    hop_s : seconds from decision to decision; n_decisions, n_accepted : that were counted.
    chain : instructions a sample of the signal chain and the bookkeeping around it.
    fs : samples a second.
    frame_max : instructions of the costliest sample, which completed a window: the bound of the
        work in one `bg_push` of one sample, over all that was played.
    networks : the filter, then the classifier where the image has one.
    functions : by cost; functions_missing says why there are none.
    memory : of the image.
    """

    bundle: str
    commit: str
    board: Board
    hop_s: float
    fs: float
    n_decisions: int
    n_accepted: int
    chain: float
    frame_max: float
    networks: tuple[NetworkCost, ...]
    functions: tuple[FunctionCost, ...]
    functions_missing: str | None
    memory: MemoryUse

    @property
    def per_ecg_second(self) -> dict[str, float]:
        """Instructions a second of ECG takes where every window is accepted: the most it can."""
        parts = {"signal chain": self.chain * self.fs}
        return parts | {n.name: (n.instructions or 0.0) / self.hop_s for n in self.networks}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types, estimates beside what they were made from."""
        second = self.per_ecg_second
        total = sum(second.values())
        return {
            "format": FORMAT,
            **asdict(self),
            "per_ecg_second": {**second, "total": total},
            "estimates": {
                "what": "cycles_per_instruction is assumed; no wait states, no caches",
                "clock_hz": self.board.clock_hz,
                "cycles_per_instruction": self.board.cycles_per_instruction,
                "ms_per_ecg_second": self.board.milliseconds(total),
                "uj_per_ecg_second": self.board.microjoules(total),
                "energy_source": self.board.energy_source,
            },
            "memory": {
                **asdict(self.memory),
                "product_flash": self.memory.product_flash,
                "product_ram": self.memory.product_ram,
            },
        }


def measure_profile(
    bundle: Bundle, board: Board, with_classifier: bool = True, all_operators: bool = False
) -> Profile:
    """Run a bundle on an emulated board and return what it cost.

    Parameters
    ----------
    bundle : what to run; its golden windows are the signal.
    board : what to emulate.
    with_classifier : False builds and runs the filter alone.
    all_operators : True links those too that the bundle does not use.

    Raises
    ------
    OverBudget : the image does not fit the board.
    ValueError : the cross compiler or QEMU are missing.
    """
    signal = _signal(bundle)
    plugin = count_instructions if plugins_supported() else None

    def open_engine() -> QemuEngine:
        return QemuEngine(
            bundle,
            with_classifier=with_classifier,
            board=board,
            plugin=plugin,
            all_operators=all_operators,
        )

    with open_engine() as engine:
        played = _play(engine, *signal)
        functions = _functions(engine)
        memory = _memory(engine, bundle, with_classifier, played.later.stack_bytes)
    if functions:  # less those of boot and first window
        with open_engine() as engine:
            _play(engine, *signal, end=0)
            functions.subtract(_functions(engine))
    return Profile(
        bundle=bundle.path.name,
        commit=bundle.manifest["commit"],
        board=board,
        hop_s=bundle.data.hop_s,
        fs=bundle.data.fs,
        n_decisions=len(played.decisions),
        n_accepted=sum(decision.accepted for decision in played.decisions),
        chain=played.chain_total / len(signal[1]),
        frame_max=played.later.frame_max,
        networks=_networks(bundle, played),
        functions=tuple(
            FunctionCost(source, name, n) for (source, name), n in functions.most_common() if n > 0
        ),
        functions_missing=None if plugin else NO_PLUGINS,
        memory=memory,
    )


@dataclass(frozen=True, slots=True)
class _Played:
    """What an engine said of the decisions behind the first window, and before and after them."""

    decisions: list[Decision]
    runs: dict[str, list[float]]
    chain_total: float
    earlier: CoreProfile
    later: CoreProfile


def _play(
    engine: QemuEngine, first: Int16Array, rest: Int16Array, end: int | None = None
) -> _Played:
    """Play the first window, then `rest` up to sample `end`."""
    engine.push(first)
    earlier, before = engine.profile(), engine.instructions()
    decisions = engine.push(rest[:end])
    later, after = engine.profile(), engine.instructions()
    gate, classifier = (all_runs[1:] for all_runs in (after.gate, after.classifier))
    return _Played(
        decisions=decisions,
        runs={"filter": list(gate), "classifier": [n for n in classifier if n]},
        chain_total=after.chain_total - before.chain_total,
        earlier=earlier,
        later=later,
    )


def _signal(bundle: Bundle) -> tuple[Int16Array, Int16Array]:
    """Return the first window and what follows it: golden windows, accepted ones if there are."""
    golden = bundle.golden
    windows = golden.adc_counts[golden.accepted] if golden.accepted.any() else golden.adc_counts
    n_samples = bundle.data.window_len + N_HOPS * bundle.data.hop_len
    counts = np.concatenate(windows)
    signal = np.tile(counts, (-(-n_samples // len(counts)), 1))[:n_samples]
    return signal[: bundle.data.window_len], signal[bundle.data.window_len :]


def _functions(engine: QemuEngine) -> Counter[tuple[str, str]]:
    """End the emulation and return what its plugin has counted; nothing where it had none."""
    engine.exit()
    return instructions_by_function(engine.image) if engine.counts_functions else Counter()


def _networks(bundle: Bundle, played: _Played) -> tuple[NetworkCost, ...]:
    files = {"filter": bundle.filter_tflite, "classifier": bundle.classifier_tflite}
    blobs = {"filter": bundle.filter_blob, "classifier": bundle.classifier_blob}
    networks = []
    for name, ends in played.later.layers.items():
        graph, runs = read_graph(files[name]), played.runs[name]
        spent = [end - start for start, end in zip(played.earlier.layers[name], ends, strict=True)]
        networks.append(
            NetworkCost(
                name=name,
                streams=read_header(blobs[name]).stream_bytes > 0,
                n_runs=len(runs),
                macs=graph.macs,
                instructions=sum(runs) / len(runs) if runs else None,
                layers=tuple(
                    _layer(graph, index, instructions / len(runs) if runs else 0.0)
                    for index, instructions in enumerate(spent)
                ),
            )
        )
    return tuple(networks)


def _layer(graph: Graph, index: int, instructions: float) -> LayerCost:
    layer = graph.layers[index]
    return LayerCost(graph.layer_name(index), layer.op.name, layer.macs, instructions)


def _memory(
    engine: QemuEngine, bundle: Bundle, with_classifier: bool, stack_used: int
) -> MemoryUse:
    image = engine.image
    blobs = {"filter.bgm": len(bundle.filter_blob)}
    if with_classifier:
        blobs["classifier.bgm"] = len(bundle.classifier_blob)
    sources: Counter[str] = Counter()
    for piece in image.pieces:
        if piece.section not in (*RAM_SECTIONS, ".models") and piece.source != PADDING:
            sources[piece.source] += piece.n_bytes
    kinds = {"runtime": 0, "libraries": 0, PORT: 0}
    for source, n_bytes in sources.items():
        kinds[_kind(source)] += n_bytes
    flash = {**blobs, **kinds}
    ram = {
        "arena": image.sections[".arena"],
        "pipeline": engine.pipeline_bytes,
        "stack": image.sections[".stack"],
    }
    return MemoryUse(
        flash={**flash, "padding": image.flash_bytes - sum(flash.values())},
        ram={**ram, PORT: image.ram_bytes - sum(ram.values())},
        sections=dict(image.sections),
        sources=dict(sources.most_common()),
        stack_used=stack_used,
    )


def _kind(source: str) -> str:
    if source.startswith("ports/"):
        return PORT
    return "libraries" if ".a(" in source else "runtime"
