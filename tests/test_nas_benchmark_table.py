"""The benchmark's table: figures from ranks, what they say, and how what is not there is shown."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from datasets import SUPERCLASSES
from datasets.bootstrap import Estimate
from nas.__main__ import app
from nas.benchmark import sources
from nas.benchmark.cells import Cell, CellFiles
from nas.benchmark.formats import percent, with_interval
from nas.benchmark.headline import findings, headline, not_beaten
from nas.benchmark.measures import measure_rows
from nas.benchmark.results import BASELINES_ABOUT, PUBLISHED, Results
from nas.benchmark.rows import MEAN
from nas.benchmark.sections import sections
from nas.benchmark.study import BASELINES, HOLD_OUTS, ROWS, Keys, Slot
from nas.benchmark.table import read_results, write_results
from tests.toy_benchmark import DETAILS, toy_cell, toy_records


@pytest.fixture(scope="module")
def measured():
    """Return rows of two seeds of a family and of the baselines, and the scores behind them."""
    records, rng = toy_records(), np.random.default_rng(0)
    n, cells, drawn = len(records.record_ids), [], {}
    for hold_out in HOLD_OUTS:
        unseen = records.labels[:, SUPERCLASSES.index(hold_out)]
        for row, seed in (("deep_svdd", 0), ("deep_svdd", 1), (BASELINES, 0)):
            scores = 20 + 10 * rng.standard_normal(n) + 15 * unseen
            slot = Slot(row, hold_out, "I", seed)
            known = np.flatnonzero(~unseen & records.clean)[:20]
            cells.append(toy_cell(slot, scores, [scores[known] + 30], tuple(known.tolist())))
            drawn[slot] = scores
    return cells, drawn, measure_rows(cells, records)


def test_figures_are_scikit_learns_averaged_over_seeds_and_classes(measured):
    _, drawn, rows = measured
    family, records = rows[0], toy_records()
    expected = {}
    for hold_out in HOLD_OUTS:
        unseen = records.labels[:, SUPERCLASSES.index(hold_out)]
        areas = [
            roc_auc_score(unseen, drawn[Slot("deep_svdd", hold_out, "I", seed)]) for seed in (0, 1)
        ]
        expected[hold_out] = np.mean(areas)
    expected[MEAN] = np.mean([*expected.values()])
    found = {name: e.value for name, e in family.auroc["multi_label"]["all"].items()}
    assert found == pytest.approx(expected)
    mean = family.auroc["multi_label"]["all"][MEAN]
    assert mean.low < mean.value < mean.high
    one = family.auroc["multi_label"]["all"]["HYP"]
    assert mean.high - mean.low < one.high - one.low
    assert family.n_seeds == dict.fromkeys(HOLD_OUTS, 2)
    assert family.auroc_lost[MEAN].value == 0.0


def test_rejects_are_counted_at_the_threshold(measured):
    _, drawn, rows = measured
    records = toy_records()
    unseen = records.labels[:, SUPERCLASSES.index("HYP")]
    # Calibrated on 0, 1, ... 39, the threshold is the 39th smallest: 38.
    shares = [(drawn[Slot("deep_svdd", "HYP", "I", s)] > 38) for s in (0, 1)]
    assert rows[0].true_rejects["multi_label"]["HYP"].value == pytest.approx(
        np.mean([share[unseen].mean() for share in shares])
    )
    norm = records.labels[:, SUPERCLASSES.index("NORM")]
    known = {
        "all": ~unseen,
        "norm": norm & (records.labels.sum(axis=1) == 1),
        "abnormal": ~unseen & ~norm,
    }
    for against, of in known.items():
        rate = rows[0].false_rejects[against]["HYP"]
        assert rate.value == pytest.approx(
            np.mean([share[of & records.clean].mean() for share in shares])
        )
        assert rate.n == (of & records.clean).sum()
    assert rows[0].false_rejects_noisy["HYP"].n == (~unseen & ~records.clean).sum()


def test_noise_and_groups_have_their_figures(measured):
    family = measured[2][0]
    (noise,) = family.noise
    assert (noise.kind, noise.snr_db) == ("muscle", 0.0)
    assert noise.auroc.value > 0.9
    assert noise.rejected.n == family.noise_free_rejected.n == 20
    assert noise.rejected.value > family.noise_free_rejected.value
    women = family.groups["female"].auroc["HYP"]
    assert women.n == (toy_records().sexes == "female").sum()


def test_age_stands_beside_the_rows_and_leaves_out_whose_age_is_unknown(measured):
    age = measured[2][-1]
    assert (age.name, age.leads, age.is_family) == ("age", "I", False)
    assert age.auroc["multi_label"]["all"]["HYP"].n == np.isfinite(toy_records().ages).sum()


def test_a_margin_is_a_paired_difference_on_the_same_records(measured):
    _, drawn, (family, *others) = measured
    records = toy_records()
    amplitude = next(row for row in others if row.name == "amplitude")
    margin = family.margins["amplitude"]
    for column in (*HOLD_OUTS, MEAN):
        less = [row.auroc["multi_label"]["all"][column].value for row in (family, amplitude)]
        assert margin[column].value == pytest.approx(less[0] - less[1])
    assert margin[MEAN].low < margin[MEAN].value < margin[MEAN].high
    aged = np.isfinite(records.ages)
    assert not aged.all()
    unseen = records.labels[:, SUPERCLASSES.index("MI")][aged]
    ours = [roc_auc_score(unseen, drawn[Slot("deep_svdd", "MI", "I", s)][aged]) for s in (0, 1)]
    by_age = roc_auc_score(unseen, records.ages[aged])
    assert family.margins["age"]["MI"].value == pytest.approx(np.mean(ours) - by_age)
    assert amplitude.margins == {}


def test_a_filter_that_is_the_baseline_is_level_with_it(measured):
    baselines = [cell for cell in measured[0] if cell.slot.row == BASELINES]
    twins = [
        replace(
            cell,
            slot=replace(cell.slot, row="flow"),
            scores=dict.fromkeys(("int8", "float"), cell.scores["pca"]),
        )
        for cell in baselines
    ]
    rows = measure_rows([*twins, *baselines], toy_records())
    margin = rows[0].margins["pca"][MEAN]
    assert (rows[0].name, margin.value, margin.low) == ("flow", 0.0, None)
    assert "pca" in not_beaten(rows[0])


def test_seeds_stand_beside_their_mean(measured):
    family, drawn = measured[2][0], measured[1]
    unseen = toy_records().labels[:, SUPERCLASSES.index("CD")]
    for seed in (0, 1):
        value = roc_auc_score(unseen, drawn[Slot("deep_svdd", "CD", "I", seed)])
        assert family.auroc_by_seed[str(seed)]["CD"] == pytest.approx(value)
    means = [by_class[MEAN] for by_class in family.auroc_by_seed.values()]
    assert family.mean.value == pytest.approx(np.mean(means))


def margins_of(row, **ends):
    """Return a row whose mean exceeds each baseline's by an interval, (-1, 1) if not given."""
    intervals = {name: ends.get(name, (-1.0, 1.0)) for name in BASELINES_ABOUT}
    estimates = {name: Estimate(0.0, *ends, 9, 9) for name, ends in intervals.items()}
    return replace(row, margins={name: {MEAN: e} for name, e in estimates.items()})


