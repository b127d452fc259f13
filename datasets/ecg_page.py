"""An excerpt of a recording as one self-contained HTML page: a strip a lead, to pan and zoom."""

from dataclasses import replace
from typing import Any

import numpy as np

from .ecg_paper import (
    INK,
    LARGE_SQUARE_MV,
    LARGE_SQUARE_S,
    Excerpt,
    beat_color,
    beat_legend,
    facts,
    mark_color,
    mark_text,
    rule_as_paper,
    title,
)
from .records import FloatArray

PX_PER_LARGE_SQUARE = 20
RANGE_MV = 4.0  # beyond it, up or down, a strip has to be panned
MARKS_MV = 1.0  # above a trace, for what is marked

TEMPLATE = """
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
{% endblock %}
{% block postamble %}
<style>
  body { margin: 1rem; font-family: system-ui, sans-serif; color: #1b1b1f; background: white; }
  header { position: sticky; left: 1rem; width: calc(100vw - 3rem); }
  h1 { font-size: 1.3rem; margin: 0 0 .3rem; }
  p { margin: 0 0 .3rem; line-height: 1.4; }
  .small { color: #62626b; font-size: .85rem; }
  .mark { display: inline-block; width: .9rem; height: .7rem; margin: 0 .3rem 0 .8rem; }
</style>
{% endblock %}
{% block contents %}
<header>
  <h1>{{ heading | e }}</h1>
  <p>{{ whose | e }}</p>
  <p class="small">{{ drawn | e }}</p>
  <p class="small">Each lead is drawn about its median.
  {{ beats | e }} Drag to pan, scroll to zoom. Not for diagnosis.
  {% for text, color in legend %}
    <span class="mark" style="background: {{ color }}"></span>{{ text | e }}
  {% endfor %}</p>
</header>
{{ super() }}
{% endblock %}
"""


def excerpt_page(excerpt: Excerpt) -> str:
    """Return the page."""
    from bokeh.embed import file_html
    from bokeh.layouts import column
    from bokeh.models import Range1d
    from bokeh.resources import INLINE

    record = excerpt.record
    start_s = excerpt.start_s
    time_s = start_s + np.arange(len(record.adc_counts)) / record.fs
    shared = Range1d(start=start_s, end=start_s + excerpt.duration_s)
    strips = [
        _strip(excerpt, time_s, signal_mv, lead, shared)
        for lead, signal_mv in zip(record.leads, excerpt.drawn_mv.T, strict=True)
    ]
    whose, drawn = facts(excerpt)
    legend = {
        (mark_text(replace(stretch, agreement=None)), mark_color(stretch))
        for stretch in record.annotations.stretches
        if stretch.kind != "rhythm"
    }
    return str(
        file_html(
            column(*strips),
            INLINE,
            title(excerpt),
            template=TEMPLATE,
            template_variables={
                "heading": title(excerpt),
                "whose": whose,
                "drawn": drawn,
                "beats": beat_legend(excerpt),
                "legend": sorted(legend),
            },
        )
    )


def _strip(
    excerpt: Excerpt, time_s: FloatArray, signal_mv: FloatArray, lead: str, shared: Any
) -> Any:
    """Return a bokeh figure of one lead; squares are square, as on paper."""
    from bokeh.models import HoverTool, Range1d, SingleIntervalTicker
    from bokeh.plotting import figure

    low, high = _range_mv(signal_mv)
    strip = figure(
        title=lead,
        frame_width=round(excerpt.duration_s / LARGE_SQUARE_S * PX_PER_LARGE_SQUARE),
        frame_height=round((high + MARKS_MV - low) / LARGE_SQUARE_MV * PX_PER_LARGE_SQUARE),
        x_range=shared,
        y_range=Range1d(start=low, end=high + MARKS_MV),
        x_axis_label="s",
        y_axis_label="mV",
        tools="pan,xwheel_zoom,reset",
        active_drag="pan",
        active_scroll="xwheel_zoom",
        toolbar_location=None,
    )
    rule_as_paper(strip)
    strip.xaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=5)
    strip.yaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=2)
    trace = strip.line(time_s, signal_mv, line_color=INK, line_width=1.2)
    values = [("s", "@x{0.000}"), ("mV", "@y{0.000}")]
    strip.add_tools(HoverTool(renderers=[trace], tooltips=values, mode="vline"))
    _mark(strip, excerpt, high)
    return strip


def _range_mv(signal_mv: FloatArray) -> tuple[float, float]:
    """Return the part of a trace a strip shows, in large squares."""
    low = np.clip(signal_mv.min(), -RANGE_MV, -LARGE_SQUARE_MV) / LARGE_SQUARE_MV
    high = np.clip(signal_mv.max(), LARGE_SQUARE_MV, RANGE_MV) / LARGE_SQUARE_MV
    return float(np.floor(low)) * LARGE_SQUARE_MV, float(np.ceil(high)) * LARGE_SQUARE_MV


def _mark(strip: Any, excerpt: Excerpt, high: float) -> None:
    """Draw stretches and beats above the trace, and a fault behind it."""
    from bokeh.models.annotations import BoxAnnotation, Label

    record, start_s = excerpt.record, excerpt.start_s
    for stretch in record.annotations.stretches:
        left, right = (start_s + edge / record.fs for edge in (stretch.start, stretch.stop))
        color = mark_color(stretch)
        faulty = stretch.kind == "fault"
        if stretch.kind != "rhythm":
            strip.add_layout(
                BoxAnnotation(
                    left=left,
                    right=right,
                    bottom=strip.y_range.start if faulty else high + MARKS_MV * 0.55,
                    top=high + MARKS_MV,
                    fill_color=color,
                    fill_alpha=0.14 if faulty else 0.9,
                    line_color=None,
                )
            )
        strip.add_layout(
            Label(
                x=left,
                y=high + MARKS_MV * 0.62,
                x_offset=4,
                text=mark_text(stretch),
                text_font_size="11px",
                text_font_style="bold",
                text_color="white" if stretch.kind == "quality" else color,
            )
        )
    beats = record.annotations
    if len(beats.beats):
        symbols = [str(symbol) for symbol in beats.symbols]
        strip.text(
            start_s + beats.beats / record.fs,
            high + MARKS_MV * 0.1,
            text=symbols,
            text_color=[beat_color(symbol) for symbol in symbols],
            text_align="center",
            text_font_size="11px",
            text_font_style="bold",
        )
