"""What the linker put where, read from the account it writes of an image."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

MEMORY_MAP = "\nLinker script and memory map\n"
PIECE = re.compile(r"^ (\*fill\*|\.\S+|COMMON) +0x(\w+) +0x(\w+)(?: +(\S.*))? *$", re.MULTILINE)
SECTION = re.compile(r"^(\.[\w.]+)", re.MULTILINE)
LONG_NAME = re.compile(r"^( ?\.\S+)\n +0x", re.MULTILINE)
PADDING = "padding"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the image.

    Parameters
    ----------
    section : of the image; source : object file that they are from, or `PADDING`.
    address, n_bytes : where they lie.
    name : of the object file's section, empty for padding.
    """

    section: str
    source: str
    address: int
    n_bytes: int
    name: str


def read_linker_map(path: Path, objects: Path, sections: Collection[str]) -> list[Piece]:
    """Return the pieces of some sections of an image, in order.

    Parameters
    ----------
    path : the map GNU ld wrote with `-Map`.
    objects : folder of our objects, whose sources are named relative to it; one out of an archive
        is named as `libc_nano.a(memcpy.o)`.
    sections : names of the image's sections.

    Raises
    ------
    ValueError : it is not such a map.
    """
    _, found, text = path.read_text().partition(MEMORY_MAP)
    if not found:
        raise ValueError(f"{path} must be a linker map, it has no memory map")
    return list(_pieces(LONG_NAME.sub(r"\1 0x", text), objects, sections))


def _pieces(text: str, objects: Path, sections: Collection[str]) -> Iterator[Piece]:
    starts = [match.start() for match in SECTION.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        block = text[start:end]
        section = SECTION.match(block)
        if section is None or section[1] not in sections:
            continue
        for match in PIECE.finditer(block):
            kind, address, n_bytes, source = match.groups()
            if int(n_bytes, 16):
                fills = kind == "*fill*"
                name = PADDING if fills else _name(Path(source), objects)
                bounds = int(address, 16), int(n_bytes, 16)
                yield Piece(section[1], name, *bounds, "" if fills else kind)


def _name(source: Path, objects: Path) -> str:
    inside = source.is_relative_to(objects)
    return str(source.relative_to(objects)) if inside else source.name
