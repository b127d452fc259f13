"""A replay's report: `report.json` for machines, a self-contained `report.html` for people."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from datasets.bootstrap import Estimate
from datasets.embedding import bokeh_script, embeddable
from datasets.groups import Groups, group_windows
from datasets.reader import RecordReader
from export.bundle import Bundle
from export.chain_windows import samples_shown
from export.provenance import commit

from .measures import DEFINITIONS, GRADES, SimulationReport
from .plots import roc_plot, score_plot
from .replay import Replay
from .strips import SPAN_MV_MAX, Strip, choose_strips, decided, draw_strip

FORMAT = 1
SPACE = "\u00a0"  # does not break
LEADS_DRAWN_MAX = 3
RECORDS_SHOWN_MAX = 20
TEMPLATE = "report.html.jinja"
TOOLS = ("numpy", "scipy", "scikit-learn", "bokeh")
VARIANT_TITLES = {"multi_label": "multi-label", "single_label": "single-label"}
AGAINST_TITLES = {"all": "all ID", "norm": "NORM only", "abnormal": "abnormal ID"}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a replay came from; printed in the report as it is.

    Parameters
    ----------
    dataset, source : name of the data set; its citation and licence.
    split : records replayed, None = all of them; leads : of them, as the recordings name them.
    engine : what ran the firmware.
    command : the command line that repeats it.
    n_listed, n_absent : records the data set lists, and those of them not on this disk.
    n_skipped : records left out of the replay, as the notes say.
    notes : whatever else a reader must know, such as that the threshold was fitted on some of
        these patients.
    """

    dataset: str
    source: str
    split: str | None
    leads: tuple[str, ...]
    engine: str
    command: str
    n_listed: int
    n_absent: int
    n_skipped: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Headline:
    """One card at the top of the page.

    Parameters
    ----------
    key : dotted path of the figure in report.json.
    title : what it is; text : the figure; beside : lines on its interval, its n.
    """

    key: str
    title: str
    text: str
    beside: tuple[str, ...]


def write_report(
    report: SimulationReport,
    replay: Replay,
    bundle: Bundle,
    provenance: Provenance,
    open_record: Callable[[str], RecordReader],
    out: Path,
) -> Path:
    """Write `out`/report.json and `out`/report.html and return the latter.

    Equal arguments and versions give equal bytes: neither file holds a date or a random name.

    Parameters
    ----------
    report : `measure` of `replay` and `bundle`; provenance : where they came from.
    open_record : opens the record of an id with the leads that were replayed, for the strips.
    out : folder, made if need be.
    """
    groups = group_windows(replay.truth, bundle.data.hold_out)
    strips = choose_strips(replay, bundle, groups)
    out.mkdir(parents=True, exist_ok=True)
    values = _json(report, replay, bundle, provenance, strips)
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    page = out / "report.html"
    page.write_text(
        _html(report, replay, bundle, groups, provenance, strips, open_record), encoding="utf-8"
    )
    return page


def headlines(report: SimulationReport) -> list[Headline]:
    """Return the cards: the figures a reader should not have to look for.

    Which they are depends on what is known of the recordings. What could not be measured has none;
    the page says why further down.
    """
    rates = _diagnosis_rates(report) if report.mix.diagnosed else _decision_rates(report)
    cards = [
        Headline(key, title, show(estimate.value), (interval(estimate, show), counts(estimate)))
        for key, title, estimate, show in rates
        if estimate.value is not None
    ]
    first = [] if report.mix.diagnosed else [_amount(report)]
    return first + cards + _cost_headlines(report)


Rate = tuple[str, str, Estimate, Callable[[float | None], str]]


def _diagnosis_rates(report: SimulationReport) -> list[Rate]:
    rejects, classifier = report.rejects["multi_label"], report.classifier
    return [
        ("coverage", "Coverage: windows diagnosed", report.coverage, percent),
        (
            "classifier.accuracy_without_filter",
            "Accuracy without the filter",
            classifier.accuracy_without_filter,
            percent,
        ),
        (
            "classifier.accuracy_with_filter",
            "Accuracy of what the filter accepts",
            classifier.accuracy_with_filter,
            percent,
        ),
        ("classifier.gain_points", "Gain in accuracy", classifier.gain_points, points),
        (
            "rejects.multi_label.true_rejects_unseen",
            "True rejects: unseen windows rejected",
            rejects.true_rejects_unseen,
            percent,
        ),
        (
            "rejects.multi_label.false_rejects_clean",
            "False rejects: clean ID windows rejected",
            rejects.false_rejects_clean,
            percent,
        ),
        (
            "separations.0.score.auroc",
            "AUROC: unseen against all ID",
            report.separations[0].score.auroc,
            decimal,
        ),
    ]


