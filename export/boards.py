"""Boards are data: one TOML file each in `export/boards/`.

A board with a floating-point unit comes twice: as `NAME`, whose functions pass floats in FPU
registers, and as `NAME-soft`, built as if the unit were not there. The firmware has no float in it;
a product it is linked into may be of either kind.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

BOARDS = Path(__file__).parent / "boards"
SOFT = "-soft"
SOFT_FLOAT_FLAGS = ("-mfloat-abi=soft",)


@dataclass(frozen=True, slots=True)
class Board:
    """What it takes to build for a board and to emulate it.

    Parameters
    ----------
    name, summary : for people; cpu : the core.
    clock_hz : core clock, for estimates of time.
    port : folder in `export/firmware/ports/`.
    flags : compiler flags of the core; float_flags : of its FPU, none where it has none.
    flash_origin, flash_bytes, ram_origin, ram_bytes : linker layout.
    stack_bytes : RAM reserved for the stack.
    machine : QEMU's name of the board.
    counter_address, counter_hz : of the counter the port reads.
    icount_shift : QEMU's `-icount shift`: one instruction takes 2^shift ns of virtual time.
    cycles_per_instruction : assumed, for estimates of time.
    energy_nj_per_cycle : of the running core, None where nobody measured it.
    energy_source : who measured it, or why nobody did.
    """

    name: str
    summary: str
    cpu: str
    clock_hz: int
    port: str
    flags: tuple[str, ...]
    float_flags: tuple[str, ...]
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    stack_bytes: int
    machine: str
    counter_address: int
    counter_hz: int
    icount_shift: int
    cycles_per_instruction: float
    energy_source: str
    energy_nj_per_cycle: float | None = None

    @property
    def compiler_flags(self) -> tuple[str, ...]:
        """The flags of core and FPU."""
        return (*self.flags, *self.float_flags)

    def instructions(self, ticks: int) -> float:
        """Return the instructions in `ticks` of the port's counter, exact to one tick."""
        return ticks * 1e9 / self.counter_hz / (1 << self.icount_shift)

    def milliseconds(self, instructions: float) -> float:
        """Return an estimate: the clock and the assumed cycles an instruction, nothing else."""
        return instructions * self.cycles_per_instruction / self.clock_hz * 1e3

    def microjoules(self, instructions: float) -> float | None:
        """Return an estimate, None where nobody has measured the core's energy."""
        if self.energy_nj_per_cycle is None:
            return None
        return instructions * self.cycles_per_instruction * self.energy_nj_per_cycle / 1e3


def board_names() -> list[str]:
    """Return the names of all boards, with and without their FPU."""
    boards = [_read(path) for path in BOARDS.glob("*.toml")]
    with_fpu = [board for board in boards if board.float_flags]
    return sorted([b.name for b in boards] + [b.name + SOFT for b in with_fpu])


def load_board(name: str) -> Board:
    """Return one board.

    Raises
    ------
    ValueError : there is no board of that name, or its file is not one.
    """
    if name not in board_names():
        raise ValueError(f"board must be one of {', '.join(board_names())}, got {name}")
    board = _read(BOARDS / f"{name.removesuffix(SOFT)}.toml")
    if not name.endswith(SOFT):
        return board
    summary = f"{board.summary}, its FPU left off"
    return replace(board, name=name, summary=summary, float_flags=SOFT_FLOAT_FLAGS)


def _read(path: Path) -> Board:
    try:
        fields = tomllib.loads(path.read_text())
        for name in ("flags", "float_flags"):
            fields[name] = tuple(fields[name])
        return Board(**fields)
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} must describe a board: {error}") from error
