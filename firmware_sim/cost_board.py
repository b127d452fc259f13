"""Many networks in one run of an emulated core: the instructions of every layer and decision."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export.boards import Board, load_board
from export.cost import PlannedNetwork
from export.device.image import build_program
from export.native import Role

from .engines.qemu import QEMU

PROGRAM = Path(__file__).parent / "cost_runs.c"
BLOB_BYTES_MAX = 300 << 10  # of cost_runs.c
ARENA_BYTES = 144 << 10
RAM_BYTES_MIN = 512 << 10
ROOMY = "qemu-m3"
"""A board with room for every network, whose core runs the code of smaller ones as it is."""
N_DECISIONS = 2
TIMEOUT_S = 600

REQUEST = np.dtype([("blob_bytes", "<u4"), ("role", "<u4"), ("n_decisions", "<u4")])
TOTALS = np.dtype([("chain", "<u8"), ("decisions", "<u8")])


@dataclass(frozen=True, slots=True)
class Measured:
    """Instructions of a network: of each layer a decision, of all of a decision."""

    layers: tuple[float, ...]
    decision: float


def measure(networks: Sequence[PlannedNetwork], board: Board) -> list[Measured]:
    """Run networks with the code of a board and count.

    The counts are those of the board itself, whatever its memory: the code of an ARMv6-M core runs
    on an ARMv7-M one instruction by instruction.

    Raises
    ------
    ValueError : the compiler or QEMU are missing, or a network is too large.
    """
    if shutil.which(QEMU) is None:
        raise ValueError(
            f"{QEMU} must be installed, it is not: "
            "apt-get install --no-install-recommends qemu-system-arm"
        )
    requests = b"".join(map(_request, networks)) + np.zeros(1, REQUEST).tobytes()
    machine = _with_room(board)
    with tempfile.TemporaryDirectory(prefix="beatgate-") as name:
        folder = Path(name)
        elf = build_program(machine, PROGRAM, folder, ARENA_BYTES)
        (folder / "cases").write_bytes(requests)
        command = [QEMU, "-M", machine.machine, "-display", "none", "-monitor", "none"]
        command += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
        command += ["-icount", f"shift={machine.icount_shift},sleep=off", "-kernel", str(elf)]
        subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT_S)
        results = (folder / "results").read_bytes()
    return list(_read(results, networks, machine))


def _with_room(board: Board) -> Board:
    """Return a board that runs the code of `board` and has room for any network."""
    if board.ram_bytes >= RAM_BYTES_MIN:
        return board
    return replace(
        load_board(ROOMY),
        name=f"{board.name}-on-{ROOMY}",
        flags=board.flags,
        float_flags=board.float_flags,
    )


def _request(network: PlannedNetwork) -> bytes:
    if len(network.blob) > BLOB_BYTES_MAX:
        n_bytes = len(network.blob)
        raise ValueError(f"a blob must have at most {BLOB_BYTES_MAX} bytes, has {n_bytes}")
    role = Role.CLASSIFIER if network.score_rule is None else Role.GATE
    return np.array([(len(network.blob), role, N_DECISIONS)], REQUEST).tobytes() + network.blob


def _read(results: bytes, networks: Sequence[PlannedNetwork], board: Board) -> Iterator[Measured]:
    at = 0
    for network in networks:
        totals = np.frombuffer(results, TOTALS, 1, at)[0]
        layers = np.frombuffer(results, "<u8", len(network.graph.layers), at + totals.nbytes)
        at += totals.nbytes + layers.nbytes
        yield Measured(
            layers=tuple(board.instructions(int(ticks)) / N_DECISIONS for ticks in layers),
            decision=board.instructions(int(totals["decisions"])) / N_DECISIONS,
        )
    assert at == len(results)