def _decision_rates(report: SimulationReport) -> list[Rate]:
    decisions = report.decisions
    rates: list[Rate] = [
        ("decisions.rejected", "Rejected by the filter", decisions.rejected, percent)
    ]
    rates += [
        (
            f"decisions.rejected_by_grade.{grade}",
            f"Rejected of grade {grade}: {GRADES[int(grade)]}",
            estimate,
            percent,
        )
        for grade, estimate in decisions.rejected_by_grade.items()
    ]
    labels = decisions.labels_with_filter
    common = max(labels, key=lambda name: labels[name].value or 0.0)
    key, title = f"decisions.labels_with_filter.{common}", f"Most frequent label: {common}"
    return [*rates, (key, title, labels[common], percent)]


def _amount(report: SimulationReport) -> Headline:
    mix = report.mix
    beside = (many(mix.n_records, "record"), many(mix.n_patients, "patient"))
    return Headline("mix.n_windows", "Windows replayed", whole(mix.n_windows), beside)


def _cost_headlines(report: SimulationReport) -> list[Headline]:
    cards = []
    if (counted := report.instructions) is not None:
        classifier = counted.classifier_median
        cards.append(
            Headline(
                "instructions.gate_per_decision",
                "Instructions for the filter, a decision",
                whole(counted.gate_per_decision),
                ("the classifier never ran",)
                if classifier is None
                else (f"{whole(classifier)} for the classifier,", "where it runs"),
            )
        )
    memory = report.memory
    if memory.flash_bytes is not None and memory.ram_bytes is not None:
        cards += [
            Headline(
                "memory.flash_bytes",
                "Flash: code and both networks",
                kibibytes(memory.flash_bytes),
                (f"{memory.flash_bytes:,} bytes",),
            ),
            Headline(
                "memory.ram_bytes",
                "RAM: arena, data and stack",
                kibibytes(memory.ram_bytes),
                (f"{memory.ram_bytes:,} bytes,", f"arena alone {memory.arena_bytes:,}"),
            ),
        ]
    return cards


def percent(value: float | None) -> str:
    """Return a share as percent, "n/a" for None; figure and unit stay on one line.

    Examples
    --------
    >>> percent(0.0512).split(), percent(None)
    (['5.1', '%'], 'n/a')
    """
    return "n/a" if value is None else f"{100 * value:.1f}{SPACE}%"


def points(value: float | None) -> str:
    """Return percentage points with their sign."""
    return "n/a" if value is None else f"{value:+.1f}{SPACE}points".replace("-", "\u2212")


def decimal(value: float | None) -> str:
    """Return a figure between 0 and 1 to three places."""
    return "n/a" if value is None else f"{value:.3f}"


def whole(value: float | None) -> str:
    """Return a count with its thousands separated."""
    return "n/a" if value is None else f"{value:,.0f}"


def kibibytes(value: int) -> str:
    """Return bytes as KiB."""
    return f"{value / 1024:,.1f}{SPACE}KiB"


def many(n: int, what: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> many(1, "record"), many(2000, "record")
    ('1 record', '2,000 records')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def interval(estimate: Estimate, show: Callable[[float | None], str]) -> str:
    """Return the ends of the interval, the unit once, or why there is none."""
    if estimate.value is None:
        return "nothing to measure on"
    if estimate.low is None or estimate.high is None:
        return "no interval: one patient" if estimate.n_patients == 1 else "no interval"
    return f"{show(estimate.low).split(SPACE)[0]} to {show(estimate.high)}"


def counts(estimate: Estimate) -> str:
    """Return what an estimate rests on."""
    return f"n = {estimate.n:,} ({many(estimate.n_patients, 'patient')})"


def _json(
    report: SimulationReport,
    replay: Replay,
    bundle: Bundle,
    provenance: Provenance,
    strips: list[Strip],
) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "format": FORMAT,
        "provenance": asdict(provenance),
        "bundle": {
            "path": str(bundle.path),
            "commit": manifest.get("commit"),
            "files": manifest.get("files"),
            "versions": manifest.get("versions"),
            "seeds": {part: manifest[part].get("seed") for part in ("filter", "classifier")},
            "data": asdict(bundle.data),
        },
        "commit": commit(),
        "versions": {tool: version(tool) for tool in TOOLS},
        "definitions": DEFINITIONS,
        **report.to_json(),
        "strips": [
            {**asdict(strip), "record_id": str(replay.record_ids[strip.index])} for strip in strips
        ],
    }


