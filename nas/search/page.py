"""A study as one page: its front, how it was found, what mattered, and the winner's network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any, cast

import numpy as np
from bokeh.models.annotations import Legend, LegendItem
from bokeh.models.formatters import NumeralTickFormatter
from bokeh.models.ranges import FactorRange, Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tools import HoverTool
from bokeh.plotting import figure
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from optuna.trial import FrozenTrial

from datasets.embedding import BLUE, GREEN, GREY, INK, ORANGE, RED, bokeh_script, embeddable
from export.provenance import commit

from ..candidate import Candidate
from .architecture import Step, steps_of
from .costs import input_shape
from .evaluate import CANDIDATES, SECONDS
from .front import NEAR_BEST, Front, hypervolumes
from .importance import importances_of
from .ledger import SETTLED, SOURCE, Outcome, outcome_of, tally
from .table import areas_of, families_of

TEMPLATE = "page.html.jinja"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#cc79a7", "#56b4e9", "#b8a800", INK)
NOT_DRAWN = ("activation", "norm", "reshape", "channels", "crop")
"""Steps that follow another, are folded into it, or only read values otherwise."""
COLUMN_PX, HEIGHT_PX = 70, 150


@dataclass(frozen=True, slots=True)
class Box:
    """A layer as it is drawn: its middle, size and words."""

    x: float
    width: float
    height: float
    kind: str
    title: str
    shape: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A gate's network: its boxes from left to right, and all of its steps."""

    name: str
    candidate: Candidate
    boxes: tuple[Box, ...]
    steps: tuple[Step, ...]

    @property
    def width(self) -> int:
        """Of the drawing in px."""
        return COLUMN_PX * len(self.boxes)


