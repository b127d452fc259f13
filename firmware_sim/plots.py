"""The report's plots, and how they get into a page that loads nothing."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.models import Label, LegendItem, Model, Range1d, Span
from bokeh.plotting import figure
from bokeh.resources import Resources
from bokeh.themes import Theme
from sklearn.metrics import roc_curve

from datasets.records import BoolArray
from export.bundle import Bundle

from .measures import SimulationReport, group_windows
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
    item = json.loads(json.dumps(json_item(model, target, theme=THEME)))
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


def roc_plot(report: SimulationReport, replay: Replay, bundle: Bundle) -> figure:
    """Return ROC curves of the filter and of age, with the threshold's operating point."""
    groups = group_windows(replay, bundle)
    plot = figure(
        width=500,
        height=440,
        sizing_mode="stretch_width",
        x_range=Range1d(-0.005, 1.005),
        y_range=Range1d(-0.005, 1.005),
        x_axis_label="in-distribution windows rejected",
        y_axis_label="unseen windows rejected",
        tools="",
        toolbar_location=None,
    )
    plot.line([0, 1], [0, 1], line_color=GREY, line_dash="dotted")
    aged = np.isfinite(replay.ages)
    curves: list[tuple[str, Any, BoolArray, BoolArray, dict[str, Any]]] = [
        ("age, against all", replay.ages, groups.in_distribution, aged, _line(GREY, 1.6, "dashed")),
        ("against abnormal ID", replay.scores, groups.abnormal, ..., _line(ORANGE, 1.8, "solid")),
        ("against NORM", replay.scores, groups.norm, ..., _line(GREEN, 1.8, "solid")),
        ("against all ID", replay.scores, groups.in_distribution, ..., _line(BLUE, 3.0, "solid")),
    ]
    items = []
    for name, scores, negative, usable, style in curves:
        chosen = np.zeros(len(replay), np.bool_)
        chosen[usable] = (groups.unseen | negative)[usable]
        if len(np.unique(groups.unseen[chosen])) == 2:
            fpr, tpr, _ = roc_curve(groups.unseen[chosen], scores[chosen])
            items.append(LegendItem(label=name, renderers=[plot.line(fpr, tpr, **style)]))
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
        items.append(LegendItem(label="bundle's threshold", renderers=[point]))
    plot.add_layout(_legend(items))
    return plot


def score_plot(report: SimulationReport, replay: Replay, bundle: Bundle) -> figure:
    """Return histograms of the score, unseen against in-distribution, with the threshold."""
    groups = group_windows(replay, bundle)
    scores = replay.scores[groups.labelled].astype(np.float64)
    low, high = float(scores.min()), float(np.quantile(scores, HISTOGRAM_SHOWN))
    high = max(high, 1.05 * report.threshold, low + 1)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    plot = figure(
        width=500,
        height=440,
        sizing_mode="stretch_width",
        x_range=Range1d(low, high),
        x_axis_label="score (the last bar holds all that is higher)",
        y_axis_label="share of the group's windows",
        tools="",
        toolbar_location=None,
    )
    plot.xaxis.formatter.use_scientific = False
    plot.y_range.start = 0
    items, peak = [], 0.0
    for name, mask, colour in (
        ("in distribution", groups.in_distribution, BLUE),
        (groups.row_names[-1], groups.unseen, ORANGE),
    ):
        if mask.any():
            counts, _ = np.histogram(np.clip(replay.scores[mask], low, high), edges)
            shares = counts / mask.sum()
            bars = plot.quad(
                left=edges[:-1],
                right=edges[1:],
                bottom=0,
                top=shares,
                fill_color=colour,
                fill_alpha=0.45,
                line_color=colour,
                line_alpha=0.9,
            )
            items.append(LegendItem(label=name, renderers=[bars]))
            peak = max(peak, float(shares.max()))
    plot.y_range = Range1d(0, 1.12 * peak)
    _mark_threshold(plot, report.threshold, 1.12 * peak, leftwards=report.threshold > 0.6 * high)
    plot.add_layout(_legend(items))
    return plot


def _mark_threshold(plot: figure, threshold: int, top: float, leftwards: bool) -> None:
    plot.add_layout(
        Span(location=threshold, dimension="height", line_color=RED, line_width=2, line_dash="dashed")
    )
    plot.add_layout(
        Label(
            x=threshold,
            y=top,
            x_offset=-6 if leftwards else 6,
            y_offset=-4,
            text="threshold",
            text_align="right" if leftwards else "left",
            text_baseline="top",
            text_color=RED,
            text_font_size="12px",
        )
    )


def _line(colour: str, width: float, dash: str) -> dict[str, Any]:
    return {"line_color": colour, "line_width": width, "line_dash": dash}


def _legend(items: list[LegendItem]) -> Any:
    from bokeh.models import Legend

    return Legend(items=items[::-1], location="center")
