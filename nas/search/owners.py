"""Which process a running trial belongs to, and whether that process still runs."""

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from any other that had or will have its number.

    Parameters
    ----------
    host : name of the machine; boot_id : of its running kernel, another one after a restart.
    pid : number of the process; started : when it began, in the kernel's ticks since the boot.
    """

    host: str
    boot_id: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Owner":
        """Return the process `pid` of this machine.

        Raises
        ------
        ProcessLookupError : there is none, or it has ended and is only waited for.
        """
        return cls(socket.gethostname(), _boot_id(), pid, _started(pid))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Owner":
        """Return the owner that `to_json` wrote."""
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the owner in JSON types."""
        return asdict(self)

    @property
    def is_here(self) -> bool:
        """Whether it ran on this machine since its last restart."""
        return (self.host, self.boot_id) == (socket.gethostname(), _boot_id())

    @property
    def is_alive(self) -> bool:
        """Whether it runs, on this machine; a process of another is not seen from here."""
        try:
            return Owner.of(self.pid) == self
        except ProcessLookupError:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Owner:
    """Return the owner that is the calling process."""
    return Owner.of(os.getpid())


def _boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> str:
    """Return field 22 of proc(5)'s stat; the name in field 2 may hold spaces and brackets."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    state, started = fields[0], fields[19]
    if state in "ZX":
        raise ProcessLookupError(f"process {pid} has ended")
    return started