def write_page(front: Front, out: Path) -> Path:
    """Write `out`/pareto.json and `out`/pareto.html and return the latter.

    Equal studies give equal bytes: neither file holds a date.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(front.to_json(), indent=2, allow_nan=False)
    (out / "pareto.json").write_text(text + "\n", encoding="utf-8")
    page = out / "pareto.html"
    page.write_text(_html(front), encoding="utf-8")
    return page


def _html(front: Front) -> str:
    plots = [
        *(
            (f"front-{i}", f"AUROC against {name.replace('_', ' ')}", _front_plot(front, i))
            for i, name in enumerate(front.settings.costs, start=1)
        ),
        ("hypervolume", "Hypervolume over trials", _hypervolume_plot(front)),
    ]
    if importances := importances_of(front):
        plots.append(("importance", "What the AUROC hung on", _importance_plot(importances)))
    items = [embeddable(plot, target) for target, _, plot in plots]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        front=front,
        counts={outcome.value: tally(front.study)[outcome] for outcome in SETTLED},
        plots=[(target, title) for target, title, _ in plots],
        rows=[_row(trial, trial is front.winner) for trial in front.trials],
        drawings=[] if front.winner is None else drawings_of(front, front.winner),
        column_px=COLUMN_PX,
        height_px=HEIGHT_PX,
        near_best=NEAR_BEST,
        hours=_hours(front),
        commit=commit(),
        # Pasted into scripts: no text of ours may end one early.
        bokeh_script=bokeh_script().replace("</script", "<\\/script"),
        items=json.dumps(items, allow_nan=False).replace("<", "\\u003c"),
    )


def _row(trial: FrozenTrial, wins: bool) -> dict[str, Any]:
    return {
        "number": trial.number,
        "family": families_of(trial.user_attrs[CANDIDATES]),
        "auroc": trial.values[0],
        "areas": areas_of(trial),
        "costs": trial.values[1:],
        "source": trial.user_attrs.get(SOURCE, "drawn"),
        "wins": wins,
    }


def _hours(front: Front) -> float:
    """Return the hours of one core that all trials took."""
    trials = front.study.get_trials(deepcopy=False)
    return sum(sum(trial.user_attrs.get(SECONDS, ())) for trial in trials) / 3600


def _front_plot(front: Front, cost: int) -> Any:
    """Return the AUROC of every done trial against one cost, those on the front large."""
    name = front.settings.costs[cost - 1].replace("_", " ")
    plot = figure(
        height=380,
        sizing_mode="stretch_width",
        x_axis_type="log",
        x_axis_label=name,
        y_axis_label="AUROC on surrogates",
        tools="",
        toolbar_location=None,
    )
    plot.xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
    trials = front.study.get_trials(deepcopy=False)
    done = [trial for trial in trials if outcome_of(trial) == Outcome.DONE]
    families = sorted({families_of(trial.user_attrs[CANDIDATES]) for trial in done})
    on_front = {trial.number for trial in front.trials}
    items = []
    for i, family in enumerate(families):
        of_family = [t for t in done if families_of(t.user_attrs[CANDIDATES]) == family]
        source = _points(of_family, cost, on_front)
        colour = COLOURS[i % len(COLOURS)]
        drawn = plot.scatter(
            "x",
            "y",
            source=source,
            size="size",
            fill_color=colour,
            fill_alpha="alpha",
            line_color=colour,
        )
        items.append(LegendItem(label=family, renderers=[cast(Any, drawn)]))
    hover = [("trial", "@trial"), ("AUROC", "@y{0.0000}"), (name, "@x{0,0}")]
    plot.add_tools(HoverTool(tooltips=hover))
    plot.add_layout(Legend(items=items, orientation="horizontal", ncols=4), "below")
    return plot


def _points(trials: Sequence[FrozenTrial], cost: int, on_front: set[int]) -> ColumnDataSource:
    large = [trial.number in on_front for trial in trials]
    return ColumnDataSource(
        {
            "x": [trial.values[cost] for trial in trials],
            "y": [trial.values[0] for trial in trials],
            "trial": [trial.number for trial in trials],
            "size": [11 if is_large else 6 for is_large in large],
            "alpha": [0.9 if is_large else 0.15 for is_large in large],
        }
    )


def _hypervolume_plot(front: Front) -> Any:
    steps = hypervolumes(front.study, front.settings)
    plot = figure(
        height=380,
        sizing_mode="stretch_width",
        x_axis_label="trial",
        y_axis_label="AUROC above chance x decades of cost saved",
        tools="",
        toolbar_location=None,
    )
    plot.step(
        [step.trial for step in steps],
        [step.value for step in steps],
        mode="after",
        line_color=BLUE,
        line_width=2.5,
    )
    plot.y_range = Range1d(start=0, end=1.05 * max([step.value for step in steps], default=1.0))
    return plot


def _importance_plot(importances: dict[str, float]) -> Any:
    names = list(importances)[::-1]
    shares = np.array([importances[name] for name in names])
    plot = figure(
        height=380,
        sizing_mode="stretch_width",
        y_range=FactorRange(factors=names),
        x_range=Range1d(start=0, end=1.05 * float(shares.max())),
        x_axis_label="importance for the AUROC (PED-ANOVA)",
        tools="",
        toolbar_location=None,
    )
    plot.hbar(y=names, right=shares, height=0.6, fill_color=BLUE, line_color=None)
    plot.ygrid.visible = False
    plot.xaxis.formatter = NumeralTickFormatter(format="0 %")
    plot.outline_line_color = GREY
    return plot


def drawings_of(front: Front, trial: FrozenTrial) -> list[Drawing]:
    """Return the networks of a trial, one a gate."""
    found = []
    for name, values in trial.user_attrs[CANDIDATES].items():
        candidate = Candidate.from_json(values)
        steps = tuple(steps_of(candidate, input_shape(candidate, front.settings)))
        drawn = [step for step in steps if step.kind not in NOT_DRAWN]
        boxes = tuple(_box(i, step) for i, step in enumerate(drawn))
        found.append(Drawing(name, candidate, boxes, steps))
    return found


def _box(index: int, step: Step) -> Box:
    """Return a step as a box, high for many columns and wide for many channels."""
    columns, channels = step.shape if len(step.shape) == 2 else (1, step.shape[0])
    return Box(
        x=COLUMN_PX * (index + 0.5),
        width=8 + 6 * log2(channels + 1),
        height=10 + 12 * log2(columns + 1),
        kind=step.kind,
        title=step.detail.replace("kernel ", "").replace(", stride ", " / "),
        shape=" x ".join(str(n) for n in step.shape),
    )
