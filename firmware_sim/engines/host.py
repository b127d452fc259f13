"""The shipped C, built for this machine."""

from datasets.records import Int8Array, Int16Array
from export.bundle import Bundle
from export.native import Role
from export.pipeline import Decision, Pipeline, Uint32Array, trace_network

from .engine import ClosingEngine, InstructionCounts


class HostEngine(ClosingEngine):
    """`bg_pipeline` through cffi: fast enough for whole data sets."""

    def __init__(
        self, bundle: Bundle, with_filter: bool = True, with_classifier: bool = True
    ) -> None:
        self._bundle = bundle
        gates = [bundle.filter_blob] if with_filter else []
        self._pipeline = Pipeline(gates, bundle.classifier_blob if with_classifier else None)

    def push(self, adc_counts: Int16Array) -> list[Decision]:
        """Take int16 counts (n_samples, n_leads); return the decisions they complete."""
        return self._pipeline.push(adc_counts)

    def reset(self) -> None:
        """Forget the signal."""
        self._pipeline.reset()

    def trace(self, network: str, window: Int8Array) -> Uint32Array:
        """Return the CRC-32 of every layer's output for one window of codes."""
        self.reset()
        if network == "filter":
            return trace_network(self._bundle.filter_blob, Role.GATE, window)
        return trace_network(self._bundle.classifier_blob, Role.CLASSIFIER, window)

    def instructions(self) -> InstructionCounts | None:
        """Return None: this machine's instructions say nothing of the board's."""
        return None

    def close(self) -> None:
        """Free the C pipeline."""
        self._pipeline.close()
