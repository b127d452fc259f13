"""Every figure of a replay against cases small enough to work out by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from datasets import SUPERCLASSES
from datasets.bootstrap import PatientBootstrap, ranking_metrics
from datasets.groups import group_windows
from export.boards import load_board
from firmware_sim.engines import InstructionCounts
from firmware_sim.measures import measure
from firmware_sim.replay import Replay
from tests.bundles import bare_bundle

THRESHOLD = 100
BOARD = load_board("qemu-m4")
NORM, MI, STTC, CD = range(4)  # the classifier's classes where HYP is held out


def make_replay(rows, counts=None, counts_alone=None):
    """Make a replay of rows (superclasses, score, label alone[, subject[, clean[, age]]])."""
    full = [(*row, *(f"p{i}", True, 50.0)[len(row) - 3 :]) for i, row in enumerate(rows)]
    carried, scores, labels, subjects, clean, ages = zip(*full, strict=True)
    scores, labels = np.array(scores, np.int64), np.array(labels, np.int64)
    accepted = scores <= THRESHOLD
    return Replay(
        record_ids=np.array([f"r{i}" for i in range(len(rows))]),
        subject_ids=np.array(subjects),
        starts=np.zeros(len(rows), np.int64),
        scores=scores,
        accepted=accepted,
        labels=np.where(accepted, labels, -1),
        labels_alone=labels,
        truth=np.array([[c in names.split() for c in SUPERCLASSES] for names in carried]),
        clean=np.array(clean),
        quality=np.zeros(len(rows), np.int8),
        ages=np.array(ages, np.float64),
        instructions=counts,
        instructions_alone=counts_alone,
    )


# superclasses, score, label alone, subject, clean, age
ROWS = [
    ("NORM", 10, NORM, "a", True, 30),  # accepted, right
    ("NORM", 20, MI, "b", True, 40),  # accepted, wrong
    ("MI", 30, MI, "c", True, 50),  # accepted, right
    ("MI STTC", 120, STTC, "d", True, 60),  # false reject of a right one
    ("STTC", 40, NORM, "e", False, np.nan),  # noisy, accepted, wrong
    ("CD", 130, CD, "e", False, 70),  # noisy, rejected
    ("HYP", 150, NORM, "f", True, 80),  # unseen, rejected
    ("HYP CD", 50, CD, "g", True, 90),  # unseen, missed; its CD label counts as wrong
    ("", 500, NORM, "h", True, 20),  # left out
]


@pytest.fixture(scope="module")
def report():
    return measure(make_replay(ROWS), bare_bundle(THRESHOLD), BOARD)


def test_windows_are_sorted_into_groups():
    groups = group_windows(make_replay(ROWS).truth, "HYP")
    assert np.flatnonzero(groups.unseen).tolist() == [6, 7]
    assert np.flatnonzero(groups.in_distribution).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(groups.norm).tolist() == [0, 1]
    assert np.flatnonzero(groups.abnormal).tolist() == [2, 3, 4, 5]
    assert groups.row_names == ("NORM", "MI", "STTC", "CD", "several", "unseen (HYP)")
    assert groups.rows.tolist() == [0, 0, 1, 4, 2, 3, 5, 5, -1]


def test_the_mix_is_counted(report):
    mix = report.mix
    assert (mix.n_records, mix.n_patients, mix.n_windows) == (9, 8, 9)
    assert (mix.n_in_distribution, mix.n_in_distribution_noisy, mix.n_unseen) == (6, 2, 2)
    assert mix.n_without_superclass == 1


def test_coverage_leaves_out_records_without_superclass(report):
    assert (report.coverage.value, report.coverage.n, report.coverage.n_patients) == (5 / 8, 8, 7)
    by_truth = {name: estimate.value for name, estimate in report.coverage_by_truth.items()}
    assert by_truth == {
        "NORM": 1.0,
        "MI": 1.0,
        "STTC": 1.0,
        "CD": 0.0,
        "several": 0.0,
        "unseen (HYP)": 0.5,
    }


def test_rejects_at_the_threshold(report):
    multi, single = report.rejects["multi_label"], report.rejects["single_label"]
    assert (multi.true_rejects_unseen.value, multi.true_rejects_unseen.n) == (0.5, 2)
    assert (multi.false_rejects_clean.value, multi.false_rejects_clean.n) == (0.25, 4)
    assert (multi.false_rejects_noisy.value, multi.false_rejects_noisy.n) == (0.5, 2)
    assert multi.false_rejects_noisy.n_patients == 1
    assert (single.true_rejects_unseen.value, single.true_rejects_unseen.n) == (1.0, 1)
    assert (single.false_rejects_clean.value, single.false_rejects_clean.n) == (0.0, 3)


def test_accuracy_counts_every_accepted_unseen_window_as_wrong(report):
    rates = report.classifier
    assert rates.accuracy_without_filter.value == 4 / 8  # r0, r2, r3, r5
    assert rates.accuracy_with_filter.value == 2 / 5  # r0, r2 of r0, r1, r2, r4, r7
    assert rates.gain_points.value == pytest.approx(-10)
    assert rates.in_distribution_without_filter.value == 4 / 6
    assert rates.in_distribution_with_filter.value == 2 / 4
    assert rates.in_distribution_gain_points.value == pytest.approx(100 * (2 / 4 - 4 / 6))


def test_confusion_holds_every_labelled_window_once(report):
    confusion = report.confusion
    assert confusion.columns == ("NORM", "MI", "STTC", "CD", "rejected")
    assert confusion.before == (
        (1, 1, 0, 0),
        (0, 1, 0, 0),
        (1, 0, 0, 0),
        (0, 0, 0, 1),
        (0, 0, 1, 0),
        (1, 0, 0, 1),
    )
    assert confusion.after == (
        (1, 1, 0, 0, 0),
        (0, 1, 0, 0, 0),
        (1, 0, 0, 0, 0),
        (0, 0, 0, 0, 1),
        (0, 0, 0, 0, 1),
        (0, 0, 0, 1, 1),
    )


def test_ranking_against_each_group(report):
    by_contrast = {(s.variant, s.against): s for s in report.separations}
    # 150 is above all six ID scores, 50 above 10, 20, 30, 40
    assert by_contrast["multi_label", "all"].score.auroc.value == pytest.approx(10 / 12)
    assert by_contrast["multi_label", "norm"].score.auroc.value == 1.0
    assert by_contrast["multi_label", "abnormal"].score.auroc.value == pytest.approx(6 / 8)
    assert by_contrast["single_label", "all"].score.n_positive == 1
    # 95 % of two unseen windows is both of them: threshold 50, which rejects 120 and 130
    assert by_contrast["multi_label", "all"].score.fpr_at_95tpr.value == pytest.approx(2 / 6)


def test_age_leaves_out_unknown_ages(report):
    age = report.separations[0].age
    assert (age.n_positive, age.n_negative, age.auroc.value) == (2, 5, 1.0)


def test_json_has_no_nan_and_every_rate_its_n(report):
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["coverage"]["n_patients"] == 7


@pytest.mark.parametrize(
    ("scores", "auroc"), [((200, 200), 1.0), ((1, 1), 0.0)], ids=["perfect", "backwards"]
)
def test_a_filter_that_always_or_never_knows(scores, auroc):
    rows = [("NORM", 10 * i + 10, NORM) for i in range(5)] + [("HYP", s, NORM) for s in scores]
    report = measure(make_replay(rows), bare_bundle(THRESHOLD), BOARD)
    assert report.separations[0].score.auroc.value == auroc
    assert report.rejects["multi_label"].true_rejects_unseen.value == auroc
    assert report.rejects["multi_label"].false_rejects_clean.value == 0.0


def test_a_useless_filter_is_at_chance():
    rows = [("NORM", 50, NORM)] * 6 + [("HYP", 50, NORM)] * 3
    report = measure(make_replay(rows), bare_bundle(THRESHOLD), BOARD)
    score = report.separations[0].score
    assert (score.auroc.value, score.auroc.low, score.auroc.high) == (0.5, None, None)
    assert score.auprc.value == pytest.approx(score.base_rate) == pytest.approx(1 / 3)
    assert report.classifier.gain_points.value == 0.0


@pytest.mark.parametrize("hold_out", [None, "HYP"])
def test_without_unseen_windows_their_rates_are_null_and_the_report_says_why(hold_out):
    report = measure(make_replay(ROWS[:6]), bare_bundle(THRESHOLD, hold_out), BOARD)
    assert report.unseen_missing is not None
    assert report.rejects["multi_label"].true_rejects_unseen.value is None
    assert report.rejects["multi_label"].true_rejects_unseen.n == 0
    assert all(s.score.auroc.value is None for s in report.separations)
    assert report.coverage.value == 4 / 6
    json.dumps(report.to_json(), allow_nan=False)


def test_a_filter_that_rejects_everything_has_no_accuracy():
    report = measure(
        make_replay([("NORM", 999, NORM), ("HYP", 999, NORM)]), bare_bundle(THRESHOLD), BOARD
    )
    assert report.coverage.value == 0.0
    assert report.classifier.accuracy_with_filter.value is None
    assert report.classifier.gain_points.value is None
    assert report.classifier.accuracy_without_filter.value == 0.5


# Ten records of four patients without a diagnosis: score, label, patient, grade (0 = none).
UNDIAGNOSED = [
    (10, NORM, "a", 1),
    (20, NORM, "a", 1),
    (130, MI, "a", 2),
    (40, MI, "b", 1),
    (150, MI, "b", 3),
    (160, CD, "c", 3),
    (70, NORM, "c", 0),
    (180, NORM, "d", 2),
    (90, CD, "d", 3),
    (200, CD, "d", 0),
]


def undiagnosed_replay():
    replay = make_replay([("", score, label, p) for score, label, p, _ in UNDIAGNOSED])
    return replace(replay, quality=np.array([row[-1] for row in UNDIAGNOSED], np.int8))


def test_of_undiagnosed_records_the_decisions_are_measured():
    report = measure(undiagnosed_replay(), bare_bundle(THRESHOLD), BOARD)
    assert not report.mix.diagnosed
    assert (report.mix.n_windows, report.mix.n_patients, report.mix.n_graded) == (10, 4, 8)
    decisions = report.decisions
    assert (decisions.rejected.value, decisions.rejected.n) == (0.5, 10)
    assert decisions.rejected.low < 0.5 < decisions.rejected.high
    by_grade = {g: (e.value, e.n, e.n_patients) for g, e in decisions.rejected_by_grade.items()}
    assert by_grade == {"1": (0.0, 3, 2), "2": (1.0, 2, 2), "3": (2 / 3, 3, 3)}
    without = {name: e.value for name, e in decisions.labels_without_filter.items()}
    assert without == {"NORM": 0.4, "MI": 0.3, "STTC": 0.0, "CD": 0.3}
    accepted = {name: (e.value, e.n) for name, e in decisions.labels_with_filter.items()}
    assert accepted == {"NORM": (0.6, 5), "MI": (0.2, 5), "STTC": (0.0, 5), "CD": (0.2, 5)}
    assert list(decisions.rejected_by_record) == [f"r{i}" for i in range(10)]
    assert decisions.rejected_by_record["r2"].value == 1.0


def test_the_interval_of_rejected_windows_is_over_patients():
    rows = [("", 200 if p % 2 else 1, NORM, f"p{p}") for p in range(10) for _ in range(50)]
    rejected = measure(make_replay(rows), bare_bundle(THRESHOLD), BOARD).decisions.rejected
    assert (rejected.value, rejected.n, rejected.n_patients) == (0.5, 500, 10)
    assert 0.5 < rejected.high - rejected.low < 0.7


def test_without_grades_there_are_none(report):
    assert report.decisions.rejected_by_grade == {}
    assert report.mix.n_graded == 0


def test_only_records_without_superclass_leave_no_accuracy_to_measure():
    report = measure(make_replay([("", 10, NORM)]), bare_bundle(THRESHOLD), BOARD)
    assert (report.coverage.value, report.coverage.n) == (None, 0)
    assert (report.decisions.rejected.value, report.decisions.rejected.low) == (0.0, 0.0)
    assert sum(map(sum, report.confusion.before)) == 0
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("stream_step", "gate_per_decision"), [(0, 110), (20, 480 / 4)], ids=["windows", "streaming"]
)
def test_instructions_a_decision_and_a_second(stream_step, gate_per_decision):
    gate, classifier = (100.0, 100.0, 160.0, 120.0), (50.0, 0.0, 70.0, 0.0)
    counts = InstructionCounts(gate, classifier, 800.0, 400, 4.0)
    alone = InstructionCounts((0.0,) * 4, (50.0, 60.0, 70.0, 60.0), 800.0, 400, 4.0)
    rows = [("NORM", score, NORM) for score in (1, 200, 1, 200)]
    bundle = bare_bundle(THRESHOLD, stream_step=stream_step)
    instructions = measure(make_replay(rows, counts, alone), bundle, BOARD).instructions
    assert (instructions.gate_per_decision, instructions.gate_max) == (gate_per_decision, 160)
    assert (instructions.classifier_median, instructions.classifier_max) == (60.0, 70.0)
    assert (instructions.chain_per_sample, instructions.chain_per_window) == (2.0, 2000.0)
    assert instructions.per_ecg_second == gate_per_decision + 120 / 4 + 2 * 100
    assert instructions.per_ecg_second_without_filter == 60 + 2 * 100
    assert instructions.gate_ms_estimate == pytest.approx(gate_per_decision / BOARD.clock_hz * 1e3)


def test_sizes_come_from_the_image():
    class Image:
        flash_bytes, ram_bytes = 1000, 500

    memory = measure(make_replay(ROWS), bare_bundle(THRESHOLD), BOARD, Image()).memory
    assert (memory.flash_bytes, memory.ram_bytes, memory.arena_bytes) == (1000, 500, 4096)


def test_resampled_ranking_equals_scikit_learn_with_ties_and_weights():
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = 60
        scores = rng.integers(0, 15, n).astype(np.float64)
        y = rng.random(n) < 0.4
        weights = rng.integers(0, 4, (5, n)).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        positive, negative = order[y[order]], order[~y[order]]
        found = ranking_metrics(
            scores[positive], scores[negative], weights[:, positive], weights[:, negative]
        )
        for row, metrics in zip(weights, found, strict=True):
            fpr, tpr, _ = roc_curve(y, scores, sample_weight=row, drop_intermediate=False)
            expected = [
                roc_auc_score(y, scores, sample_weight=row),
                average_precision_score(y, scores, sample_weight=row),
                fpr[np.argmax(tpr >= 0.95)],
            ]
            assert metrics == pytest.approx(expected, abs=1e-6)


def test_a_draw_without_a_class_is_nan_and_not_a_wrong_figure():
    one, none = np.ones((2, 1), np.float32), np.array([[1], [0]], np.float32)
    metrics = ranking_metrics(np.array([2.0]), np.array([1.0]), one, none)
    assert metrics[0].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(metrics[1]).all()


def test_intervals_contain_their_estimates_and_repeat_with_the_seed():
    rng = np.random.default_rng(1)
    rows = [
        (name, int(rng.normal(60 + 30 * (name == "HYP"), 25)), int(rng.integers(4)), f"p{i // 2}")
        for i, name in enumerate(rng.choice(["NORM", "MI", "CD", "HYP"], 400))
    ]
    first, second = (
        measure(make_replay(rows), bare_bundle(THRESHOLD), BOARD, seed=3) for _ in range(2)
    )
    assert first == second
    estimates = [
        first.coverage,
        first.classifier.gain_points,
        first.rejects["multi_label"].true_rejects_unseen,
        *(getattr(s.score, m) for s in first.separations for m in ("auroc", "auprc")),
    ]
    for estimate in estimates:
        assert estimate.low < estimate.value < estimate.high


def test_patients_are_resampled_and_not_windows():
    # 10 patients of 50 windows that agree are 10 facts, not 500: sd of a share of a half is 0.16.
    hit = np.repeat(np.arange(10) % 2 == 0, 50)
    together = PatientBootstrap(np.repeat(np.arange(10).astype(str), 50))
    apart = PatientBootstrap(np.arange(500).astype(str))
    wide, narrow = (b.rate(hit, np.ones(500, bool)) for b in (together, apart))
    assert (wide.n_patients, narrow.n_patients) == (10, 500)
    assert 0.5 < wide.high - wide.low < 0.7
    assert 0.07 < narrow.high - narrow.low < 0.1


def test_one_patient_gives_no_interval():
    estimate = PatientBootstrap(np.array(["a"] * 10)).rate(np.arange(10) < 3, np.ones(10, bool))
    assert (estimate.value, estimate.low, estimate.high) == (0.3, None, None)


@pytest.mark.parametrize("all_hit", [True, False])
def test_windows_that_all_agree_still_leave_doubt(all_hit):
    bootstrap = PatientBootstrap(np.arange(20).astype(str))
    estimate = bootstrap.rate(np.full(20, all_hit), np.ones(20, bool))
    bound = 0.025 ** (1 / 20)  # Clopper-Pearson where all of n trials agree
    assert estimate.value == all_hit
    assert estimate.low == pytest.approx(bound if all_hit else 0.0)
    assert estimate.high == pytest.approx(1.0 if all_hit else 1 - bound)
