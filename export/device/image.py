"""A bundle cross-compiled into a firmware image, and whether it fits the board."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from datasets.command_line import CheckFailed

from ..blob import read_header
from ..boards import Board
from ..layers import Op
from ..native import FIRMWARE, WARNINGS, firmware_sources
from ..pipeline import Pipeline
from .linker_map import Piece, read_linker_map
from .operators import ALL_OPERATORS, operator_table

COMPILER = "arm-none-eabi-gcc"
SIZE = "arm-none-eabi-size"
FLAGS = ("-std=gnu11", "-O2", "-ffunction-sections", "-fdata-sections")
SMALL = "-Os"  # for what runs once, or once a window
LINK_FLAGS = (
    "-nostartfiles",
    "--specs=nano.specs",
    "-Wl,--gc-sections",
)
WRAPPED = ("-Wl,--wrap=bg_chain_push", "-Wl,--wrap=bg_chain_pop")  # ports/emulated/accounts.h
MODELS = "models.o"
MAIN = "main.o"  # of ports/emulated
OPERATORS = "operators.c"
COMMON_PORT = FIRMWARE / "ports" / "emulated"
OBJECTS = Path(__file__).parents[2] / "build" / "objects"

FLASH_SECTIONS = (".text", ".ARM.exidx", ".models", ".data")
RAM_SECTIONS = (".stack", ".data", ".arena", ".bss")
LAYER_TICKS_BYTES = 8  # ports/emulated/accounts.h, one uint64 a layer
LAYERS_MAX = 128  # BG_LAYERS_MAX
REGION_BYTES = 1 << 26  # the linker places whatever the size: what fits is decided here


@dataclass(frozen=True, slots=True)
class FirmwareImage:
    """A linked image and what it needs, exactly.

    Parameters
    ----------
    elf : path of the image.
    pieces : what of it came from which object file.
    sections : bytes of each section that takes flash or RAM.
    """

    elf: Path
    pieces: tuple[Piece, ...]
    sections: dict[str, int]

    @property
    def flash_bytes(self) -> int:
        """Code, constants, model blobs and initial data."""
        return sum(self.sections[name] for name in FLASH_SECTIONS)

    @property
    def ram_bytes(self) -> int:
        """Static data, the arena, and the stack the board reserves."""
        return sum(self.sections[name] for name in RAM_SECTIONS)


class OverBudget(CheckFailed):
    """The image does not fit the board.

    Parameters
    ----------
    board : what it was meant for.
    memory : "flash" or "RAM".
    available : bytes the board has; sections : bytes that are needed, by section.
    exact : False where the image was not even linked, since these sections alone are too large.
    """

    def __init__(
        self, board: Board, memory: str, available: int, sections: dict[str, int], exact: bool
    ) -> None:
        self.board, self.memory = board.name, memory
        self.missing_bytes = sum(sections.values()) - available
        self.exact = exact
        at_least = "" if exact else "at least "
        largest = ", ".join(f"{n} {b:,}" for n, b in sorted(sections.items(), key=_by_size) if b)
        super().__init__(
            f"{board.name} has {available:,} bytes of {memory}, the image needs "
            f"{at_least}{sum(sections.values()):,}: {at_least}{self.missing_bytes:,} are missing "
            f"({largest})"
        )


def _by_size(section: tuple[str, int]) -> int:
    return -section[1]


def require_toolchain() -> None:
    """Raise ValueError unless the cross compiler is installed."""
    if shutil.which(COMPILER) is None:
        raise ValueError(
            f"{COMPILER} must be installed, it is not: apt-get install --no-install-recommends "
            "gcc-arm-none-eabi libnewlib-arm-none-eabi"
        )


def build_image(
    filter_blob: bytes,
    classifier_blob: bytes | None,
    board: Board,
    folder: Path,
    all_operators: bool = False,
) -> FirmwareImage:
    """Link the runtime, the board's port and the blobs into `folder`/firmware.elf.

    Parameters
    ----------
    filter_blob, classifier_blob : linked in as they are, run in place from flash; without a
        classifier the image is the filter's alone.
    board : what to build for.
    folder : for the image and its inputs; must exist.
    all_operators : True links every operator, for an image that is to take other networks later;
        else those of these networks alone, and `bg_open` refuses what needs another.

    Raises
    ------
    OverBudget : the image does not fit the board.
    ValueError : no toolchain, or the compiler refuses.
    """
    with Pipeline([filter_blob], classifier_blob) as pipeline:
        arena_bytes = pipeline.arena_bytes
    blobs = [filter_blob] if classifier_blob is None else [filter_blob, classifier_blob]
    _check_budget(
        board,
        {".models": sum(map(len, blobs))},
        {".arena": arena_bytes, ".stack": board.stack_bytes},
        exact=False,
    )
    require_toolchain()
    objects, names = compile_objects(board)
    (folder / "filter.bgm").write_bytes(filter_blob)
    (folder / "classifier.bgm").write_bytes(classifier_blob or b"")
    operators = [op for blob in blobs for op in read_header(blob).operators]
    (folder / "memory.ld").write_text(_memory(board))
    reserved = {
        "RAM_BYTES": board.ram_bytes,
        "ARENA_BYTES": arena_bytes,
        "STACK_BYTES": board.stack_bytes,
        "LAYER_TICKS_BYTES": len(operators) * LAYER_TICKS_BYTES,
    }
    if all_operators:
        linked = [objects / name for name in names]
    else:
        linked = _with_operators(objects, names, operators, board, folder)
    image = _link(objects, linked, board, folder, reserved)
    _check_budget(
        board,
        {name: image.sections[name] for name in FLASH_SECTIONS},
        {name: image.sections[name] for name in RAM_SECTIONS},
        exact=True,
    )
    return image


def link_code(operators: Sequence[Op], board: Board, folder: Path) -> FirmwareImage:
    """Link the runtime, the board's port and some operators, but no networks, into `folder`.

    Raises
    ------
    ValueError : no toolchain, or the compiler refuses.
    """
    require_toolchain()
    objects, names = compile_objects(board)
    for name in ("filter.bgm", "classifier.bgm"):
        (folder / name).write_bytes(b"")
    (folder / "memory.ld").write_text(_memory(board))
    reserved = {
        "RAM_BYTES": board.ram_bytes,
        "ARENA_BYTES": 0,
        "STACK_BYTES": board.stack_bytes,
        "LAYER_TICKS_BYTES": 0,
    }
    linked = _with_operators(objects, names, operators, board, folder)
    return _link(objects, linked, board, folder, reserved)


def build_program(board: Board, program: Path, folder: Path, arena_bytes: int) -> Path:
    """Link the runtime and the board's port with another `main` and return the image's path.

    Parameters
    ----------
    board : what to build for; nothing is checked against its memory.
    program : the C file with `main`, in place of the simulator's.
    folder : for the image and its inputs; must exist.
    arena_bytes : RAM to reserve for it between `arena` and `arena_end`.

    Raises
    ------
    ValueError : no toolchain, or the compiler refuses.
    """
    require_toolchain()
    objects, names = compile_objects(board)
    elf, main = folder / "program.elf", folder / "program.o"
    _run([*_compile_command(board), "-c", str(program), "-o", str(main)], board)
    (folder / "memory.ld").write_text(_memory(board))
    reserved = {
        "RAM_BYTES": board.ram_bytes,
        "ARENA_BYTES": arena_bytes,
        "STACK_BYTES": board.stack_bytes,
        "LAYER_TICKS_BYTES": LAYERS_MAX * LAYER_TICKS_BYTES,
    }
    linked = [main, *(objects / name for name in names if name.name != MAIN)]
    _run(_link_command(board, folder, reserved, elf, linked), board)
    return elf


def _check_budget(board: Board, flash: dict[str, int], ram: dict[str, int], exact: bool) -> None:
    if sum(flash.values()) > board.flash_bytes:
        raise OverBudget(board, "flash", board.flash_bytes, flash, exact)
    if sum(ram.values()) > board.ram_bytes:
        raise OverBudget(board, "RAM", board.ram_bytes, ram, exact)


def compile_objects(board: Board) -> tuple[Path, list[Path]]:
    """Compile the runtime and the port, once for each state of the sources.

    The objects hold nothing of a bundle: what its networks need is the linker's to reserve.

    Returns
    -------
    objects, names : their folder and their paths in it, which are those of the sources.
    """
    command, sources = _compile_command(board), _sources(board)
    kept = OBJECTS / f"{board.name}-{objects_sha256(board)[:16]}"
    names = [path.relative_to(FIRMWARE).with_suffix(".o") for path in sources]
    if not kept.exists():
        OBJECTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OBJECTS) as made:
            _compile(command, sources, [Path(made) / "all" / name for name in names], board)
            try:
                (Path(made) / "all").rename(kept)
            except OSError:  # another process was faster; its objects are equal
                if not kept.exists():
                    raise
    return kept, names


def objects_sha256(board: Board) -> str:
    """Return the hash of everything that decides what is compiled for a board, networks aside."""
    digest = hashlib.sha256(" ".join([*_flags(board), SMALL]).encode())
    for path in [*_sources(board), *sorted(FIRMWARE.rglob("*.h"))]:
        digest.update(path.relative_to(FIRMWARE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _sources(board: Board) -> list[Path]:
    port = FIRMWARE / "ports" / board.port
    return [*firmware_sources(), *sorted(COMMON_PORT.glob("*.c")), *sorted(port.glob("*.c"))]


def _compile_command(board: Board) -> list[str]:
    return [COMPILER, *_flags(board), f"-I{FIRMWARE}", f"-I{COMMON_PORT}"]


def _flags(board: Board) -> list[str]:
    counter = f"-DBG_COUNTER_ADDRESS={board.counter_address:#x}U"
    return [*board.compiler_flags, *FLAGS, *WARNINGS, counter]


def _is_hot(source: Path) -> bool:
    """Return whether a C file's instructions count more than its bytes: kernels, signal chain."""
    return "kernels" in source.parts or source.name == "chain.c"


