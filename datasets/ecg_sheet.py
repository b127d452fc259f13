"""An excerpt of a recording as a sheet of ECG paper in a PNG file, true to scale in millimetres.

Twelve leads of 10 s come in the layout of hospital printouts, three rows of four leads with 2.5 s
each above a rhythm strip; anything else one lead below the other. The same excerpt gives the same
bytes with the same version of matplotlib.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .ecg_paper import (
    BEAT_COLOR,
    FAULT_COLOR,
    INK,
    LARGE_LINE,
    PAPER,
    ROW_S,
    SMALL_LINE,
    Excerpt,
    beat_color,
    beat_legend,
    facts,
    mark_color,
    mark_text,
    title,
)
from .records import FloatArray, Stretch

MM_PER_S, MM_PER_MV, LARGE_MM = 25, 10, 5
MARGIN_MM, HEAD_MM, FOOT_MM = 5, 20, 10
PULSE_MM = 10  # what the calibration pulse takes at the left of every row
MARKS_MM = 10  # above a row that carries marks
NAMED_BAR_MM = 15  # a shorter one has no room for its class
LOW_MV, HIGH_MV = (-3.0, -0.5), (1.0, 4.0)  # how far down and up a row may reach
DOTS_PER_INCH = 160
ON_PAPER = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 1}  # behind a name
MM_PER_INCH = 25.4

HOSPITAL_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
HOSPITAL_S = 10
RHYTHM_LEAD = "II"


@dataclass(frozen=True, slots=True)
class Trace:
    """Samples [start, stop) of one lead, somewhere in a row."""

    lead: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Row:
    """Traces side by side, without a gap in time; `marked` if the marks are written above it."""

    traces: tuple[Trace, ...]
    marked: bool


def sheet_rows(leads: Sequence[str], n_samples: int, fs: float) -> list[Row]:
    """Return how leads are laid out on a sheet."""
    hospital = [lead for row in HOSPITAL_ROWS for lead in row]
    if set(leads) == set(hospital) and n_samples == HOSPITAL_S * fs:
        edges = [round(n_samples * part / 4) for part in range(5)]
        rows = [
            Row(tuple(map(Trace, row, edges[:-1], edges[1:])), marked=False)
            for row in HOSPITAL_ROWS
        ]
        return [*rows, Row((Trace(RHYTHM_LEAD, 0, n_samples),), marked=True)]
    row_len = round(ROW_S * fs)
    return [
        Row((Trace(lead, start, min(start + row_len, n_samples)),), marked=lead == leads[0])
        for start in range(0, n_samples, row_len)
        for lead in leads
    ]


def write_sheet(excerpt: Excerpt, path: Path) -> None:
    """Write the excerpt to `path`, a PNG file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    record = excerpt.record
    rows = sheet_rows(record.leads, len(record.adc_counts), record.fs)
    signal_mv = excerpt.drawn_mv
    heights = [_row_range_mv(signal_mv, record.leads, row) for row in rows]
    row_s = max(sum(t.stop - t.start for t in row.traces) for row in rows) / record.fs
    # No narrower than the head needs.
    width = max(2 * MARGIN_MM + PULSE_MM + row_s * MM_PER_S, 180)
    height = (
        HEAD_MM + FOOT_MM + sum(_height_mm(row, h) for row, h in zip(rows, heights, strict=True))
    )
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own settings are
        figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), dpi=DOTS_PER_INCH)
        FigureCanvasAgg(figure)  # draws without a display
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.set_axis_off()
        _draw_head(axes, excerpt, height)
        _draw_squares(axes, MARGIN_MM, width - MARGIN_MM, FOOT_MM, height - HEAD_MM)
        top = height - HEAD_MM
        for row, range_mv in zip(rows, heights, strict=True):
            _draw_row(axes, excerpt, signal_mv, row, range_mv, top)
            top -= _height_mm(row, range_mv)
        _draw_foot(axes, excerpt)
        figure.savefig(path, format="png", metadata={"Software": None})


def _row_range_mv(signal_mv: FloatArray, leads: Sequence[str], row: Row) -> tuple[float, float]:
    """Return the lowest and highest mV a row has room for, in large squares."""
    parts = [signal_mv[t.start : t.stop, leads.index(t.lead)] for t in row.traces]
    low = np.clip(min(part.min() for part in parts), *LOW_MV)
    high = np.clip(max(part.max() for part in parts), *HIGH_MV)
    return float(np.floor(low * 2) / 2), float(np.ceil(high * 2) / 2)


def _height_mm(row: Row, range_mv: tuple[float, float]) -> float:
    return (range_mv[1] - range_mv[0]) * MM_PER_MV + (MARKS_MM if row.marked else LARGE_MM)


def _draw_head(axes: Any, excerpt: Excerpt, height: float) -> None:
    whose, drawn = facts(excerpt)
    lines = ((5.5, title(excerpt), 13, "bold", INK), (11.5, whose, 9, "normal", INK))
    for below, text, size, weight, color in (*lines, (16.5, drawn, 8, "normal", BEAT_COLOR)):
        axes.text(
            MARGIN_MM, height - below, text, size=size, weight=weight, color=color, va="center"
        )


