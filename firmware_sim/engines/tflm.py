"""The independent oracle: TFLite Micro's own kernels on the .tflite, everything else in Python.

Shares no code with the firmware: the signal chain is redone in Python integers, the ring and the
gate in numpy. Slow, and meant to be.
"""

import zlib
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.records import Int8Array, Int16Array
from export.bundle import Bundle
from export.graph import Graph, read_graph
from export.pipeline import Decision, Uint32Array
from export.score_rules import SCORE_RULES
from export.signal_chain import FRACTION_BITS, SignalChain

from .engine import ClosingEngine, InstructionCounts

ARENA_BYTES = 4 << 20  # TFLite Micro's, far above any network under the parameter cap
STATE_MAX = 2**29 - 1  # as in chain.c


class PythonChain:
    """The signal chain in Python's unbounded integers, sample by sample."""

    def __init__(self, chain: SignalChain, n_leads: int) -> None:
        settings = chain.settings(n_leads)
        names = settings.dtype.names or ()
        self._c = {name: int(settings[name]) for name in names}
        taps = chain.taps
        self._taps = [[1 << self._c["taps_shift"]]] if taps is None else taps.tolist()
        self._until = 0  # from the newest sample to the next frame, in 1 / up of a sample
        self._leads: list[_Lead] = []

    def push(self, frame: list[int]) -> list[list[int]]:
        """Return the frames of codes that one frame of counts completes."""
        xs = [(count - self._c["baseline"]) << FRACTION_BITS for count in frame]
        if not self._leads:
            self._leads = [_Lead.at_rest(x, len(self._taps[0])) for x in xs]
        for lead, x in zip(self._leads, xs, strict=True):
            lead.history.appendleft(self._notch(lead, x))
        frames = []
        while self._until < self._c["up"]:
            frames.append([self._code(lead, self._taps[self._until]) for lead in self._leads])
            self._until += self._c["down"]
        self._until -= self._c["up"]
        return frames

    def _notch(self, lead: "_Lead", x: int) -> int:
        b0, a1 = self._c["notch_b0_q30"], self._c["notch_a1_q30"]
        return lead.notch.run(x, (b0, a1, b0), (a1, 2 * b0 - 2**30)) if b0 else x

    def _code(self, lead: "_Lead", taps: list[int]) -> int:
        shift = self._c["taps_shift"]
        total = sum(tap * x for tap, x in zip(taps, lead.history, strict=True))
        x = _saturated((total + (1 << shift >> 1)) >> shift)
        b0, a1, a2 = (self._c[name] for name in ("b0_q30", "a1_q30", "a2_q30"))
        y = lead.high_pass.run(x, (b0, -2 * b0, b0), (a1, a2))
        code = (y * self._c["scale"] + (1 << self._c["scale_shift"] - 1)) >> self._c["scale_shift"]
        return max(-128, min(127, code))


@dataclass(slots=True)
class _Section:
    """A second-order section at rest: its last inputs, its last outputs, its rounding remainder."""

    x: list[int]
    y: list[int]
    residue: int = 0

    def run(self, x: int, b: tuple[int, int, int], a: tuple[int, int]) -> int:
        acc = b[0] * x + b[1] * self.x[0] + b[2] * self.x[1] + self.residue
        exact, self.residue = divmod(acc - a[0] * self.y[0] - a[1] * self.y[1], 2**30)
        y = _saturated(exact)
        if y != exact:
            self.residue = 0
        self.x, self.y = [x, self.x[0]], [y, self.y[0]]
        return y


@dataclass(slots=True)
class _Lead:
    """What the chain remembers of one lead; `history` has the resampler's newest input first."""

    notch: _Section
    high_pass: _Section
    history: deque[int]

    @classmethod
    def at_rest(cls, x: int, n_taps: int) -> "_Lead":
        """Return the state after a constant `x` for all time."""
        history = deque([x] * n_taps, maxlen=n_taps)
        return cls(_Section([x, x], [x, x]), _Section([x, x], [0, 0]), history)


