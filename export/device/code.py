"""What a board's code takes of flash and RAM, for any set of operators, without a linker.

An image holds the code of the operators of its networks, what that code needs, and what every image
needs. Linked once with all operators and once with each alone, it shows which pieces are whose; any
other set is their union, laid out as the linker does it.
"""

import subprocess
import tempfile
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ..boards import Board
from ..layers import Op
from .image import FLASH_SECTIONS, FirmwareImage, compile_objects, link_code
from .linker_map import Piece

OBJDUMP = "arm-none-eabi-objdump"
TEXT, MODELS = ".text", ".models"
TEXT_ALIGNMENT = 16  # of its end, sections.ld
LIBRARY_ALIGNMENT = 4  # of what comes out of an archive


@dataclass(frozen=True, slots=True)
class CodePiece:
    """Some bytes of code or constants.

    Parameters
    ----------
    n_bytes, alignment : of the piece.
    operators : any of which brings it into an image; none = every image has it.
    """

    n_bytes: int
    alignment: int
    operators: frozenset[Op]


@dataclass(frozen=True, slots=True)
class Code:
    """A board's code.

    Parameters
    ----------
    pieces : in the order in which the linker lays them out.
    other_flash_bytes : of what is not in these pieces, such as initial data.
    ram_bytes : of stack and static data.
    """

    pieces: tuple[CodePiece, ...]
    other_flash_bytes: int
    ram_bytes: int

    def flash_bytes(self, operators: Set[Op]) -> int:
        """Return the flash of an image with these operators, its networks aside."""
        end = 0
        for piece in self.pieces:
            if not piece.operators or piece.operators & operators:
                end = _aligned(end, piece.alignment) + piece.n_bytes
        return _aligned(end, TEXT_ALIGNMENT) + self.other_flash_bytes


def measure_code(board: Board) -> Code:
    """Link a board's code in as many ways as there are operators, and return what is whose.

    Raises
    ------
    ValueError : no toolchain, or the compiler refuses.
    """
    whole = _link(board, Op)
    brought: dict[tuple[str, str], set[Op]] = {}
    for op in Op:
        for piece in _text(_link(board, [op])):
            brought.setdefault((piece.source, piece.name), set()).add(op)
    alignments = _alignments(board)
    pieces = []
    for piece in _text(whole):
        operators = brought[piece.source, piece.name]
        pieces.append(
            CodePiece(
                n_bytes=piece.n_bytes,
                alignment=alignments.get((piece.source, piece.name), LIBRARY_ALIGNMENT),
                operators=frozenset() if operators == set(Op) else frozenset(operators),
            )
        )
    others = [name for name in FLASH_SECTIONS if name not in (TEXT, MODELS)]
    return Code(tuple(pieces), sum(whole.sections[name] for name in others), whole.ram_bytes)


def _link(board: Board, operators: Iterable[Op]) -> FirmwareImage:
    with tempfile.TemporaryDirectory() as folder:
        return link_code(list(operators), board, Path(folder))


def _text(image: FirmwareImage) -> Sequence[Piece]:
    return [piece for piece in image.pieces if piece.section == TEXT and piece.name]


def _alignments(board: Board) -> dict[tuple[str, str], int]:
    """Return the alignment of every section of our objects."""
    objects, names = compile_objects(board)
    command = [OBJDUMP, "-h", *map(str, names)]
    listing = subprocess.run(command, cwd=objects, capture_output=True, text=True, check=True)
    found, source = {}, ""
    for line in listing.stdout.splitlines():
        words = line.split()
        if line.endswith("file format elf32-littlearm"):
            source = line.partition(":")[0]
        elif len(words) == 7 and words[6].startswith("2**"):
            found[source, words[1]] = 2 ** int(words[6][3:])
    return found


def _aligned(n_bytes: int, alignment: int) -> int:
    return -(-n_bytes // alignment) * alignment