def test_the_baselines_that_a_filter_does_not_beat_are_named(measured):
    family = measured[2][0]
    above = dict.fromkeys(BASELINES_ABOUT, (0.01, 0.2))
    assert not_beaten(margins_of(family, **above)) == "none"
    beaten_by = {"pca": (-0.2, -0.01), "age": (-0.1, 0.1)}
    assert not_beaten(margins_of(family, **above | beaten_by)) == "*pca*, age"
    assert not_beaten(replace(family, margins={"age": family.margins["age"]})) == "-"
    assert not_beaten(None) == "-"


def test_cells_of_other_conditions_of_noise_take_theirs_out_of_the_mean(measured):
    cells = measured[0]
    silent = replace(cells[0], noise_kinds=(), noise_snr_db=(), noise_of=())
    row = measure_rows([silent, *cells[1:]], toy_records())[0]
    assert (row.noise, row.noise_free_rejected) == ((), None)


def results_of(cells, state="done", also=()):
    states = {cell.slot: state for cell in cells} | dict(also)
    by_slot = {cell.slot: cell for cell in cells}
    records = toy_records()
    return Results(measure_rows(cells, records), records, states, by_slot, "abc")


def test_what_is_stale_or_missing_is_seen_where_the_figure_stands(measured):
    cells = measured[0]
    missing = Slot("vae", "HYP", "I", 0)
    stale = results_of(cells, "stale", {missing: "missing"})
    first = headline(stale)
    names = [row[0] for row in first.rows]
    assert names[:2] == ["deep_svdd (2 seeds, *stale*)", "vae"]
    assert "age" in names
    assert first.rows[1][1:] == ("-",) * (len(first.columns) - 1)
    assert f"{len(cells)} stale" in first.points[-1]
    last = sections(stale)[-1]
    assert ("vae", "I", "0", "missing", "", "HYP") in last.rows
    assert len([row for row in last.rows if row[3] == "stale"]) == 3
    assert next(row[0] for row in headline(results_of(cells)).rows) == "deep_svdd (2 seeds)"


