"""What a replay says of the filter and of the classifier behind it, each figure with its interval.

The definitions, in the words the report prints, are `DEFINITIONS`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets import SUPERCLASSES
from datasets.bootstrap import N_RESAMPLES, Estimate, PatientBootstrap, Ranking
from datasets.groups import AGAINST, VARIANTS, Groups, group_windows
from datasets.groups import DEFINITIONS as GROUP_DEFINITIONS
from datasets.records import BoolArray
from export.blob import read_header
from export.boards import Board
from export.bundle import Bundle
from export.device.image import FirmwareImage

from .engines import InstructionCounts
from .replay import Replay

GRADES = {1: "clean", 2: "noisy", 3: "unusable"}
"""What the annotators' grades of quality mean (BUT QDB)."""

DEFINITIONS = {
    **GROUP_DEFINITIONS,
    "True and false rejects": "True rejects: share of the unseen windows that the filter rejects "
    "at the bundle's threshold. False rejects: the same of ID windows, of clean ones (no noise "
    "remark by the data set's authors) and of noisy ones (with a remark).",
    "Rejected": "Share of all windows that the filter rejects at the bundle's threshold, whatever "
    "their records carry.",
    "Grade": "Annotators' grade of the signal: 1 all waves clear, 2 noisy but QRS complexes "
    "reliable, 3 unusable. A window has the worst grade in it, and none where not all of it has "
    "one.",
    "Labels": "What the classifier calls the windows it sees. Where no truth is known a label is "
    "right or wrong, nobody can tell which.",
    "Coverage": "Share of the windows that the filter accepts: the share that is diagnosed at all.",
    "Accuracy": "A diagnosis is right when the label is among its record's superclasses; every "
    "diagnosis of an unseen window counts as wrong. With the filter only accepted windows count, "
    "so read it with the coverage; it also depends on the mix of ID and unseen windows.",
    "Interval": "95 % percentile intervals over patients drawn with replacement, each with all of "
    "its windows. Where all windows agree: exact binomial intervals over patients.",
    "Age": "Patient age as a score is a baseline that has not seen the ECG; windows without an age "
    "are left out of it.",
    "Instructions": "Counted on the emulated core, exactly repeatable. Milliseconds and load are "
    "an estimate at the board's clock and assumed cycles an instruction; flash wait states and "
    "branches cost more.",
}
"""What every figure means, in plain words."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What was replayed, counted."""

    n_records: int
    n_patients: int
    n_windows: int
    n_in_distribution: int
    n_in_distribution_noisy: int
    n_unseen: int
    n_without_superclass: int
    n_graded: int

    @property
    def diagnosed(self) -> bool:
        """Whether any record carries a superclass, so that diagnoses can be right or wrong."""
        return self.n_windows > self.n_without_superclass


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided, which needs no truth.

    Parameters
    ----------
    rejected : of all windows; rejected_by_grade : "1" to "3", those grades there are.
    rejected_by_record : where no record carries a superclass; else empty, they would be too many.
    labels_without_filter, labels_with_filter : by class, its share of all windows and of those the
        filter accepts.
    """

    rejected: Estimate
    rejected_by_grade: dict[str, Estimate]
    rejected_by_record: dict[str, Estimate]
    labels_without_filter: dict[str, Estimate]
    labels_with_filter: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class RejectRates:
    """What the filter rejects at the bundle's threshold."""

    true_rejects_unseen: Estimate
    false_rejects_clean: Estimate
    false_rejects_noisy: Estimate


@dataclass(frozen=True, slots=True)
class Separation:
    """Unseen windows against one group of in-distribution windows; age on the same records."""

    variant: str
    against: str
    score: Ranking
    age: Ranking


@dataclass(frozen=True, slots=True)
class ClassifierRates:
    """The classifier without the filter and behind it; gains are in percentage points, paired."""

    accuracy_without_filter: Estimate
    accuracy_with_filter: Estimate
    gain_points: Estimate
    in_distribution_without_filter: Estimate
    in_distribution_with_filter: Estimate
    in_distribution_gain_points: Estimate


