"""What a sweep needs of its workers, wherever they run."""

from dataclasses import dataclass
from typing import Protocol

from .owners import Owner


@dataclass(frozen=True, slots=True)
class Began:
    """A worker has taken a trial."""

    worker: int
    trial: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker is done with its trial; `failure`, what its evaluation raised, in a line."""

    worker: int
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Died:
    """A worker's process is gone; `while_starting`, if it had not been ready yet."""

    worker: int
    while_starting: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A worker cannot go on, and no other could: the storage failed, or what it needs is absent."""

    worker: int
    reason: str


Event = Began | Ended | Died | Broken


class Pool(Protocol):
    """Workers, numbered from 0."""

    def start(self) -> None:
        """Start all workers."""
        ...

    def idle(self) -> list[int]:
        """Return the workers that are ready for a trial."""
        ...

    def give(self, worker: int) -> None:
        """Have an idle worker run the study's next trial."""
        ...

    def events(self, timeout_s: float) -> list[Event]:
        """Return what happened within `timeout_s`; dead workers are started anew."""
        ...

    def stop(self) -> list[Owner]:
        """End all workers at once and return those that had not ended by themselves."""
        ...
