"""A handful of windows worth looking at, chosen by rule and drawn as on ECG paper."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models.annotations import BoxAnnotation, Label
from bokeh.models.formatters import PrintfTickFormatter
from bokeh.models.ranges import Range1d
from bokeh.models.tickers import FixedTicker
from bokeh.plotting import figure

from datasets import SUPERCLASSES
from datasets.ecg_paper import INK, LARGE_SQUARE_MV, LARGE_SQUARE_S, rule_as_paper
from datasets.groups import Groups
from datasets.records import BoolArray, FloatArray
from export.bundle import Bundle

from .measures import GRADES, right_diagnoses
from .replay import Replay

SPAN_MV_MIN, SPAN_MV_MAX = 2.0, 6.0
WIDTH_PX = 1040
MARGIN_PX = {"left": 54, "right": 14, "top": 4, "bottom": 28}
Kind = tuple[str, str, BoolArray, str]
"""Title, name of the group as in "such ID windows", the windows, and which of them by score."""

COLOUR_BY_ACCEPTED = {True: "#1a7f4b", False: "#b3261e"}


@dataclass(frozen=True, slots=True)
class Strip:
    """One window to draw: its index in the replay, and why it was chosen."""

    index: int
    title: str
    rule: str


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision for a reader: accepted or not, and the rest of it in a few words."""

    accepted: bool
    text: str


