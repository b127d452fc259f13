"""A bundle cross-compiled into a firmware image."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..boards import Board
from ..native import FIRMWARE, WARNINGS, firmware_sources
from ..pipeline import Pipeline

COMPILER = "arm-none-eabi-gcc"
SIZE = "arm-none-eabi-size"
FLAGS = ("-std=gnu11", "-O2", "-ffunction-sections", "-fdata-sections", "-nostartfiles")


@dataclass(frozen=True, slots=True)
class FirmwareImage:
    """A linked image and what it needs, exactly.

    Parameters
    ----------
    elf : path of the image.
    flash_bytes : code, constants, model blobs and initial data.
    ram_bytes : static data with the arena, plus the stack the board reserves.
    """

    elf: Path
    flash_bytes: int
    ram_bytes: int


def require_toolchain() -> None:
    """Raise ValueError unless the cross compiler is installed."""
    if shutil.which(COMPILER) is None:
        raise ValueError(
            f"{COMPILER} must be installed, it is not: apt-get install --no-install-recommends "
            "gcc-arm-none-eabi libnewlib-arm-none-eabi"
        )


def build_image(
    filter_blob: bytes, classifier_blob: bytes, board: Board, folder: Path
) -> FirmwareImage:
    """Compile the runtime, the board's port and the blobs into `folder`/firmware.elf.

    Parameters
    ----------
    filter_blob, classifier_blob : linked in as they are, run in place from flash.
    board : what to build for.
    folder : for the image and its inputs; must exist.

    Raises
    ------
    ValueError : no toolchain, the compiler refuses, or the image does not fit the board.
    """
    require_toolchain()
    with Pipeline([filter_blob], classifier_blob) as pipeline:
        arena_bytes = pipeline.arena_bytes
    port = FIRMWARE / "ports" / board.port
    (folder / "filter.bgm").write_bytes(filter_blob)
    (folder / "classifier.bgm").write_bytes(classifier_blob)
    (folder / "memory.ld").write_text(_memory(board))
    elf = folder / "firmware.elf"
    command = [
        COMPILER,
        *board.flags,
        *FLAGS,
        *WARNINGS,
        f"-DBG_ARENA_BYTES={arena_bytes}",
        f"-I{FIRMWARE}",
        f"-Wa,-I{folder}",
        "--specs=nano.specs",
        "-Wl,--gc-sections",
        f"-Wl,--defsym=STACK_BYTES={board.stack_bytes}",
        f"-Wl,-Map={folder / 'firmware.map'}",
        f"-L{folder}",
        f"-T{port / 'sections.ld'}",
        "-o",
        str(elf),
        *map(str, [*firmware_sources(), *sorted(port.glob("*.c")), *sorted(port.glob("*.S"))]),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise ValueError(f"{COMPILER} refused to build for {board.name}:\n{result.stderr}")
    sections = _sections(elf)
    in_flash = sum(sections.get(name, 0) for name in (".text", ".ARM.exidx", ".data"))
    in_ram = sum(sections.get(name, 0) for name in (".data", ".bss")) + board.stack_bytes
    return FirmwareImage(elf, in_flash, in_ram)


def _memory(board: Board) -> str:
    """Return the board's part of the linker script."""
    return (
        "/* made from export/boards, do not edit */\n"
        f"FLASH (rx) : ORIGIN = {board.flash_origin:#x}, LENGTH = {board.flash_bytes}\n"
        f"RAM (rwx) : ORIGIN = {board.ram_origin:#x}, LENGTH = {board.ram_bytes}\n"
    )


def _sections(elf: Path) -> dict[str, int]:
    listing = subprocess.run(
        [SIZE, "-A", str(elf)], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}
