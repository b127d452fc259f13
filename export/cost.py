"""What networks cost on a board before they are trained: exact bytes, estimated instructions.

Bytes come from the planners and writers that make the real thing, run on a network whose weights
are made up. Instructions are a sum over `export/cost_features.py`, with coefficients that `python
-m firmware_sim calibrate-cost` fits to runs on the emulated core and keeps in `export/costs/`.
docs/cost.md has the errors on networks it was not fitted on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .arena import ArenaPlan, fit_scratch, plan_arena
from .blob import Score, write_blob
from .boards import Board
from .core_fit import REFIT, CoreFit, load_core_fit
from .cost_features import Counts, decision_counts, stream_counts, window_counts
from .device.image import LAYER_TICKS_BYTES, objects_sha256
from .layers import Graph, Tensor
from .pipeline import Pipeline
from .score_rules import SCORE_RULES
from .signal_chain import SignalChain
from .streaming import NotStreamableError, StreamPlan, plan_stream


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A network as the firmware would hold and run it.

    Parameters
    ----------
    graph : its layers, with the tiles that the plan gave them.
    hop_len : frames from decision to decision.
    score_rule : number of a gate's, None for a classifier.
    arena : its memory on whole windows; stream : how it runs along the stream, None = it does not.
    blob : of the right size and with the right plans; the weights are the graph's.
    """

    graph: Graph
    hop_len: int
    score_rule: int | None
    arena: ArenaPlan
    stream: StreamPlan | None
    blob: bytes

    @property
    def work(self) -> tuple[list[Counts], Counts]:
        """What a decision takes: of each layer, and of everything around them."""
        rest: Counts = Counter()
        if self.score_rule is not None:
            rest = decision_counts(self.graph, self.score_rule, self.stream is not None)
        if self.stream is None:
            return window_counts(self.graph, self.arena), rest
        return stream_counts(self.graph, self.stream, self.hop_len), rest


def plan_network(
    graph: Graph,
    hop_len: int,
    score: Score | None,
    chain: SignalChain | None = None,
    streams: bool = True,
) -> PlannedNetwork:
    """Plan a network as `python -m export bundle` would.

    Parameters
    ----------
    graph : made by `GraphBuilder`, or read from a .tflite.
    hop_len : frames between decisions.
    score : of a gate, `untrained_score` before it has one; None makes it a classifier.
    chain : in front of it; default the plainest.
    streams : False keeps a gate on whole windows. It streams where it can; a classifier never does.

    Raises
    ------
    FirmwareError : the firmware would refuse the network.
    """
    chain = chain or SignalChain()
    stream = None
    if streams and score is not None:
        try:
            stream = plan_stream(graph, hop_len)
        except NotStreamableError:
            pass  # on whole windows, as the bundle would have it
    fitted = fit_scratch(graph)
    return PlannedNetwork(
        graph=fitted,
        hop_len=hop_len,
        score_rule=None if score is None else score.rule,
        arena=plan_arena(fitted),
        stream=stream,
        blob=write_blob(graph, chain, hop_len, b"", score, stream),
    )


def untrained_score(rule: str, n_outputs: int, n_parts: int = 1) -> Score:
    """Return a score of a rule's size, for a network that has no constants yet.

    Parameters
    ----------
    rule : a name in `SCORE_RULES`; n_parts : of "table_sum", up to one an output.

    Raises
    ------
    ValueError : the rule has no such parts.
    """
    constants: dict[str, Any] = {"centre": [0.0] * n_outputs}
    if rule == "table_sum":
        counts = [1] * (n_parts - 1) + [n_outputs - n_parts + 1]
        part = {"function": "square", "weight": 1.0, "gain": 1.0}
        constants = {"parts": [{"count": count, **part} for count in counts]}
    elif n_parts != 1:
        raise ValueError(f"{rule} must have one part, got {n_parts}")
    output = Tensor(1, n_outputs, 1 / 64, 0)
    return Score(SCORE_RULES[rule].code, SCORE_RULES[rule].quantize_constants(constants, output))


