"""Many networks in one run of an emulated board: what every layer gave, and its instructions."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from export.boards import Board, load_board
from export.device.image import COMMON_PORT, COMPILER, FLAGS, LINK_FLAGS
from export.native import FIRMWARE, WARNINGS, firmware_sources
from firmware_sim.engines.qemu import QEMU

ARENA_BYTES = 1 << 17
PROGRAM = Path(__file__).parent / "board" / "kernels.c"
LAYER_RESULT = np.dtype([("crc", "<u4"), ("ticks", "<u4")])
TIMEOUT_S = 300


def run_on_board(cases, board="qemu-m4"):
    """Run classifier blobs, `cases` of (blob, window); return (CRC-32s, instructions) of each."""
    board = load_board(board)
    with tempfile.TemporaryDirectory(prefix="beatgate-") as name:
        folder = Path(name)
        _build(board, folder)
        (folder / "cases").write_bytes(b"".join(map(_request, cases)) + bytes(8))
        command = [QEMU, "-M", board.machine, "-display", "none", "-monitor", "none"]
        command += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
        command += ["-icount", f"shift={board.icount_shift},sleep=off", "-kernel", "kernels.elf"]
        subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT_S)
        rows = np.frombuffer((folder / "results").read_bytes(), LAYER_RESULT)
    results, at = [], 0
    for blob, _ in cases:
        n_layers = _n_layers(blob)
        layers = rows[at : at + n_layers]
        results.append((layers["crc"].tolist(), [board.instructions(t) for t in layers["ticks"]]))
        at += n_layers
    assert at == len(rows)
    return results


def _n_layers(blob):
    from export.blob import read_header

    return read_header(blob).n_layers


def _request(case):
    blob, window = case
    return np.array([len(blob), window.nbytes], "<u4").tobytes() + blob + window.tobytes()


def _build(board: Board, folder: Path):
    (folder / "memory.ld").write_text(
        f"FLASH (rx) : ORIGIN = {board.flash_origin:#x}, LENGTH = {board.flash_bytes}\n"
        f"RAM (rwx) : ORIGIN = {board.ram_origin:#x}, LENGTH = {board.ram_bytes}\n"
    )
    port = FIRMWARE / "ports" / board.port
    common = [COMMON_PORT / name for name in ("semihosting.c", "startup.c")]
    sources = [PROGRAM, *common, *port.glob("*.c"), *firmware_sources()]
    command = [COMPILER, *board.compiler_flags, *FLAGS, *WARNINGS, *LINK_FLAGS]
    command += [f"-I{FIRMWARE}", f"-I{COMMON_PORT}", f"-L{folder}"]
    command += [f"-DBG_COUNTER_ADDRESS={board.counter_address:#x}U"]
    sizes = {"ARENA_BYTES": ARENA_BYTES, "STACK_BYTES": 4096, "LAYER_TICKS_BYTES": 0}
    sizes["RAM_BYTES"] = board.ram_bytes
    command += [f"-Wl,--defsym={name}={value}" for name, value in sizes.items()]
    command += [f"-T{COMMON_PORT / 'sections.ld'}", "-o", str(folder / "kernels.elf")]
    subprocess.run([*command, *map(str, sources)], check=True)
