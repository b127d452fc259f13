"""An excerpt written to a file in the format its name asks for."""

from pathlib import Path

from .ecg_page import excerpt_page
from .ecg_paper import Excerpt
from .ecg_sheet import write_sheet


def _write_page(excerpt: Excerpt, out: Path) -> None:
    out.write_text(excerpt_page(excerpt), encoding="utf-8")


WRITERS = {".html": _write_page, ".png": write_sheet}


def check_suffix(out: Path) -> None:
    """Raise ValueError where a drawing cannot be written to a file of that name."""
    if out.suffix.lower() not in WRITERS:
        raise ValueError(f"out must end in {' or '.join(WRITERS)}, got {out}")


def write_drawing(excerpt: Excerpt, out: Path) -> None:
    """Draw the excerpt on ECG paper: an HTML page or a PNG file, by the suffix of `out`.

    Raises
    ------
    ValueError : the suffix is another one.
    """
    check_suffix(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[out.suffix.lower()](excerpt, out)