def test_sentences_are_made_from_the_figures_and_only_where_they_are_whole(measured):
    cells = measured[0]
    results = results_of(cells)
    family, said = results.families_of("I")[0], " ".join(findings(results).points)
    assert f"deep_svdd's, {with_interval(family.mean)}" in said
    assert f"and of the clean ID {percent(family.false_rejects['all'][MEAN])}" in said
    assert "Lead I: filters that beat every baseline: " in said
    without = [cell for cell in cells if cell.slot.row != BASELINES]
    assert findings(results_of(without)).points == ()
    assert "Nothing yet" in findings(results_of(without)).text


def test_a_row_without_all_classes_has_no_mean():
    records = toy_records()
    cell = toy_cell(Slot("deep_svdd", "HYP", "I", 0), np.arange(len(records.record_ids)))
    rows = measure_rows([cell], records)
    assert list(rows[0].auroc["multi_label"]["all"]) == ["HYP"]


def test_the_table_says_what_the_json_holds_and_the_page_loads_nothing(measured, tmp_path):
    files = CellFiles(tmp_path / "results")
    for cell in measured[0]:
        files.write(cell)
    files.write_records(toy_records())
    states = {cell.slot: "done" for cell in measured[0]}
    failed = Slot("deep_svdd", "HYP", "12", 0)
    files.write(Cell(failed, Keys("t", "c"), error="ValueError: <it> | broke"))
    states |= {failed: "failed", Slot("deep_svdd", "CD", "12", 0): "missing"}
    results = read_results(files, states)
    document = tmp_path / "results.md"
    write_results(results, files.folder, document)
    first = [path.read_bytes() for path in (document, *sorted(files.folder.glob("results.*")))]
    write_results(read_results(files, states), files.folder, document)
    again = [path.read_bytes() for path in (document, *sorted(files.folder.glob("results.*")))]
    assert first == again
    values = json.loads((files.folder / "results.json").read_text())
    mean = values["rows"][0]["auroc"]["multi_label"]["all"]["mean"]
    text = document.read_text()
    shown = f"{mean['value']:.3f} ({mean['low']:.2f}-{mean['high']:.2f})".replace("0.", ".")
    for cell_text in ("| deep_svdd (2 seeds) |", shown, "| amplitude |", "| age |"):
        assert cell_text in text
    for figures in PUBLISHED.values():
        assert all(f"{value:.3f}"[1:] in text for value in figures.values())
    assert "ValueError: &lt;it> \\| broke" in text
    page = (files.folder / "results.html").read_text()
    assert shown in page
    assert "&lt;it&gt; | broke" in page
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=|@import|url\(", markup)
    assert {cell["state"] for cell in values["cells"]} == {"done", "failed", "missing"}
    documented = (sources.ROOT / "docs" / "benchmark.md").read_text()
    for name in (*values, *values["rows"][0], *values["cells"][0], *mean):
        assert f"`{name}`" in documented, name


def test_the_table_alone_needs_no_recordings(measured, tmp_path):
    def invoke(*options):
        command = ["benchmark", "--dataset", "ptbxl", "--table", "--out", str(tmp_path / "r")]
        return CliRunner().invoke(app, [*command, "--leads", "I", *options])

    nothing = invoke()
    assert nothing.exit_code == 2
    assert "holds no cell with scores" in nothing.output
    assert not (tmp_path / "r").exists()
    files = CellFiles(tmp_path / "r")
    for cell in measured[0]:
        files.write(cell)
    files.write_records(toy_records())
    made = invoke()
    assert made.exit_code == 0, made.output
    n_missing = (len(ROWS) - 2) * len(HOLD_OUTS)
    assert f"{n_missing} missing, {len(measured[0])} unchecked" in made.output
    assert "deep_svdd (2 seeds)" in (tmp_path / "r.md").read_text()
    both = invoke("--list")
    assert both.exit_code == 2
    assert "give one of them" in both.output
    other = replace(measured[0][0], details={**DETAILS, "rehearsal": False})
    files.write(other)
    mixed = invoke()
    assert mixed.exit_code == 2
    assert "must hold cells of one table" in mixed.output