def _compile(
    command: list[str], sources: Sequence[Path], objects: Sequence[Path], board: Board
) -> None:
    def compile_one(source: Path, made: Path) -> None:
        made.parent.mkdir(parents=True, exist_ok=True)
        size = [] if _is_hot(source) else [SMALL]
        _run([*command, *size, "-c", str(source), "-o", str(made)], board)

    with ThreadPoolExecutor() as pool:
        list(pool.map(compile_one, sources, objects))


def _with_operators(
    objects: Path, names: Sequence[Path], operators: Sequence[Op], board: Board, folder: Path
) -> list[Path]:
    """Return what to link, with the table of these operators in place of that of all."""
    left_out = Path(ALL_OPERATORS).with_suffix(".o")
    kept = [objects / name for name in names if name != left_out]
    return [*kept, _compile_operators(operators, board, folder)]


def _compile_operators(operators: Sequence[Op], board: Board, folder: Path) -> Path:
    """Compile the table of some operators and return its object file."""
    source = folder / OPERATORS
    source.write_text(operator_table(operators))
    made = source.with_suffix(".o")
    command = [COMPILER, *board.compiler_flags, *FLAGS, *WARNINGS, f"-I{FIRMWARE}"]
    _run([*command, "-c", str(source), "-o", str(made)], board)
    return made


