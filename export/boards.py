"""Boards are data: one TOML file each in `export/boards/`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

BOARDS = Path(__file__).parent / "boards"


@dataclass(frozen=True, slots=True)
class Board:
    """What it takes to build for a board and to emulate it.

    Parameters
    ----------
    name, summary : for people; cpu : the core.
    clock_hz : core clock, for estimates of time.
    port : folder in `export/firmware/ports/`.
    flags : compiler flags of the core.
    flash_origin, flash_bytes, ram_origin, ram_bytes : linker layout.
    stack_bytes : RAM reserved for the stack.
    machine : QEMU's name of the board.
    timer_hz : rate of the counter the port reads.
    icount_shift : QEMU's `-icount shift`: one instruction takes 2^shift ns of virtual time.
    """

    name: str
    summary: str
    cpu: str
    clock_hz: int
    port: str
    flags: tuple[str, ...]
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    stack_bytes: int
    machine: str
    timer_hz: int
    icount_shift: int

    def instructions(self, ticks: int) -> float:
        """Return the instructions in `ticks` of the port's counter, exact to one tick."""
        return ticks * 1e9 / self.timer_hz / (1 << self.icount_shift)


def board_names() -> list[str]:
    """Return the names of all boards."""
    return sorted(path.stem for path in BOARDS.glob("*.toml"))


def load_board(name: str) -> Board:
    """Return one board.

    Raises
    ------
    ValueError : there is no board of that name, or its file is not one.
    """
    if name not in board_names():
        raise ValueError(f"board must be one of {', '.join(board_names())}, got {name}")
    path = BOARDS / f"{name}.toml"
    try:
        fields = tomllib.loads(path.read_text())
        return Board(**{**fields, "flags": tuple(fields["flags"])})
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} must describe a board: {error}") from error
