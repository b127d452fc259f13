"""The independent oracle: TFLite Micro's own kernels on the .tflite, everything else in Python.

Shares no code with the firmware: the signal chain is redone in Python integers, the ring and the
gate in numpy. Slow, and meant to be.
"""

import zlib
from collections import deque
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
        self._baseline, self._scale, self._shift, self._b0, self._a1, self._a2 = (
            int(settings[name])
            for name in ("baseline", "scale", "scale_shift", "b0_q30", "a1_q30", "a2_q30")
        )
        self._leads: list[list[int]] = []  # x1, x2, y1, y2, residue of each

    def push(self, frame: list[int]) -> list[int]:
        """Return the codes of one frame of counts."""
        xs = [count - self._baseline for count in frame]
        if not self._leads:
            self._leads = [[x, x, 0, 0, 0] for x in xs]
        return [self._filter(state, x) for state, x in zip(self._leads, xs, strict=True)]

    def _filter(self, state: list[int], x: int) -> int:
        x1, x2, y1, y2, residue = state
        acc = (x - 2 * x1 + x2) * self._b0 * 2**FRACTION_BITS
        acc += residue - self._a1 * y1 - self._a2 * y2
        y, residue = divmod(acc, 2**30)
        if abs(y) > STATE_MAX:
            y, residue = max(-STATE_MAX, min(STATE_MAX, y)), 0
        state[:] = [x, x1, y, y1, residue]
        code: int = (y * self._scale + (1 << self._shift - 1)) >> self._shift
        return max(-128, min(127, code))


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
            self._frames.append(self._state.push(frame))
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