def choose_strips(replay: Replay, bundle: Bundle, groups: Groups) -> list[Strip]:
    """Return up to eight windows, each the extreme or the median of one kind of decision.

    The rules look at groups and scores alone and ties go to the first window, so equal replays give
    equal strips and nobody picks the pretty ones. A kind without a window is left out.
    """
    if groups.labelled.any():
        kinds = _kinds_by_diagnosis(replay, bundle, groups)
    elif replay.quality.any():
        kinds = _kinds_by_grade(replay)
    else:
        kinds = _kinds_by_decision(replay)
    strips: list[Strip] = []
    for title, group, mask, place in kinds:
        ranked = np.flatnonzero(mask)[np.argsort(replay.scores[mask], kind="stable")]
        if not len(ranked):
            continue
        at = {"lowest": 0, "median": (len(ranked) - 1) // 2, "highest": len(ranked) - 1}[place]
        if int(ranked[at]) not in [strip.index for strip in strips]:
            rule = (
                f"The {place} score of {len(ranked):,} such {group}windows"
                if len(ranked) > 1
                else f"The only such {group}window"
            )
            strips.append(Strip(int(ranked[at]), title, rule))
    return strips


def _kinds_by_diagnosis(replay: Replay, bundle: Bundle, groups: Groups) -> list[Kind]:
    right = right_diagnoses(replay, bundle, groups)
    known, noisy = groups.in_distribution & replay.clean, groups.in_distribution & ~replay.clean
    kept, refused = replay.accepted, ~replay.accepted
    return [
        ("Accepted, diagnosed right", "clean ID ", known & kept & right, "median"),
        ("Accepted, diagnosed wrong", "clean ID ", known & kept & ~right, "median"),
        ("False reject", "clean ID ", known & refused, "highest"),
        ("Unseen, rejected", "unseen ", groups.unseen & refused, "highest"),
        ("Unseen, rejected: a typical one", "unseen ", groups.unseen & refused, "median"),
        ("Unseen, missed", "unseen ", groups.unseen & kept, "lowest"),
        ("Noisy, rejected", "noisy ID ", noisy & refused, "highest"),
        ("Noisy, accepted", "noisy ID ", noisy & kept, "median"),
    ]


def _kinds_by_grade(replay: Replay) -> list[Kind]:
    kept, refused = replay.accepted, ~replay.accepted
    return [
        kind
        for grade, meaning in GRADES.items()
        for kind in (
            (f"Grade {grade}, {meaning}: accepted", "", (replay.quality == grade) & kept, "median"),
            (
                f"Grade {grade}, {meaning}: rejected",
                "",
                (replay.quality == grade) & refused,
                "median",
            ),
        )
    ]


def _kinds_by_decision(replay: Replay) -> list[Kind]:
    kept, refused = replay.accepted, ~replay.accepted
    return [
        ("Accepted: a typical one", "", kept, "median"),
        ("Accepted, nearest to the threshold", "", kept, "highest"),
        ("Rejected: a typical one", "", refused, "median"),
        ("Rejected, farthest from the threshold", "", refused, "highest"),
    ]


def draw_strip(
    window_mv: FloatArray, leads: Sequence[str], fs: float, start_s: float, decision: Decided
) -> list[figure]:
    """Return one figure a lead, the decision on a band over the first.

    Parameters
    ----------
    window_mv : float (n_samples, n_leads) in mV, as recorded.
    leads : one a column; fs : in Hz; start_s : of the window in its record.
    decision : what the band says.
    """
    figures = [
        _paper(start_s, fs, window_mv[:, lead], name, banded=lead == 0)
        for lead, name in enumerate(leads)
    ]
    _band(figures[0], start_s, range_mv(window_mv[:, 0])[1], decision)
    for upper in figures[:-1]:
        upper.xaxis.visible = False
    return figures


def decided(replay: Replay, bundle: Bundle, groups: Groups, index: int) -> Decided:
    """Return the decision on one window beside its truth, score in multiples of the threshold."""
    accepted = bool(replay.accepted[index])
    threshold, score = bundle.threshold, int(replay.scores[index])
    text = (
        f"score {score / threshold:.2f} \u00d7 threshold" if threshold > 0 else f"score {score:,}"
    )
    text += f"; diagnosed {bundle.classes[replay.labels[index]]}" if accepted else ", unfamiliar"
    if groups.labelled[index]:
        truth = " + ".join(np.array(SUPERCLASSES)[replay.truth[index]])
        unseen = " (unseen)" if groups.unseen[index] else ""
        text += f"{',' if accepted else ';'} truth {truth}{unseen}"
        if accepted:
            right = right_diagnoses(replay, bundle, groups)[index]
            text += f": {'right' if right else 'wrong'}"
    elif grade := int(replay.quality[index]):
        text += f"; graded {grade}, {GRADES[grade]}"
    return Decided(accepted, text)


def range_mv(signal_mv: FloatArray) -> tuple[float, float]:
    """Return the mV range to draw: whole large squares around the signal, 2 to 6 mV in all."""
    low = LARGE_SQUARE_MV * np.floor(signal_mv.min() / LARGE_SQUARE_MV)
    high = LARGE_SQUARE_MV * np.ceil(signal_mv.max() / LARGE_SQUARE_MV)
    if high - low > SPAN_MV_MAX:
        low = (
            LARGE_SQUARE_MV * np.round(float(np.median(signal_mv)) / LARGE_SQUARE_MV)
            - SPAN_MV_MAX / 2
        )
        high = low + SPAN_MV_MAX
    n_missing = max(0, round((SPAN_MV_MIN - (high - low)) / LARGE_SQUARE_MV))
    low -= LARGE_SQUARE_MV * (n_missing // 2)
    high += LARGE_SQUARE_MV * (n_missing - n_missing // 2)
    return float(low), float(high)


def _paper(start_s: float, fs: float, signal_mv: FloatArray, lead: str, banded: bool) -> figure:
    low, high = range_mv(signal_mv)
    top = high + LARGE_SQUARE_MV if banded else high
    time_s = start_s + np.arange(len(signal_mv)) / fs
    duration_s = len(signal_mv) / fs
    end_s = start_s + duration_s
    px_per_square = (
        (WIDTH_PX - MARGIN_PX["left"] - MARGIN_PX["right"]) * LARGE_SQUARE_S / duration_s
    )
    height_px = (
        (top - low) / LARGE_SQUARE_MV * px_per_square + MARGIN_PX["top"] + MARGIN_PX["bottom"]
    )
    paper = figure(
        width=WIDTH_PX,
        height=round(height_px),
        sizing_mode="scale_width",
        x_range=Range1d(start=start_s, end=end_s),
        y_range=Range1d(start=low, end=top),
        y_axis_label=f"lead {lead} (mV)",
        tools="",
        toolbar_location=None,
        min_border_left=MARGIN_PX["left"],
        min_border_right=MARGIN_PX["right"],
        min_border_top=MARGIN_PX["top"],
    )
    seconds = np.arange(np.ceil(start_s), end_s + 1e-9)
    paper.xaxis.ticker = FixedTicker(ticks=seconds.tolist())
    paper.yaxis.ticker = FixedTicker(ticks=np.arange(np.ceil(low), high + 1e-9).tolist())
    paper.xaxis.formatter = PrintfTickFormatter(format="%g s")
    paper.axis.minor_tick_line_color = None
    rule_as_paper(paper)
    paper.line(time_s, signal_mv, line_color=INK, line_width=1.4, line_join="round")
    return paper


def _band(paper: figure, start_s: float, bottom_mv: float, decision: Decided) -> None:
    """Draw the decision over the whole window, in the large square kept free above the signal."""
    band = BoxAnnotation(
        bottom=bottom_mv,
        top=bottom_mv + LARGE_SQUARE_MV,
        fill_color=COLOUR_BY_ACCEPTED[decision.accepted],
        fill_alpha=1.0,
        line_color=None,
        level="annotation",
    )
    text = Label(
        x=start_s,
        y=bottom_mv + LARGE_SQUARE_MV / 2,
        x_offset=12,
        text=f"{'ACCEPTED' if decision.accepted else 'REJECTED'}: {decision.text}",
        text_baseline="middle",
        text_color="white",
        text_font_style="bold",
        text_font_size="14px",
        level="annotation",
    )
    paper.add_layout(band)
    paper.add_layout(text)
