"""The report's plots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models.annotations import Label, Legend, LegendItem, Span
from bokeh.models.formatters import NumeralTickFormatter
from bokeh.models.ranges import Range1d
from bokeh.plotting import figure
from sklearn.metrics import roc_curve

from datasets.embedding import BLUE, GREEN, GREY, INK, ORANGE, RED
from datasets.groups import Groups
from datasets.records import BoolArray

from .measures import GRADES
from .replay import Replay

HISTOGRAM_BINS = 48
HISTOGRAM_SHOWN = 0.995  # the rest is counted in the last bin


def roc_plot(replay: Replay, groups: Groups) -> figure:
    """Return ROC curves of the filter and of age, with the threshold's operating point."""
    plot = figure(
        width=500,
        height=440,
        sizing_mode="stretch_width",
        x_range=Range1d(start=-0.005, end=1.005),
        y_range=Range1d(start=-0.005, end=1.005),
        x_axis_label="in-distribution windows rejected",
        y_axis_label="unseen windows rejected",
        tools="",
        toolbar_location=None,
    )
    plot.line([0, 1], [0, 1], line_color=GREY, line_dash="dotted")
    everyone, aged = np.ones(len(replay), np.bool_), np.isfinite(replay.ages)
    curves: list[tuple[str, Any, BoolArray, BoolArray, dict[str, Any]]] = [
        ("age, all ID", replay.ages, groups.in_distribution, aged, _line(GREY, 1.6, "dashed")),
        ("score, abnormal ID", replay.scores, groups.abnormal, everyone, _line(ORANGE, 1.8)),
        ("score, NORM", replay.scores, groups.norm, everyone, _line(GREEN, 1.8)),
        ("score, all ID", replay.scores, groups.in_distribution, everyone, _line(BLUE, 3.0)),
    ]
    items: list[LegendItem] = []
    for name, scores, negative, usable, style in curves:
        chosen = (groups.unseen | negative) & usable
        if len(np.unique(groups.unseen[chosen])) == 2:
            fpr, tpr, _ = roc_curve(groups.unseen[chosen], scores[chosen])
            items.append(_legend_item(name, plot.line(fpr, tpr, **style)))
    if groups.unseen.any() and groups.in_distribution.any():
        rejected = ~replay.accepted
        point = plot.scatter(
            [rejected[groups.in_distribution].mean()],
            [rejected[groups.unseen].mean()],
            size=12,
            fill_color=RED,
            line_color="white",
            line_width=2,
        )
        items.append(_legend_item("bundle's threshold", point))
    plot.add_layout(Legend(items=items[::-1], location="bottom_right"))
    return plot


@dataclass(frozen=True, slots=True)
class ScoreGroup:
    """Windows whose scores are drawn as one histogram; the `filled` one lies behind the lines."""

    name: str
    mask: BoolArray
    colour: str
    filled: bool = False


def score_groups(replay: Replay, groups: Groups) -> list[ScoreGroup]:
    """Return the groups that the truth tells apart: by diagnosis, else by grade, else all in one.

    Groups without a window are left out.
    """
    if groups.labelled.any():
        found = [
            ScoreGroup("in distribution", groups.in_distribution, BLUE, filled=True),
            ScoreGroup(groups.row_names[-1], groups.unseen, RED),
        ]
    elif replay.quality.any():
        found = [
            ScoreGroup(f"grade {grade}: {GRADES[grade]}", replay.quality == grade, colour, filled)
            for grade, colour, filled in ((1, BLUE, True), (2, ORANGE, False), (3, RED, False))
        ]
    else:
        found = [ScoreGroup("all windows", np.ones(len(replay), np.bool_), BLUE, filled=True)]
    return [group for group in found if group.mask.any()]


def score_plot(replay: Replay, groups: Groups, threshold: int) -> figure:
    """Return histograms of the score of each of `score_groups`, with the threshold."""
    scores = replay.scores / max(threshold, 1)
    low = float(scores.min())
    high = max(float(np.quantile(scores, HISTOGRAM_SHOWN)), 1.05)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    plot = figure(
        width=500,
        height=440,
        sizing_mode="stretch_width",
        x_range=Range1d(start=low, end=high),
        x_axis_label="score / threshold (the last bar holds all that is higher)",
        y_axis_label="share of the group's windows",
        tools="",
        toolbar_location=None,
    )
    plot.yaxis.formatter = NumeralTickFormatter(format="0 %")
    items, peak = [], 0.01
    for group in score_groups(replay, groups):
        n_by_bin, _ = np.histogram(np.clip(scores[group.mask], low, high), edges)
        shares = n_by_bin / group.mask.sum()
        x, y = np.repeat(edges, 2), np.concatenate([[0], np.repeat(shares, 2), [0]])
        if group.filled:
            drawn: Any = plot.patch(
                x, y, fill_color=group.colour, fill_alpha=0.3, line_color=group.colour
            )
        else:
            drawn = plot.line(x, y, line_color=group.colour, line_width=2)
        items.append(_legend_item(group.name, drawn))
        peak = max(peak, float(shares.max()))
    top = (1 + 0.1 * len(items)) * peak  # room for the legend
    plot.y_range = Range1d(start=0, end=top)
    _mark_threshold(plot, top, leftwards=1 > (low + high) / 2)
    plot.add_layout(Legend(items=items, location="top_right"))
    return plot


def _mark_threshold(plot: figure, top: float, leftwards: bool) -> None:
    plot.add_layout(
        Span(location=1, dimension="height", line_color=INK, line_width=2, line_dash="dashed")
    )
    plot.add_layout(
        Label(
            x=1,
            y=top,
            x_offset=-6 if leftwards else 6,
            y_offset=-4,
            text="threshold",
            text_align="right" if leftwards else "left",
            text_baseline="top",
            text_color=INK,
            text_font_size="12px",
        )
    )


def _line(colour: str, width: float, dash: str = "solid") -> dict[str, Any]:
    return {"line_color": colour, "line_width": width, "line_dash": dash}


def _legend_item(name: str, drawn: Any) -> LegendItem:
    return LegendItem(label=name, renderers=[drawn])
