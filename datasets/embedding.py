"""Plots of this project's look, and how they get into a page that loads nothing."""

import json
from collections.abc import Iterator
from typing import Any

from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.model import Model
from bokeh.resources import Resources
from bokeh.themes import Theme

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
INK, MUTED, HAIRLINE = "#1b1f24", "#57606a", "#e3e6ea"
# Okabe and Ito's palette: distinct with every common colour blindness (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8c959f"
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
