"""The firmware's networks and its whole pipeline, run on this machine."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datasets.records import Int8Array, Int16Array, Int64Array

from .blob import read_header
from .native import FirmwareError, Role, aligned_blob, native

REASON_OK, REASON_UNFAMILIAR = 0, 5
REASONS = {REASON_OK: "ok", REASON_UNFAMILIAR: "unfamiliar"}
"""`bg_reason`: why a window was rejected."""

SELF_TEST_FAILED = 20  # BG_ERR_SELF_TEST

Uint32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the pipeline says of one window; `bg_decision` in C.

    Parameters
    ----------
    window_start : first sample since the start or reset, at the model's rate.
    scores : one integer a gate, higher = more anomalous.
    accepted : whether every gate passed it; reason : a value of `REASONS`.
    label : class index of the classifier, None where it did not run.
    margin : best logit less the second best, in int8 steps, None where it did not run.
    """

    window_start: int
    scores: tuple[int, ...]
    accepted: bool
    reason: str
    label: int | None
    margin: int | None


def make_decision(
    window_start: int,
    scores: Sequence[int],
    accepted: bool,
    reason: int,
    label: int,
    margin: int,
) -> Decision:
    """Return the `Decision` for the fields of a `bg_decision`."""
    ran = label >= 0
    return Decision(
        window_start=int(window_start),
        scores=tuple(int(score) for score in scores),
        accepted=bool(accepted),
        reason=REASONS[int(reason)],
        label=int(label) if ran else None,
        margin=int(margin) if ran else None,
    )


def run_network(blob: bytes, role: Role, windows: Int8Array) -> tuple[Int8Array, Int64Array]:
    """Run one blob over `windows`, int8 codes (n_windows, window_len, n_leads).

    Returns
    -------
    outputs : int8 (n_windows, n_outputs), the network's output tensor.
    scores : int64 (n_windows,), zero for a classifier.

    Raises
    ------
    FirmwareError : the firmware refuses the blob.
    """
    header = read_header(blob)
    x = np.ascontiguousarray(windows, np.int8)
    assert x.shape[1:] == (header.window_len, header.n_leads)
    outputs = np.empty((len(x), header.n_outputs), np.int8)
    scores = np.zeros(len(x), np.int64)
    c = native()
    data = aligned_blob(blob)
    status = c.lib.bgh_model_run(
        c.pointer(data, "void"),
        data.size,
        role,
        c.pointer(x, "int8_t"),
        len(x),
        c.pointer(outputs, "int8_t"),
        c.pointer(scores, "int64_t") if role == Role.GATE else c.ffi.NULL,
    )
    if status:
        raise FirmwareError("the model blob", status)
    return outputs, scores


def trace_network(blob: bytes, role: Role, window: Int8Array) -> Uint32Array:
    """Return the CRC-32 of every layer's output for one window (window_len, n_leads)."""
    x = np.ascontiguousarray(window, np.int8)
    crcs = np.zeros(read_header(blob).n_layers, np.uint32)
    c = native()
    data = aligned_blob(blob)
    status = c.lib.bgh_model_trace(
        c.pointer(data, "void"),
        data.size,
        role,
        c.pointer(x, "int8_t"),
        c.pointer(crcs, "uint32_t"),
    )
    if status:
        raise FirmwareError("the model blob", status)
    return crcs


