"""A recording drawn as a cardiologist reads it: mV over seconds on ECG paper."""

from typing import Any

import numpy as np

from .records import EcgRecord, FloatArray

# A small square is 40 ms by 0.1 mV, a large one five of them: 25 mm/s and 10 mm/mV.
LARGE_SQUARE_S = 0.2
LARGE_SQUARE_MV = 0.5
PX_PER_LARGE_SQUARE = 20
SMALL_PER_LARGE = 5
PAPER, SMALL_LINE, LARGE_LINE, INK = "#fffaf9", "#fadcd8", "#eea79f", "#1b1b1f"


def rule_as_paper(plot: Any) -> None:
    """Give a bokeh figure, seconds by mV, the background and the squares of ECG paper."""
    from bokeh.models import SingleIntervalTicker

    plot.background_fill_color = PAPER
    plot.outline_line_color = LARGE_LINE
    for grid, square in ((plot.xgrid, LARGE_SQUARE_S), (plot.ygrid, LARGE_SQUARE_MV)):
        grid.ticker = SingleIntervalTicker(interval=square, num_minor_ticks=SMALL_PER_LARGE)
        grid.grid_line_color, grid.grid_line_width = LARGE_LINE, 0.9
        grid.minor_grid_line_color, grid.minor_grid_line_width = SMALL_LINE, 0.6


def paper_strip(time_s: FloatArray, signal_mv: FloatArray, title: str) -> Any:
    """Return a bokeh figure of one lead; squares are square, as on paper.

    Parameters
    ----------
    time_s, signal_mv : float arrays (n_samples,).
    title : stands above the strip.
    """
    from bokeh.models import Range1d, SingleIntervalTicker
    from bokeh.plotting import figure

    low = min(-LARGE_SQUARE_MV, np.floor(signal_mv.min() / LARGE_SQUARE_MV) * LARGE_SQUARE_MV)
    high = max(LARGE_SQUARE_MV, np.ceil(signal_mv.max() / LARGE_SQUARE_MV) * LARGE_SQUARE_MV)
    width = (time_s[-1] - time_s[0]) / LARGE_SQUARE_S * PX_PER_LARGE_SQUARE
    strip = figure(
        title=title,
        frame_width=round(width),
        frame_height=round((high - low) / LARGE_SQUARE_MV * PX_PER_LARGE_SQUARE),
        x_range=Range1d(time_s[0], time_s[-1]),
        y_range=Range1d(low, high),
        x_axis_label="s",
        y_axis_label="mV",
        tools="xpan,xwheel_zoom,reset,hover",
        toolbar_location=None,
    )
    rule_as_paper(strip)
    strip.xaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=5)
    strip.yaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=2)
    strip.line(time_s, signal_mv, line_color=INK, line_width=1.2)
    return strip


def record_page(record: EcgRecord) -> str:
    """Return one self-contained HTML page with a strip a lead."""
    from bokeh.embed import file_html
    from bokeh.layouts import column
    from bokeh.models.widgets import Div
    from bokeh.resources import INLINE

    time_s = np.arange(len(record.adc_counts)) / record.fs
    strips = [
        paper_strip(time_s, signal_mv, lead)
        for lead, signal_mv in zip(record.leads, record.signal_mv.T, strict=True)
    ]
    title = f"Record {record.record_id}"
    facts = [
        f"subject {record.subject_id}",
        f"{record.fs:g} Hz",
        ", ".join(sorted(record.superclasses)) or "no superclass",
        ", ".join(sorted(record.noise_flags)) or "no noise remark",
    ]
    head = Div(text=f"<h2>{title}</h2><p>{' · '.join(facts)}</p>")
    return str(file_html(column(head, *strips), INLINE, title))