@dataclass(frozen=True, slots=True)
class Confusion:
    """Windows by truth (rows) and by label (columns); the last column of `after` is "rejected"."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Instructions:
    """Instructions on the emulated core.

    Parameters
    ----------
    gate_per_decision : at every hop, once it runs; gate_max : the costliest decision, which along
        the stream is a first one.
    classifier_median, classifier_max : a window that was diagnosed; None where none was.
    chain_per_sample, chain_per_window : of the signal chain, a frame of all leads and a window.
    per_ecg_second : everything, for a second of ECG at the bundle's hop and the replay's coverage.
    per_ecg_second_without_filter : the same where the classifier sees every window.
    gate_ms_estimate, classifier_ms_estimate, load_estimate : at `estimate_clock_hz` and
        `estimate_cycles_per_instruction`; load is the busy share of the core.
    """

    gate_per_decision: float
    gate_max: float
    classifier_median: float | None
    classifier_max: float | None
    chain_per_sample: float
    chain_per_window: float
    per_ecg_second: float
    per_ecg_second_without_filter: float | None
    estimate_clock_hz: int
    estimate_cycles_per_instruction: float
    gate_ms_estimate: float
    classifier_ms_estimate: float | None
    load_estimate: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; flash and RAM are None where no image was built."""

    flash_bytes: int | None
    ram_bytes: int | None
    arena_bytes: int


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """Everything measured in one replay; `DEFINITIONS` says what each figure means.

    Parameters
    ----------
    hold_out, classes : of the bundle.
    threshold : integer the C compares; alpha, n_calibration : how it was fitted.
    seed, n_resamples : of the bootstrap.
    coverage_by_truth : by `Groups.row_names`.
    rejects : by `VARIANTS`.
    separations : by variant, then by `AGAINST`.
    instructions : None where the engine does not count.
    unseen_missing : why the figures of unseen windows are null; None where they are not.
    """

    hold_out: str | None
    classes: tuple[str, ...]
    threshold: int
    alpha: float
    n_calibration: int
    seed: int
    n_resamples: int
    mix: Mix
    decisions: Decisions
    coverage: Estimate
    coverage_by_truth: dict[str, Estimate]
    rejects: dict[str, RejectRates]
    separations: tuple[Separation, ...]
    classifier: ClassifierRates
    confusion: Confusion
    instructions: Instructions | None
    memory: Memory
    unseen_missing: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values, without NaN: what cannot be measured is None."""
        return asdict(self)


def measure(
    replay: Replay,
    bundle: Bundle,
    board: Board,
    image: FirmwareImage | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> SimulationReport:
    """Return every figure of a replay.

    Parameters
    ----------
    replay : decisions beside truth; bundle : what was replayed.
    board : whose clock the estimates of time assume.
    image : sizes of the firmware image, where one was built.
    seed, n_resamples : of the patient bootstrap.
    """
    groups = group_windows(replay.truth, bundle.data.hold_out)
    bootstrap = PatientBootstrap(replay.subject_ids, seed, n_resamples)
    threshold = bundle.manifest["filter"]["threshold"]
    return SimulationReport(
        hold_out=bundle.data.hold_out,
        classes=bundle.classes,
        threshold=int(threshold["value"]),
        alpha=float(threshold["alpha"]),
        n_calibration=int(threshold["n_calibration"]),
        seed=seed,
        n_resamples=n_resamples,
        mix=_mix(replay, groups),
        decisions=_decisions(replay, bundle, bootstrap),
        coverage=bootstrap.rate(replay.accepted, groups.labelled),
        coverage_by_truth={
            name: bootstrap.rate(replay.accepted, groups.rows == row)
            for row, name in enumerate(groups.row_names)
        },
        rejects=_rejects(replay, groups, bootstrap),
        separations=_separations(replay, groups, bootstrap),
        classifier=_classifier_rates(replay, bundle, groups, bootstrap),
        confusion=_confusion(replay, bundle, groups),
        instructions=_instructions(replay, bundle, board),
        memory=Memory(
            flash_bytes=None if image is None else image.flash_bytes,
            ram_bytes=None if image is None else image.ram_bytes,
            arena_bytes=int(bundle.manifest["arena_bytes"]),
        ),
        unseen_missing=_unseen_missing(groups, bundle.data.hold_out),
    )


def right_diagnoses(replay: Replay, bundle: Bundle, groups: Groups) -> BoolArray:
    """Return where the classifier, run on every window, is right; never on an unseen window."""
    columns = np.array([SUPERCLASSES.index(name) for name in bundle.classes])
    carried = replay.truth[np.arange(len(replay)), columns[replay.labels_alone]]
    return np.asarray(carried & groups.in_distribution)


def _mix(replay: Replay, groups: Groups) -> Mix:
    return Mix(
        n_records=len(np.unique(replay.record_ids)),
        n_patients=len(np.unique(replay.subject_ids)),
        n_windows=len(replay),
        n_in_distribution=int(groups.in_distribution.sum()),
        n_in_distribution_noisy=int((groups.in_distribution & ~replay.clean).sum()),
        n_unseen=int(groups.unseen.sum()),
        n_without_superclass=int((~groups.labelled).sum()),
        n_graded=int((replay.quality > 0).sum()),
    )


def _decisions(replay: Replay, bundle: Bundle, bootstrap: PatientBootstrap) -> Decisions:
    everything = np.ones(len(replay), np.bool_)
    without, with_filter = (
        {name: bootstrap.rate(labels == label, among) for label, name in enumerate(bundle.classes)}
        for labels, among in ((replay.labels_alone, everything), (replay.labels, replay.accepted))
    )
    return Decisions(
        rejected=bootstrap.rate(~replay.accepted, everything),
        rejected_by_grade={
            str(grade): bootstrap.rate(~replay.accepted, replay.quality == grade)
            for grade in GRADES
            if (replay.quality == grade).any()
        },
        rejected_by_record={} if replay.truth.any() else _rejected_by_record(replay),
        labels_without_filter=without,
        labels_with_filter=with_filter,
    )


def _rejected_by_record(replay: Replay) -> dict[str, Estimate]:
    """Return the share of each record, in order; one record is one patient, so no interval."""
    names, first, row = np.unique(replay.record_ids, return_index=True, return_inverse=True)
    n_windows = np.bincount(row)
    shares = np.bincount(row, weights=~replay.accepted) / n_windows
    return {
        str(names[i]): Estimate(float(shares[i]), None, None, int(n_windows[i]), 1)
        for i in np.argsort(first)
    }


def _rejects(replay: Replay, groups: Groups, bootstrap: PatientBootstrap) -> dict[str, RejectRates]:
    rates = {}
    for variant in VARIANTS:
        known = groups.in_distribution & groups.of_variant(variant)
        unseen = groups.unseen & groups.of_variant(variant)
        true_rejects, clean, noisy = (
            bootstrap.rate(~replay.accepted, among)
            for among in (unseen, known & replay.clean, known & ~replay.clean)
        )
        rates[variant] = RejectRates(true_rejects, clean, noisy)
    return rates


def _separations(
    replay: Replay, groups: Groups, bootstrap: PatientBootstrap
) -> tuple[Separation, ...]:
    scores, aged = replay.scores.astype(np.float64), np.isfinite(replay.ages)
    separations = []
    for variant in VARIANTS:
        chosen = groups.of_variant(variant)
        for against in AGAINST:
            positive, negative = groups.unseen & chosen, groups.against(against) & chosen
            score = bootstrap.ranking(scores, positive, negative)
            age = bootstrap.ranking(replay.ages, positive & aged, negative & aged)
            separations.append(Separation(variant, against, score, age))
    return tuple(separations)


def _classifier_rates(
    replay: Replay, bundle: Bundle, groups: Groups, bootstrap: PatientBootstrap
) -> ClassifierRates:
    right = right_diagnoses(replay, bundle, groups)
    both = []
    for among in (groups.labelled, groups.in_distribution):
        accepted = among & replay.accepted
        both += [
            bootstrap.rate(right, among),
            bootstrap.rate(right, accepted),
            bootstrap.gain_points(right, among, accepted),
        ]
    return ClassifierRates(*both)


def _confusion(replay: Replay, bundle: Bundle, groups: Groups) -> Confusion:
    n_rows, n_classes = len(groups.row_names), len(bundle.classes)
    labels_by_table = {
        "before": replay.labels_alone,
        "after": np.where(replay.accepted, replay.labels, n_classes),
    }
    tables = {}
    for name, labels in labels_by_table.items():
        cells = np.zeros((n_rows, n_classes + (name == "after")), np.int64)
        np.add.at(cells, (groups.rows[groups.labelled], labels[groups.labelled]), 1)
        tables[name] = tuple(tuple(row) for row in cells.tolist())
    return Confusion(groups.row_names, (*bundle.classes, "rejected"), **tables)


def _instructions(replay: Replay, bundle: Bundle, board: Board) -> Instructions | None:
    counts, alone = replay.instructions, replay.instructions_alone
    if counts is None:
        return None
    classifier = np.array(counts.classifier)
    ran = classifier[classifier > 0]
    gate = _gate_per_decision(counts, bundle)
    per_second = _per_ecg_second(counts, bundle)
    classifier_median = float(np.median(ran)) if len(ran) else None
    return Instructions(
        gate_per_decision=gate,
        gate_max=max(counts.gate),
        classifier_median=classifier_median,
        classifier_max=float(ran.max()) if len(ran) else None,
        chain_per_sample=counts.chain_total / counts.n_chain_frames,
        chain_per_window=counts.chain_total / counts.chain_s * bundle.data.window_s,
        per_ecg_second=per_second,
        per_ecg_second_without_filter=None if alone is None else _per_ecg_second(alone, bundle),
        estimate_clock_hz=board.clock_hz,
        estimate_cycles_per_instruction=board.cycles_per_instruction,
        gate_ms_estimate=board.milliseconds(gate),
        classifier_ms_estimate=None
        if classifier_median is None
        else board.milliseconds(classifier_median),
        load_estimate=board.milliseconds(per_second) / 1000,
    )


def _gate_per_decision(counts: InstructionCounts, bundle: Bundle) -> float:
    """Return what the filter takes at every hop, once it runs.

    Along the stream it works on every sample alike, so that what it took is shared out over the
    time played: the first window of a recording is ten hops of work, and short recordings have no
    other. On whole windows every decision costs the same.
    """
    if read_header(bundle.filter_blob).stream_step:
        return sum(counts.gate) / counts.chain_s * bundle.data.hop_s
    return float(np.median(counts.gate))


def _per_ecg_second(counts: InstructionCounts, bundle: Bundle) -> float:
    """Return the instructions one second of ECG takes; a rejected window has no classifier run."""
    decision = _gate_per_decision(counts, bundle) + float(np.mean(counts.classifier))
    return decision / bundle.data.hop_s + counts.chain_total / counts.chain_s


def _unseen_missing(groups: Groups, hold_out: str | None) -> str | None:
    if not groups.labelled.any():
        return "No replayed record carries a superclass: which windows are unseen is not known."
    if hold_out is None:
        return "The bundle was trained on all superclasses (nothing held out): no class is unseen."
    if not groups.unseen.any():
        return f"No replayed record carries {hold_out}, the superclass that was held out."
    return None
