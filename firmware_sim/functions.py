"""How many instructions every function of an image executed, counted by a plugin of QEMU."""

import subprocess
from bisect import bisect_right
from collections import Counter
from pathlib import Path

import numpy as np

from datasets.records import Int64Array
from export.device.image import FirmwareImage
from export.native import build_shared_library

from .engines.qemu import QEMU

SOURCE = Path(__file__).parent / "function_counts.c"
COUNTS = "counts.bin"
NM = "arm-none-eabi-nm"
UNNAMED = "(no symbol)"


def plugins_supported() -> bool:
    """Return whether this machine's QEMU was built with the TCG plugin interface."""
    listing = subprocess.run([QEMU, "-help"], capture_output=True, text=True, check=True).stdout
    return "\n-plugin " in listing


def count_instructions(image: FirmwareImage) -> str:
    """Return the argument of QEMU's `-plugin` that counts the instructions of `image`.

    Raises
    ------
    ValueError : no C compiler is installed.
    """
    plugin = build_shared_library("function_counts", [SOURCE])
    code = [piece for piece in image.pieces if piece.section == ".text"]
    end = code[-1].address + code[-1].n_bytes
    return f"{plugin},out={COUNTS},origin={code[0].address},bytes={end - code[0].address}"


def instructions_by_function(image: FirmwareImage) -> Counter[tuple[str, str]]:
    """Return what an emulation that has ended executed, by (object file, function).

    `count_instructions` must have been its plugin. What the compiler has inlined counts for the
    function around it.
    """
    counts: Int64Array = np.fromfile(image.elf.with_name(COUNTS), "<i8")
    code = [piece for piece in image.pieces if piece.section == ".text"]
    starts, names = _functions(image.elf)
    origins = [piece.address for piece in code]
    found: Counter[tuple[str, str]] = Counter()
    for halfword in np.flatnonzero(counts):
        address = code[0].address + 2 * int(halfword)
        index = bisect_right(starts, address) - 1
        piece = code[bisect_right(origins, address) - 1]
        name = names[index] if index >= 0 else UNNAMED
        found[piece.source, name] += int(counts[halfword])
    return found


def _functions(elf: Path) -> tuple[list[int], list[str]]:
    """Return the start addresses of all functions, ascending, and their names."""
    listing = subprocess.run(
        [NM, "--numeric-sort", "--defined-only", str(elf)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    # "$t" and "$d" mark code and data within a function.
    found = [(int(a, 16), name) for a, kind, name in rows if kind in "tTwW" and name[0] != "$"]
    return [address for address, _ in found], [name for _, name in found]
