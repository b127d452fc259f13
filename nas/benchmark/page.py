"""The page: what `sections` says, behind plots; it loads nothing."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bokeh.layouts import row as side_by_side
from bokeh.models.annotations import Legend, LegendItem, Span, Title
from bokeh.models.ranges import FactorRange, Range1d
from bokeh.models.tickers import FixedTicker
from bokeh.plotting import figure
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from datasets.embedding import BLUE, FONT, GREEN, GREY, INK, ORANGE, RED, bokeh_script, embeddable

from .formats import three, with_interval
from .measures import AGE
from .results import (
    BASELINES_ABOUT,
    COLUMNS,
    LEADS_TITLES,
    NOISE_TITLES,
    PUBLISHED,
    Results,
    Section,
    families_about,
)
from .rows import RowFigures
from .study import HOLD_OUTS

TEMPLATE = "results.html.jinja"
# The rest of Okabe and Ito's palette, for the families of `datasets.embedding`'s colours.
FAMILY_COLOURS = (BLUE, ORANGE, GREEN, RED, "#cc79a7", "#56b4e9", "#8c510a", INK)
PUBLISHED_COLOUR = "#8250a0"
N_BEFORE_PLOTS = 2
"""Sections that come before the plots: the headline and what it says."""
ROW_PX, PANEL_PX, NOISE_PX = 24, 178, 250
NOISE_BASELINES = ("signal_quality", "hand_features")
"""Baselines drawn beside the families; the others are in the table."""


@dataclass(frozen=True, slots=True)
class Card:
    """A figure at the top of the page."""

    title: str
    figure: str
    beside: str


def results_page(results: Results, said: Sequence[Section]) -> str:
    """Return the page.

    Parameters
    ----------
    said : the sections; what stands between asterisks is emphasised.
    """
    items: list[dict[str, Any]] = []
    plots: list[tuple[str, str]] = []
    for leads in results.leads:
        rows = results.rows_of(leads)
        plots.append((f"auroc-{len(items)}", f"AUROC of the unseen class, {LEADS_TITLES[leads]}"))
        items.append(embeddable(_auroc_plot(rows), plots[-1][0]))
    for leads in results.leads:
        rows = [row for row in results.rows_of(leads) if row.noise]
        if rows:
            plots.append((f"noise-{len(items)}", f"Noisy windows rejected, {LEADS_TITLES[leads]}"))
            items.append(embeddable(_noise_plot(rows), plots[-1][0]))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["emphasised"] = _emphasised
    return environment.get_template(TEMPLATE).render(
        first=said[:N_BEFORE_PLOTS],
        rest=said[N_BEFORE_PLOTS:],
        plots=plots,
        cards=_cards(results),
        commit=results.commit,
        about=families_about() | BASELINES_ABOUT,
        # Pasted into scripts: no text of ours may end one early.
        bokeh_script=bokeh_script().replace("</script", "<\\/script"),
        items=json.dumps(items, allow_nan=False).replace("<", "\\u003c"),
    )


def _cards(results: Results) -> list[Card]:
    """Return the best filter and the best baseline of each set of leads, and what is done."""
    cards = []
    for leads in results.leads:
        rows = [
            (row, estimate)
            for row in results.rows_of(leads)
            if (estimate := row.mean) and estimate.value is not None
        ]
        for is_family, what in ((True, "Best filter"), (False, "Best baseline")):
            of_kind = [pair for pair in rows if pair[0].is_family is is_family]
            if {row.name for row, _ in of_kind} - {AGE}:
                best, estimate = max(of_kind, key=lambda pair: pair[1].value or 0.0)
                title = f"{what}, {LEADS_TITLES[leads]}: mean AUROC"
                interval = with_interval(estimate).partition(" ")[2]
                cards.append(Card(title, three(estimate.value), f"{best.name} {interval}"))
    published = PUBLISHED["Deep SVDD, published"]
    mean = sum(published.values()) / len(published)
    cards.append(Card("Published, leads unknown", three(mean), "Deep SVDD, mean of four classes"))
    n_scored = sum(cell.error is None for cell in results.cells.values())
    figure = f"{n_scored} of {len(results.states)}"
    cards.append(Card("Cells with scores", figure, results.counts.partition(" of ")[0]))
    return cards


def _auroc_plot(rows: Sequence[RowFigures]) -> Any:
    """Return a panel a held-out class, and one of their mean, with a line a row."""
    factors = FactorRange(factors=[row.name for row in rows][::-1])
    panels = []
    for column in COLUMNS:
        first = column == COLUMNS[0]
        plot = figure(
            frame_width=PANEL_PX,
            frame_height=ROW_PX * len(rows) + 10,
            x_range=Range1d(start=0.3, end=0.9),
            y_range=factors,
            title=_title(column),
            tools="",
            toolbar_location=None,
            min_border_right=6,
        )
        plot.xaxis.ticker = FixedTicker(ticks=[0.4, 0.5, 0.6, 0.7, 0.8])
        plot.ygrid.visible = False
        plot.yaxis.visible = first
        plot.add_layout(Span(location=0.5, dimension="height", line_color=GREY, line_dash="dotted"))
        for is_family, colour in ((True, BLUE), (False, GREY)):
            _draw_rows(plot, [row for row in rows if row.is_family is is_family], column, colour)
        for values in PUBLISHED.values():
            if column in values:
                plot.add_layout(
                    Span(
                        location=values[column],
                        dimension="height",
                        line_color=PUBLISHED_COLOUR,
                        line_dash="dashed",
                        line_alpha=0.7,
                    )
                )
        panels.append(plot)
    return side_by_side(*panels)


def _draw_rows(plot: Any, rows: Sequence[RowFigures], column: str, colour: str) -> None:
    found = [(row.name, row.auroc["multi_label"]["all"].get(column)) for row in rows]
    drawn = [(name, e) for name, e in found if e is not None and e.value is not None]
    if not drawn:
        return
    whole = [(name, e) for name, e in drawn if e.low is not None]
    plot.hbar(
        y=[name for name, _ in whole],
        left=[e.low for _, e in whole],
        right=[e.high for _, e in whole],
        height=0.18,
        fill_color=colour,
        fill_alpha=0.35,
        line_color=None,
    )
    plot.scatter(
        [e.value for _, e in drawn],
        [name for name, _ in drawn],
        size=8,
        fill_color=colour,
        line_color="white",
    )


def _noise_plot(rows: Sequence[RowFigures]) -> Any:
    """Return a panel a kind of noise: the share rejected by SNR, a line a family."""
    kinds = list(dict.fromkeys(noise.kind for noise in rows[0].noise))
    families = [row for row in rows if row.is_family]
    colours = {row.name: FAMILY_COLOURS[i % 8] for i, row in enumerate(families)}
    drawn = [row for row in rows if row.is_family or row.name in NOISE_BASELINES]
    panels = []
    for kind in kinds:
        last = kind == kinds[-1]
        plot = figure(
            frame_width=NOISE_PX,
            frame_height=250,
            x_range=Range1d(start=13, end=-7),
            y_range=Range1d(start=0, end=1.02),
            x_axis_label="SNR, dB",
            y_axis_label="noisy windows rejected",
            title=_title(NOISE_TITLES[kind]),
            tools="",
            toolbar_location=None,
        )
        plot.yaxis.visible = kind == kinds[0]
        items: list[LegendItem] = []
        for row in drawn:
            points = [n for n in row.noise if n.kind == kind]
            line: Any = plot.line(
                [n.snr_db for n in points],
                [n.rejected.value or 0.0 for n in points],
                line_color=colours.get(row.name, GREY),
                line_width=2,
                line_dash=_dash(row),
            )
            items.append(LegendItem(label=row.name, renderers=[line]))
        if last:
            plot.add_layout(Legend(items=items, border_line_color=None), "right")
        panels.append(plot)
    return side_by_side(*panels)


def _title(text: str) -> Title:
    return Title(text=text, text_font_size="13px", text_color=INK, text_font=FONT)


def _dash(row: RowFigures) -> str:
    if row.is_family:
        return "solid"
    return "dotted" if row.name == NOISE_BASELINES[0] else "dashed"


def _emphasised(text: str) -> Markup:
    """Return plain text with *this* emphasised."""
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", str(escape(text))))


assert set(HOLD_OUTS) < set(COLUMNS)