def _saturated(value: int) -> int:
    return max(-STATE_MAX, min(STATE_MAX, value))


class _Network:
    """One .tflite under TFLite Micro."""

    def __init__(self, data: bytes) -> None:
        from tflite_micro import runtime

        self.graph: Graph = read_graph(data)
        self._output = self.graph.tensors[self.graph.output]
        keep = runtime.InterpreterConfig.kPreserveAllTensors
        self._interpreter: Any = runtime.Interpreter.from_bytes(
            data, arena_size=ARENA_BYTES, intrepreter_config=keep
        )
        self._shape = self._interpreter.get_input_details(0)["shape"]

    def run(self, window: Int8Array) -> Int8Array:
        """Return the output tensor, int8 (n_outputs,), for one window of codes."""
        self._interpreter.set_input(window.reshape(self._shape), 0)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_output(0), np.int8).ravel()

    def trace(self, window: Int8Array) -> Uint32Array:
        """Return the CRC-32 of every layer's output."""
        self.run(window)
        tensors = (self._interpreter.GetTensor(i.tflite_tensor, 0) for i in self.graph.layers)
        return np.array([zlib.crc32(t["tensor_data"].tobytes()) for t in tensors], np.uint32)


class TflmEngine(ClosingEngine):
    """Signal chain, ring, filter and classifier once more, without the firmware."""

    def __init__(
        self, bundle: Bundle, with_filter: bool = True, with_classifier: bool = True
    ) -> None:
        self._chain, self._hop_len = bundle.chain, bundle.data.hop_len
        self._with_filter, self._with_classifier = with_filter, with_classifier
        self._filter = _Network(bundle.filter_tflite)
        self._classifier = _Network(bundle.classifier_tflite)
        window = self._filter.graph.tensors[self._filter.graph.input]
        self._shape = (window.width, window.channels)
        self._output = self._filter.graph.tensors[self._filter.graph.output]
        gate = bundle.manifest["filter"]
        self._rule = SCORE_RULES[gate["score_rule"]]
        self._constants = self._rule.quantize_constants(gate["score_constants"], self._output)
        self._threshold: int = gate["threshold"]["value"]
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._state = PythonChain(self._chain, self._shape[1])
        self._frames: deque[list[int]] = deque(maxlen=self._shape[0])
        self._n_frames = 0

    def push(self, adc_counts: Int16Array) -> list[Decision]:
        """Take int16 counts (n_samples, n_leads); return the decisions they complete."""
        decisions = []
        for frame in adc_counts.tolist():
            for codes in self._state.push(frame):
                self._frames.append(codes)
                self._n_frames += 1
                start = self._n_frames - self._shape[0]
                if start >= 0 and start % self._hop_len == 0:
                    decisions.append(self._decide(start))
        return decisions

    def _decide(self, start: int) -> Decision:
        window = np.array(self._frames, np.int8)
        scores: tuple[int, ...] = ()
        if self._with_filter:
            output = self._filter.run(window)[np.newaxis]
            scores = (int(self._rule.score(output, self._output, self._constants)[0]),)
        if any(score > self._threshold for score in scores):
            return Decision(start, scores, False, "unfamiliar", None, None)
        if not self._with_classifier:
            return Decision(start, scores, True, "ok", None, None)
        logits = [int(q) for q in self._classifier.run(window)]
        label = logits.index(max(logits))
        rest = logits[:label] + logits[label + 1 :]
        margin = logits[label] - max(rest) if rest else 0
        return Decision(start, scores, True, "ok", label, margin)

    def trace(self, network: str, window: Int8Array) -> Uint32Array:
        """Return the CRC-32 of every layer's output for one window of codes."""
        self.reset()
        return (self._filter if network == "filter" else self._classifier).trace(window)

    def instructions(self) -> InstructionCounts | None:
        """Return None: nothing here runs on a board."""
        return None