class Pipeline(AbstractContextManager["Pipeline", None]):
    """`bg_pipeline` on this machine: gates, then the classifier on what passes.

    Parameters
    ----------
    gates : model blobs of up to two gates; none = every window is accepted.
    classifier : model blob, or None for the filter alone.

    Raises
    ------
    FirmwareError : `bg_open` refuses the blobs.
    """

    def __init__(self, gates: Sequence[bytes], classifier: bytes | None) -> None:
        blobs = [*gates, *([classifier] if classifier is not None else [])]
        self._c = native()
        self._blobs = [aligned_blob(blob) for blob in blobs]  # the C keeps pointers into them
        self._n_gates = len(gates)
        ffi = self._c.ffi
        status = ffi.new("int *")
        self._handle = self._c.lib.bgh_open(
            ffi.new("void *[]", [self._c.pointer(blob, "void") for blob in self._blobs]),
            ffi.new("size_t[]", [blob.size for blob in self._blobs]),
            len(gates),
            classifier is not None,
            status,
        )
        if self._handle == ffi.NULL:
            raise FirmwareError("the pipeline's model blobs", status[0])
        header = read_header(blobs[0])
        self._n_leads = header.n_leads
        self._chunk_len = header.samples_per_hop  # what completes one window at most
        self.arena_bytes = int(self._c.lib.bgh_arena_bytes(self._handle))

    def push(self, adc_counts: Int16Array) -> list[Decision]:
        """Take int16 counts (n_samples, n_leads); return the decisions they complete."""
        counts = np.ascontiguousarray(adc_counts, np.int16)
        if counts.ndim != 2 or counts.shape[1] != self._n_leads:
            raise ValueError(f"adc_counts must be (n_samples, {self._n_leads}), got {counts.shape}")
        decisions = []
        for start in range(0, len(counts), self._chunk_len):
            chunk = counts[start : start + self._chunk_len]
            status = self._c.lib.bgh_push(
                self._handle, self._c.pointer(chunk, "int16_t"), len(chunk)
            )
            if status:
                raise FirmwareError("the pipeline", status)
            decisions += self._poll()
        return decisions

    def _poll(self) -> list[Decision]:
        decisions = []
        d = self._c.ffi.new("bgh_decision *")
        while self._c.lib.bgh_poll(self._handle, d):
            scores = [d.score[i] for i in range(self._n_gates)]
            decisions.append(
                make_decision(d.window_start, scores, d.accepted, d.reason, d.label, d.margin)
            )
        return decisions

    def reset(self) -> None:
        """Forget the signal: the next sample starts a new recording."""
        self._c.lib.bgh_reset(self._handle)

    def self_test(self, windows: Int16Array, expected: Sequence[Decision]) -> int | None:
        """Play golden windows on the device's own self-test.

        Parameters
        ----------
        windows : int16 counts (n, n_samples, n_leads), each one window, played from a reset.
        expected : the decision that each must give.

        Returns
        -------
        The first window that is decided otherwise; None where all are as expected.
        """
        counts = np.ascontiguousarray(windows, np.int16)
        assert len(counts) == len(expected)
        ffi = self._c.ffi
        rows = ffi.new("bgh_decision[]", len(expected))
        codes = {reason: code for code, reason in REASONS.items()}
        for row, decision in zip(rows, expected, strict=True):
            row.window_start, row.accepted = decision.window_start, decision.accepted
            row.score[0 : len(decision.scores)] = list(decision.scores)
            row.reason = codes[decision.reason]
            row.label = -1 if decision.label is None else decision.label
            row.margin = decision.margin or 0
        failed = ffi.new("size_t *")
        status = self._c.lib.bgh_self_test(
            self._handle,
            self._c.pointer(counts, "int16_t"),
            counts.shape[1],
            rows,
            len(expected),
            failed,
        )
        if status == SELF_TEST_FAILED:
            return int(failed[0])
        if status:
            raise FirmwareError("the self-test", status)
        return None

    def skip_to_frame(self, n_frames: int) -> None:
        """Let the pipeline believe that `n_frames` have passed; for tests of long recordings."""
        self._c.lib.bgh_skip_to_frame(self._handle, n_frames)

    def close(self) -> None:
        """Free the C side; the pipeline cannot be used afterwards."""
        if self._handle is not None:
            self._c.lib.bgh_close(self._handle)
            self._handle = None

    def __exit__(self, *exception: object) -> None:
        self.close()