def _draw_squares(axes: Any, left: float, right: float, bottom: float, top: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, color=PAPER, zorder=0))
    for step, color, width, order in ((1, SMALL_LINE, 0.35, 1), (LARGE_MM, LARGE_LINE, 0.6, 2)):
        axes.vlines(
            np.arange(left, right + 0.5, step), bottom, top, color=color, lw=width, zorder=order
        )
        axes.hlines(
            np.arange(top, bottom - 0.5, -step), left, right, color=color, lw=width, zorder=order
        )


def _draw_row(
    axes: Any,
    excerpt: Excerpt,
    signal_mv: FloatArray,
    row: Row,
    range_mv: tuple[float, float],
    top: float,
) -> None:
    bottom = top - _height_mm(row, range_mv)
    zero = bottom - range_mv[0] * MM_PER_MV
    _draw_pulse(axes, zero)
    left = float(MARGIN_MM + PULSE_MM)
    for number, trace in enumerate(row.traces):
        to_mm = MM_PER_S / excerpt.record.fs
        x = left + np.arange(trace.stop - trace.start) * to_mm
        column = signal_mv[trace.start : trace.stop, excerpt.record.leads.index(trace.lead)]
        # A pen that leaves its range runs along the end of it.
        axes.plot(
            x,
            zero + np.clip(column, *range_mv) * MM_PER_MV,
            color=INK,
            lw=0.9,
            zorder=6,
            solid_joinstyle="round",
        )
        _draw_lead_name(axes, trace.lead, left, zero, first=number == 0)
        marks = excerpt.record.annotations.between(trace.start, trace.stop)
        right = left + (trace.stop - trace.start) * to_mm
        for stretch in marks.stretches:
            _draw_stretch(axes, stretch, left, to_mm, (bottom, top), row.marked)
        if row.marked:
            for beat, symbol in zip(marks.beats, marks.symbols, strict=True):
                _draw_beat(axes, left + beat * to_mm, top, str(symbol))
        left = right


def _draw_pulse(axes: Any, zero: float) -> None:
    """Draw 1 mV for 200 ms."""
    x = MARGIN_MM + np.array([1.5, 2.5, 2.5, 7.5, 7.5, 8.5])
    axes.plot(x, zero + MM_PER_MV * np.array([0, 0, 1, 1, 0, 0]), color=INK, lw=0.9, zorder=6)


def _draw_lead_name(axes: Any, lead: str, left: float, zero: float, first: bool) -> None:
    if not first:  # where the lead changes, as on printouts
        axes.vlines(left, zero - 2, zero + 2, color=INK, lw=0.9, zorder=6)
    axes.text(
        left + 1.2,
        zero + 7,
        lead,
        size=10,
        weight="bold",
        color=INK,
        zorder=5,
        va="bottom",
        bbox=ON_PAPER,
    )


def _draw_stretch(
    axes: Any, stretch: Stretch, left: float, to_mm: float, row: tuple[float, float], named: bool
) -> None:
    """Shade a fault, underline a grade; name both, and rhythms, in rows with marks."""
    from matplotlib.patches import Rectangle

    bottom, top = row
    x, width = left + stretch.start * to_mm, (stretch.stop - stretch.start) * to_mm
    color = mark_color(stretch)
    if stretch.kind == "fault":
        axes.add_patch(
            Rectangle((x, bottom), width, top - bottom, color=color, alpha=0.13, lw=0, zorder=3)
        )
    elif stretch.kind == "quality":
        bar = Rectangle((x, top - 4.6), width, 4.2, facecolor=color, edgecolor=PAPER, zorder=7)
        axes.add_patch(bar)
    if not named or (stretch.kind == "quality" and width < NAMED_BAR_MM):
        return
    text_color = "white" if stretch.kind == "quality" else color
    label = axes.text(
        x + 1,
        bottom + 2 if stretch.kind == "fault" else top - 2.6,
        mark_text(stretch),
        size=7,
        color=text_color,
        weight="bold",
        va="center",
        zorder=5 if stretch.kind == "fault" else 8,
        clip_on=True,
        bbox=ON_PAPER if stretch.kind == "fault" else None,
    )
    label.set_clip_path(Rectangle((x, bottom), width, top - bottom, transform=axes.transData))


def _draw_beat(axes: Any, x: float, top: float, symbol: str) -> None:
    axes.text(
        x,
        top - 6.6,
        symbol,
        size=8,
        color=beat_color(symbol),
        weight="bold",
        ha="center",
        va="center",
        zorder=8,
    )


def _draw_foot(axes: Any, excerpt: Excerpt) -> None:
    kinds = {stretch.kind for stretch in excerpt.record.annotations.stretches}
    grades = "Bar: quality class." if "quality" in kinds else ""
    rest = "Each lead is drawn about its median. Not for diagnosis."
    parts = filter(None, [beat_legend(excerpt), grades, rest])
    axes.text(MARGIN_MM, 6.5, "  ".join(parts), size=7, color=BEAT_COLOR, va="center")
    if "fault" in kinds:
        axes.text(MARGIN_MM, 2.8, "Shaded: fault.", size=7, color=FAULT_COLOR, va="center")