def _link(
    objects: Path, linked: Sequence[Path], board: Board, folder: Path, reserved: dict[str, int]
) -> FirmwareImage:
    """Link object files with the models; `reserved` are the sizes that sections.ld asks for."""
    elf, linker_map, models = (folder / n for n in ("firmware.elf", "firmware.map", MODELS))
    compiler = (COMPILER, *board.compiler_flags)
    source = str(COMMON_PORT / "models.S")
    _run(
        [*compiler, f"-Wa,-I{folder}", "-c", source, "-o", str(models)],
        board,
    )
    command = _link_command(board, folder, reserved, elf, [*linked, models])
    _run([*command, f"-Wl,-Map={linker_map}"], board)
    listing = _run([SIZE, "-A", str(elf)], board)
    rows = (line.split() for line in listing.splitlines())
    sizes = {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}
    wanted = dict.fromkeys((*FLASH_SECTIONS, *RAM_SECTIONS))
    pieces = tuple(read_linker_map(linker_map, objects, wanted))
    return FirmwareImage(elf, pieces, {name: sizes.get(name, 0) for name in wanted})


def _link_command(
    board: Board, folder: Path, reserved: dict[str, int], elf: Path, linked: Sequence[Path]
) -> list[str]:
    return [
        *(COMPILER, *board.compiler_flags, *LINK_FLAGS, *WRAPPED, f"-L{folder}"),
        *(f"-Wl,--defsym={name}={n_bytes}" for name, n_bytes in reserved.items()),
        *(f"-T{COMMON_PORT / 'sections.ld'}", "-o", str(elf), *map(str, linked)),
    ]


def _run(command: Sequence[str], board: Board) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise ValueError(f"{command[0]} refused to build for {board.name}:\n{result.stderr}")
    return result.stdout


def _memory(board: Board) -> str:
    """Return the board's part of the linker script."""
    return (
        "/* made from export/boards, do not edit */\n"
        f"FLASH (rx) : ORIGIN = {board.flash_origin:#x}, LENGTH = {REGION_BYTES}\n"
        f"RAM (rwx) : ORIGIN = {board.ram_origin:#x}, LENGTH = {REGION_BYTES}\n"
    )