def _html(
    report: SimulationReport,
    replay: Replay,
    bundle: Bundle,
    groups: Groups,
    provenance: Provenance,
    strips: list[Strip],
    open_record: Callable[[str], RecordReader],
) -> str:
    drawn = [_strip_view(replay, bundle, groups, strip, open_record) for strip in strips]
    items = [embeddable(score_plot(replay, groups, report.threshold), "scores")]
    if report.unseen_missing is None:
        items.insert(0, embeddable(roc_plot(replay, groups), "roc"))
    for number, (view, figures) in enumerate(drawn):
        targets = [f"strip-{number}-{lead}" for lead in range(len(figures))]
        view["targets"] = targets
        items += [embeddable(*pair) for pair in zip(figures, targets, strict=True)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for show in (percent, points, decimal, whole, interval, many):
        environment.filters[show.__name__] = environment.globals[show.__name__] = show
    return environment.get_template(TEMPLATE).render(
        report=report,
        bundle=bundle,
        provenance=provenance,
        headlines=headlines(report),
        confusions=_confusion_views(report),
        variant_titles=VARIANT_TITLES,
        against_titles=AGAINST_TITLES,
        definitions=DEFINITIONS,
        grades=GRADES,
        records_shown_max=RECORDS_SHOWN_MAX,
        strips=[view for view, _ in drawn],
        # Pasted into scripts: no text of ours may end one early.
        bokeh_script=bokeh_script().replace("</script", "<\\/script"),
        items=json.dumps(items, allow_nan=False).replace("<", "\\u003c"),
    )


def _strip_view(
    replay: Replay,
    bundle: Bundle,
    groups: Groups,
    strip: Strip,
    open_record: Callable[[str], RecordReader],
) -> tuple[dict[str, Any], list[Any]]:
    """Return what the caption of one strip says, and its figures."""
    reader = open_record(str(replay.record_ids[strip.index]))
    record = reader.record
    chain = bundle.chain.for_front_end(record.fs, record.adc_gain, record.baseline)
    starts = replay.starts[strip.index : strip.index + 1]
    first = int(samples_shown(chain, starts, bundle.data.window_len)[0][0])
    stop = min(first + round(bundle.data.window_s * record.fs), reader.n_samples)
    start_s, counts = first / record.fs, reader.read(first, stop)
    window_mv = replace(record, adc_counts=counts).signal_mv[:, :LEADS_DRAWN_MAX]
    decision = decided(replay, bundle, groups, strip.index)
    remarks = [f"record {record.record_id} from {start_s:g} s", record.sex or "sex unknown"]
    remarks.append("age unknown" if record.age is None else f"{record.age:g} years")
    if record.noise_flags:
        remarks.append(f"remarked: {', '.join(sorted(record.noise_flags))}")
    if len(record.leads) > LEADS_DRAWN_MAX:
        remarks.append(f"the first {LEADS_DRAWN_MAX} of {len(record.leads)} leads")
    if float(np.ptp(window_mv, axis=0).max()) > SPAN_MV_MAX:
        remarks.append(f"cut to {SPAN_MV_MAX:g} mV")
    view = {
        "title": strip.title,
        "rule": strip.rule,
        "accepted": decision.accepted,
        "text": decision.text,
        "remarks": remarks,
    }
    return view, draw_strip(window_mv, record.leads[:LEADS_DRAWN_MAX], record.fs, start_s, decision)


def _confusion_views(report: SimulationReport) -> list[dict[str, Any]]:
    """Return both tables with the tone and the strength of shade of every cell."""
    confusion = report.confusion
    views = []
    for title, table in (
        ("Without the filter", confusion.before),
        ("With the filter", confusion.after),
    ):
        columns = confusion.columns[: len(table[0])]
        rows = []
        for name, cells in zip(confusion.rows, table, strict=True):
            total = sum(cells)
            rows.append(
                {
                    "name": name,
                    "total": total,
                    "cells": [
                        {
                            "n": n,
                            "share": n / total if total else 0.0,
                            "tone": _tone(name, column),
                        }
                        for column, n in zip(columns, cells, strict=True)
                    ],
                }
            )
        views.append({"title": title, "columns": columns, "rows": rows})
    return views


def _tone(row: str, column: str) -> str:
    """Return what a cell means: "several" mixes right and wrong labels and stays neutral."""
    if row.startswith("unseen"):
        return "right" if column == "rejected" else "wrong"
    if column == "rejected":
        return "rejected"
    if row == "several":
        return "mixed"
    return "right" if row == column else "wrong"
