"""A handful of windows worth looking at, chosen by rule and drawn as on ECG paper."""

from dataclasses import dataclass

import numpy as np
from bokeh.models import BoxAnnotation, FixedTicker, Grid, Label, Range1d
from bokeh.plotting import figure

from datasets.records import BoolArray, EcgRecord, FloatArray
from export.bundle import Bundle

from .measures import Groups, group_windows, right_diagnoses
from .replay import Replay

LEADS_DRAWN_MAX = 3
SQUARE_S, SQUARE_MV = 0.2, 0.5  # a large square of ECG paper at 25 mm/s and 10 mm/mV: 5 mm x 5 mm
SMALL_PER_LARGE = 5
SPAN_MV_MIN, SPAN_MV_MAX = 2.0, 6.0
WIDTH_PX = 1040
MARGIN_PX = {"left": 54, "right": 8, "top": 4, "bottom": 46}
PAPER, THIN, THICK, TRACE = "#fffaf9", "#fadcd8", "#eea79f", "#1b1b1f"
COLOUR_BY_ACCEPTED = {True: "#1a7f4b", False: "#b3261e"}


@dataclass(frozen=True, slots=True)
class Strip:
    """One window to draw: its index in the replay, and why it was chosen."""

    index: int
    title: str
    rule: str


