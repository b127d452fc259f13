"""What an engine is: one way of running a bundle's pipeline."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

from datasets.records import Int8Array, Int16Array
from export.bundle import Bundle
from export.pipeline import Decision, Uint32Array


@dataclass(frozen=True, slots=True)
class InstructionCounts:
    """Instructions an emulated core executed; exact to a tick of its counter.

    Parameters
    ----------
    gate, classifier : one entry a decision, of all that was done for it since the one before; a
        classifier that did not run counts 0.
    chain_total, n_chain_frames, chain_s : of the signal chain, over all frames; how many those are,
        and the seconds of ECG in them.
    """

    gate: tuple[float, ...]
    classifier: tuple[float, ...]
    chain_total: float
    n_chain_frames: int
    chain_s: float


class Engine(AbstractContextManager["Engine", None], Protocol):
    """A pipeline that takes ADC counts and gives decisions; equal input, equal decisions.

    Opened by an `EngineOpener`; used as a context manager, which frees processes and memory.
    """

    def push(self, adc_counts: Int16Array) -> list[Decision]:
        """Take any number of int16 counts (n_samples, n_leads); return what they complete."""
        ...

    def reset(self) -> None:
        """Forget the signal: the next sample starts a new recording."""
        ...

    def trace(self, network: str, window: Int8Array) -> Uint32Array | None:
        """Return the CRC-32 of every layer's output for one window of codes.

        `network` is "filter" or "classifier". The signal pushed so far is forgotten. None: a whole
        window of this network needs more memory than the board has.
        """
        ...

    def instructions(self) -> InstructionCounts | None:
        """Return what was executed since opening, None where the engine cannot count."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


class EngineOpener(Protocol):
    """Opens an engine."""

    def __call__(
        self, bundle: Bundle, with_filter: bool = True, with_classifier: bool = True
    ) -> Engine:
        """Open it on a bundle; without one of the networks it runs the other alone."""
        ...


class ClosingEngine:
    """The context manager every engine has."""

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Free what the engine holds."""

    def __exit__(self, *exception: object) -> None:
        self.close()
