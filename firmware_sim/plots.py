"""The report's plots, and how they get into a page that loads nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.model import Model
from bokeh.models.annotations import Label, Legend, LegendItem, Span
from bokeh.models.formatters import NumeralTickFormatter
from bokeh.models.ranges import Range1d
from bokeh.plotting import figure
from bokeh.resources import Resources
from bokeh.themes import Theme
from sklearn.metrics import roc_curve

from datasets.groups import Groups
from datasets.records import BoolArray

from .measures import GRADES
from .replay import Replay

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
INK, MUTED, HAIRLINE = "#1b1f24", "#57606a", "#e3e6ea"
# Okabe and Ito's palette: distinct with every common colour blindness (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8c959f"
HISTOGRAM_BINS = 48
HISTOGRAM_SHOWN = 0.995  # the rest is counted in the last bin
THEME = Theme(
    json={
        "attrs": {
            "Plot": {
                "background_fill_color": "#ffffff",
                "border_fill_color": None,
                "outline_line_color": None,
            },
            "Grid": {"grid_line_color": HAIRLINE},
            "Axis": {
                "axis_line_color": GREY,
                "major_tick_line_color": GREY,
                "minor_tick_line_color": None,
                "major_label_text_color": MUTED,
                "major_label_text_font": FONT,
                "major_label_text_font_size": "12px",
                "axis_label_text_color": INK,
                "axis_label_text_font": FONT,
                "axis_label_text_font_size": "13px",
                "axis_label_text_font_style": "normal",
            },
            "Legend": {
                "label_text_font": FONT,
                "label_text_font_size": "12px",
                "label_text_color": INK,
                "border_line_color": HAIRLINE,
                "background_fill_alpha": 0.9,
            },
            "Label": {"text_font": FONT},
        }
    }
)


def bokeh_script() -> str:
    """Return BokehJS, to be pasted into a page."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True).js_raw)


def embeddable(model: Model, target: str) -> dict[str, Any]:
    """Return the JSON that `Bokeh.embed.embed_item` draws into the element `target`.

    Bokeh numbers models by a counter of the process; here they are numbered by their place in this
    plot, so that equal plots are equal bytes.
    """
    item = json.loads(json.dumps(json_item(model, ID(target), theme=THEME)))
    names: dict[str, str] = {}
    for node in _nodes(item["doc"]):
        names.setdefault(node["id"], f"{target}-{len(names)}")
    for node in _nodes(item["doc"]):
        node["id"] = names[node["id"]]
    return {**item, "root_id": names[item["root_id"]]}


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every model of a serialised document and every reference to one."""
    if isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


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