def choose_strips(replay: Replay, bundle: Bundle) -> list[Strip]:
    """Return up to eight windows, each the extreme or the median of one kind of decision.

    The rules look at groups and scores alone and ties go to the first window, so equal replays give
    equal strips and nobody picks the pretty ones. A kind without a window is left out.
    """
    groups = group_windows(replay, bundle)
    right = right_diagnoses(replay, bundle, groups)
    known = groups.in_distribution & replay.clean
    kept, refused = replay.accepted, ~replay.accepted
    kinds: list[tuple[str, str, BoolArray, str]] = [
        ("Accepted, diagnosed right", "clean ID", known & kept & right, "median"),
        ("Accepted, diagnosed wrong", "clean ID", known & kept & ~right, "median"),
        ("False reject", "clean ID", known & refused, "highest"),
        ("Unseen, rejected", "unseen", groups.unseen & refused, "highest"),
        ("Unseen, rejected: a typical one", "unseen", groups.unseen & refused, "median"),
        ("Unseen, missed", "unseen", groups.unseen & kept, "lowest"),
        ("Noisy, rejected", "noisy ID", _noisy(groups, replay) & refused, "highest"),
        ("Noisy, accepted", "noisy ID", _noisy(groups, replay) & kept, "median"),
    ]
    strips: list[Strip] = []
    for title, group, mask, place in kinds:
        ranked = np.flatnonzero(mask)[np.argsort(replay.scores[mask], kind="stable")]
        if not len(ranked):
            continue
        at = {"lowest": 0, "median": (len(ranked) - 1) // 2, "highest": len(ranked) - 1}[place]
        if int(ranked[at]) not in [strip.index for strip in strips]:
            rule = f"{place} score of {len(ranked):,} such {group} windows"
            strips.append(Strip(int(ranked[at]), title, rule))
    return strips


def _noisy(groups: Groups, replay: Replay) -> BoolArray:
    return np.asarray(groups.in_distribution & ~replay.clean)


def draw_strip(replay: Replay, bundle: Bundle, index: int, record: EcgRecord) -> list[figure]:
    """Return one figure a lead, at most `LEADS_DRAWN_MAX`, the decision on a band in the first.

    Parameters
    ----------
    replay, bundle : as replayed; index : of the window.
    record : the window's record; its leads are drawn as they were recorded, unfiltered.
    """
    start_s = float(replay.starts[index]) / bundle.data.fs
    first = round(start_s * record.fs)
    window = slice(first, first + round(bundle.data.window_s * record.fs))
    time_s = np.arange(first, len(record.adc_counts))[: window.stop - first] / record.fs
    leads = record.leads[:LEADS_DRAWN_MAX]
    figures = [
        _paper(time_s, record.signal_mv[window, lead], leads[lead], banded=lead == 0)
        for lead in range(len(leads))
    ]
    _band(figures[0], bool(replay.accepted[index]), verdict(replay, bundle, index))
    for upper in figures[:-1]:
        upper.xaxis.visible = False
    return figures


def verdict(replay: Replay, bundle: Bundle, index: int) -> str:
    """Return the decision on one window in a few words, with its score in multiples of threshold."""
    threshold = int(bundle.manifest["filter"]["threshold"]["value"])
    score = int(replay.scores[index])
    ratio = f"score {score / threshold:.2f} x threshold" if threshold > 0 else f"score {score:,}"
    if replay.accepted[index]:
        return f"ACCEPTED, diagnosed {bundle.classes[int(replay.labels[index])]}; {ratio}"
    why = "unfamiliar" if score > threshold else "by another gate"
    return f"REJECTED, {why}; {ratio}"


def range_mv(signal_mv: FloatArray) -> tuple[float, float]:
    """Return the mV range to draw: whole large squares around the signal, 2 to 6 mV in all."""
    low = SQUARE_MV * np.floor(signal_mv.min() / SQUARE_MV)
    high = SQUARE_MV * np.ceil(signal_mv.max() / SQUARE_MV)
    if high - low > SPAN_MV_MAX:
        low = SQUARE_MV * np.round(float(np.median(signal_mv)) / SQUARE_MV) - SPAN_MV_MAX / 2
        high = low + SPAN_MV_MAX
    n_missing = max(0, round((SPAN_MV_MIN - (high - low)) / SQUARE_MV))
    low -= SQUARE_MV * (n_missing // 2)
    high += SQUARE_MV * (n_missing - n_missing // 2)
    return float(low), float(high)


def _paper(time_s: FloatArray, signal_mv: FloatArray, lead: str, banded: bool) -> figure:
    low, high = range_mv(signal_mv)
    top = high + SQUARE_MV if banded else high
    duration_s = len(time_s) / (1 / (time_s[1] - time_s[0]))
    px_per_square = (WIDTH_PX - MARGIN_PX["left"] - MARGIN_PX["right"]) * SQUARE_S / duration_s
    height_px = (top - low) / SQUARE_MV * px_per_square + MARGIN_PX["top"] + MARGIN_PX["bottom"]
    paper = figure(
        width=WIDTH_PX,
        height=round(height_px),
        sizing_mode="scale_width",
        x_range=Range1d(float(time_s[0]), float(time_s[0]) + duration_s),
        y_range=Range1d(low, top),
        x_axis_label="time (s)",
        y_axis_label=f"lead {lead} (mV)",
        tools="",
        toolbar_location=None,
        background_fill_color=PAPER,
        outline_line_color=THICK,
        min_border_left=MARGIN_PX["left"],
        min_border_right=MARGIN_PX["right"],
        min_border_top=MARGIN_PX["top"],
    )
    seconds = np.arange(np.ceil(time_s[0]), time_s[0] + duration_s + 1e-9)
    paper.xaxis.ticker = FixedTicker(ticks=seconds.tolist())
    paper.yaxis.ticker = FixedTicker(ticks=np.arange(np.ceil(low), high + 1e-9).tolist())
    paper.axis.minor_tick_line_color = None
    paper.grid.visible = False
    for dimension, start, stop, square in (
        (0, time_s[0], time_s[0] + duration_s, SQUARE_S),
        (1, low, top, SQUARE_MV),
    ):
        large = np.arange(start, stop + 1e-9, square)
        small = np.arange(start, stop + 1e-9, square / SMALL_PER_LARGE)
        for ticks, colour, width in ((small, THIN, 0.6), (large, THICK, 0.9)):
            grid = Grid(
                dimension=dimension,
                ticker=FixedTicker(ticks=ticks.tolist()),
                grid_line_color=colour,
                grid_line_width=width,
                level="underlay",
            )
            paper.add_layout(grid)
    paper.line(time_s, signal_mv, line_color=TRACE, line_width=1.4, line_join="round")
    return paper


def _band(paper: figure, accepted: bool, text: str) -> None:
    """Draw the decision over the whole window, in the large square kept free above the signal."""
    colour = COLOUR_BY_ACCEPTED[accepted]
    top = paper.y_range.end
    paper.add_layout(
        BoxAnnotation(
            bottom=top - SQUARE_MV,
            top=top,
            fill_color=colour,
            fill_alpha=0.92,
            line_color=None,
            level="annotation",
        )
    )
    paper.add_layout(
        Label(
            x=paper.x_range.start,
            y=top - SQUARE_MV / 2,
            x_offset=12,
            text=text,
            text_baseline="middle",
            text_color="white",
            text_font_style="bold",
            text_font_size="14px",
            level="annotation",
        )
    )