@dataclass(frozen=True, slots=True)
class NetworkEstimate:
    """Instructions of one network.

    Parameters
    ----------
    role : "filter" or "classifier".
    streams : whether a decision computes only the columns that are new since the one before.
    names, layers : of each layer in order of execution, and its instructions a decision.
    per_window : all of a decision.
    """

    role: str
    streams: bool
    names: tuple[str, ...]
    layers: tuple[float, ...]
    per_window: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pipeline costs on a board.

    Parameters
    ----------
    board : its name; hop_s : seconds from decision to decision.
    blob_bytes : of each network; arena_bytes : of them together, with the signal chain's.
    image_flash_bytes, image_ram_bytes : of the whole image, which links the networks' operators.
        Bytes are exact.
    networks : gates, then the classifier. Instructions are estimates, and those of the signal
        chain are not among them.
    """

    board: str
    hop_s: float
    blob_bytes: tuple[int, ...]
    arena_bytes: int
    image_flash_bytes: int
    image_ram_bytes: int
    networks: tuple[NetworkEstimate, ...]

    @property
    def per_window(self) -> float:
        """Instructions of a decision whose window is accepted."""
        return sum(network.per_window for network in self.networks)

    @property
    def per_ecg_second(self) -> float:
        """Instructions a second of ECG takes where every window is accepted."""
        return self.per_window / self.hop_s

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        rates = {"per_window": self.per_window, "per_ecg_second": self.per_ecg_second}
        return {**asdict(self), **rates}


@dataclass(frozen=True, slots=True)
class CostModel:
    """What networks cost on one board.

    Parameters
    ----------
    board : which; fit : of its core.
    stale : why figures may be off, None if they are not: the firmware has changed since.
    """

    board: Board
    fit: CoreFit
    stale: str | None

    def estimate(self, network: PlannedNetwork) -> NetworkEstimate:
        """Return the instructions of a decision."""
        layers, rest = network.work
        each = tuple(map(self._instructions, layers))
        return NetworkEstimate(
            role="classifier" if network.score_rule is None else "filter",
            streams=network.stream is not None,
            names=tuple(network.graph.layer_name(i) for i in range(len(each))),
            layers=each,
            per_window=sum(each) + self._instructions(rest),
        )

    def _instructions(self, counts: Counts) -> float:
        known = self.fit.coefficients
        return sum(known.get(name, 0.0) * n for name, n in counts.items())

    def cost(
        self,
        gates: Sequence[PlannedNetwork],
        classifier: PlannedNetwork | None = None,
        fs: float = 100.0,
    ) -> Cost:
        """Return what a pipeline costs.

        Parameters
        ----------
        gates, classifier : planned behind one signal chain, for one window and hop.
        fs : of the networks in Hz.

        Raises
        ------
        FirmwareError : the networks make no pipeline.
        """
        networks = [*gates, *([classifier] if classifier else [])]
        blobs = tuple(len(network.blob) for network in networks)
        n_layers = sum(len(network.graph.layers) for network in networks)
        last = None if classifier is None else classifier.blob
        with Pipeline([gate.blob for gate in gates], last) as pipeline:
            arena_bytes = pipeline.arena_bytes
        code = self.fit.images[self.board.name].code
        operators = {layer.op for network in networks for layer in network.graph.layers}
        return Cost(
            board=self.board.name,
            hop_s=networks[0].hop_len / fs,
            blob_bytes=blobs,
            arena_bytes=arena_bytes,
            image_flash_bytes=code.flash_bytes(operators) + sum(blobs),
            image_ram_bytes=code.ram_bytes + arena_bytes + n_layers * LAYER_TICKS_BYTES,
            networks=tuple(map(self.estimate, networks)),
        )


def load_cost_model(board: Board) -> CostModel:
    """Return the model of a board, as its core was fitted.

    Raises
    ------
    ValueError : its core was not, or with other compiler flags.
    """
    fit = load_core_fit(board)
    then, now = fit.images[board.name].objects_sha256, objects_sha256(board)
    stale = None
    if then != now:
        stale = (
            f"the cost model of {board.name} is of other firmware sources ({then[:12]}) than these "
            f"({now[:12]}): {REFIT} --board {board.name}"
        )
    return CostModel(board, fit, stale)
