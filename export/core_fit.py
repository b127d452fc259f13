"""The instructions of each kind of work on a core, fitted once and kept in `export/costs/`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .boards import SOFT, Board
from .device.code import Code, CodePiece
from .layers import Op

COSTS = Path(__file__).parent / "costs"
FORMAT = 1
REFIT = "python -m firmware_sim calibrate-cost"


@dataclass(frozen=True, slots=True)
class ImageBase:
    """What a board's image takes beside its networks.

    Parameters
    ----------
    code : exact, for any operators.
    objects_sha256 : of the sources and flags that it is compiled from.
    """

    code: Code
    objects_sha256: str


@dataclass(frozen=True, slots=True)
class Errors:
    """How far estimates were from counts, as parts of the counts.

    Parameters
    ----------
    n : networks, which the model was not fitted on.
    median, p90, worst : of the absolute errors of their instructions a decision.
    """

    n: int
    median: float
    p90: float
    worst: float


@dataclass(frozen=True, slots=True)
class CoreFit:
    """The coefficients of a core.

    Parameters
    ----------
    core : its name, and that of its file; flags : of the compiler, for that core.
    compiler : what compiled the firmware when it was counted.
    n_runs, n_rows : of networks that it was fitted on, and of their layers.
    errors : by how the networks ran: "whole windows", "along the stream".
    images : by board.
    coefficients : instructions of each kind of work in `export/cost_features.py`.
    """

    core: str
    flags: tuple[str, ...]
    compiler: str
    n_runs: int
    n_rows: int
    errors: Mapping[str, Errors]
    images: Mapping[str, ImageBase]
    coefficients: Mapping[str, float]

    def write(self) -> Path:
        """Write the core's file; equal fits make equal files."""
        COSTS.mkdir(exist_ok=True)
        path = _path(self.core)
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n")
        return path

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        images = {
            name: {
                "objects_sha256": image.objects_sha256,
                "ram_bytes": image.code.ram_bytes,
                "other_flash_bytes": image.code.other_flash_bytes,
                "pieces": list(map(_piece_text, image.code.pieces)),
            }
            for name, image in self.images.items()
        }
        return {"format": FORMAT, **asdict(self), "images": images}


def core_of(board: Board) -> str:
    """Return the name of what decides how many instructions a board takes: core and FPU."""
    return board.cpu + (SOFT if board.name.endswith(SOFT) else "")


def load_core_fit(board: Board) -> CoreFit:
    """Return the fit of a board's core.

    Raises
    ------
    ValueError : there is none, its file is not one, it was made with other compiler flags, or it
        does not know the board.
    """
    path = _path(core_of(board))
    if not path.exists():
        raise ValueError(f"{path} must exist for {board.name}, it does not: {REFIT}")
    fit = _checked(path)
    if fit.flags != board.compiler_flags or board.name not in fit.images:
        raise ValueError(
            f"{path} must be fitted for {board.name} and its flags {board.compiler_flags}, was "
            f"for {', '.join(fit.images)} and {fit.flags}: {REFIT} --board {board.name}"
        )
    return fit


def load_core_fits() -> list[CoreFit]:
    """Return the fits of all cores, in order of name.

    Raises
    ------
    ValueError : a file is not one.
    """
    return [_checked(path) for path in sorted(COSTS.glob("*.json"), key=lambda p: p.stem)]


def _checked(path: Path) -> CoreFit:
    try:
        return _read(path)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must be a cost model of format {FORMAT}: {error!r}") from error


def _read(path: Path) -> CoreFit:
    fields = json.loads(path.read_text())
    if fields.pop("format") != FORMAT:
        raise ValueError("another format")
    fields["flags"] = tuple(fields["flags"])
    fields["errors"] = {name: Errors(**error) for name, error in fields["errors"].items()}
    fields["images"] = {name: _image(image) for name, image in fields["images"].items()}
    return CoreFit(**fields)


def _image(image: Mapping[str, Any]) -> ImageBase:
    pieces = tuple(map(_piece, image["pieces"]))
    code = Code(pieces, image["other_flash_bytes"], image["ram_bytes"])
    return ImageBase(code, image["objects_sha256"])


def _piece_text(piece: CodePiece) -> str:
    """Return e.g. "180 4 CONV FULLY_CONNECTED": bytes, alignment, operators."""
    operators = (op.name for op in sorted(piece.operators))
    return " ".join([str(piece.n_bytes), str(piece.alignment), *operators])


def _piece(text: str) -> CodePiece:
    n_bytes, alignment, *operators = text.split()
    return CodePiece(int(n_bytes), int(alignment), frozenset(Op[name] for name in operators))


def _path(core: str) -> Path:
    return COSTS / f"{core}.json"
