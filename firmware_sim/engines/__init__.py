"""The engines: each runs the same pipeline, and all of them must give the same bits."""

from functools import partial

from export.boards import load_board

from .engine import Engine, EngineOpener, InstructionCounts
from .host import HostEngine
from .qemu import BOARD, QemuEngine
from .tflm import TflmEngine

__all__ = ["BOARD", "ENGINES", "Engine", "EngineOpener", "InstructionCounts", "open_engine"]

ENGINES: dict[str, EngineOpener] = {
    "tflm": TflmEngine,
    "host": HostEngine,
    "qemu": QemuEngine,
}


def open_engine(name: str, board: str = BOARD) -> EngineOpener:
    """Return the opener of one engine; `board` is what `qemu` emulates.

    Raises
    ------
    ValueError : there is no engine or no board of that name.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {name}")
    return partial(QemuEngine, board=load_board(board)) if name == "qemu" else ENGINES[name]
