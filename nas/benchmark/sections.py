"""What the results say, as text and tables: the same for the Markdown file and for the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datasets.bootstrap import Estimate
from datasets.groups import AGAINST, VARIANTS, group_windows

from .cells import STATES, Cell, ScoredRecords
from .measures import MEAN, PATIENT_GROUPS, ByClass, Noise, RowFigures
from .study import HOLD_OUTS, LEADS, Slot

COLUMNS = (*HOLD_OUTS, MEAN)
PUBLISHED = {
    "Deep SVDD, published": {"HYP": 0.798, "CD": 0.769, "MI": 0.692, "STTC": 0.678},
    "normalizing flow, published": {"HYP": 0.811, "CD": 0.723},
}
PUBLISHED_SOURCE = (
    "Ibrahim, Meijer, Schlaefer, Stelldinger, arXiv:2510.26501, AUROC as quoted from it; leads, "
    "window and the rule for records of several classes are not known"
)
BASELINES_ABOUT = {
    "amplitude": "largest absolute value",
    "signal_quality": "Mahalanobis distance of signal-quality indices",
    "pca": "what 64 principal components leave over",
    "spectrum": "Mahalanobis distance of log spectra",
    "hand_features": "Mahalanobis distance of spectra, quantiles, autocorrelation, correlations",
    "softmax": "diagnostic classifier: 1 - largest probability",
    "energy": "diagnostic classifier: joint energy",
    "not_norm": "diagnostic classifier: 1 - P(NORM)",
    "age": "the patient's age, which has not seen the ECG",
}
LEADS_TITLES = {"12": "12 leads", "I": "lead I", "I+II": "leads I and II"}
AGAINST_TITLES = {"all": "all ID", "norm": "NORM only", "abnormal": "abnormal ID"}
VARIANT_TITLES = {"multi_label": "multi-label", "single_label": "single-label"}
NOISE_TITLES = {
    "baseline_wander": "baseline wander (bw)",
    "muscle": "muscle (ma)",
    "electrode_motion": "electrode motion (em)",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what must be known to read the table, and the table, its first column names."""

    title: str
    text: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """All that is written down.

    Parameters
    ----------
    rows : figures; records : who was tested.
    states : of every slot of the table; cells : those with a file, by slot.
    commit : of the checkout that made the table.
    """

    rows: list[RowFigures]
    records: ScoredRecords
    states: dict[Slot, str]
    cells: dict[Slot, Cell]
    commit: str

    def rows_of(self, leads: str) -> list[RowFigures]:
        """Return the rows of one set of leads: families, then baselines, in order."""
        found = [row for row in self.rows if row.leads == leads]
        return sorted(found, key=lambda row: not row.is_family)

    @property
    def leads(self) -> list[str]:
        """The sets of leads there are rows of."""
        return [leads for leads in LEADS if self.rows_of(leads)]


def three(value: float | None) -> str:
    """Return a figure between 0 and 1 to three places.

    Examples
    --------
    >>> three(0.7984), three(None)
    ('.798', '-')
    """
    return "-" if value is None else f"{value:.3f}".replace("0.", ".", 1)


def with_interval(estimate: Estimate | None) -> str:
    """Return a figure with its interval.

    Examples
    --------
    >>> with_interval(Estimate(0.7984, 0.75, 0.84, 100, 90))
    '.798 (.75-.84)'
    """
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return three(estimate.value)
    return f"{three(estimate.value)} ({_two(estimate.low)}-{_two(estimate.high)})"


def percent(estimate: Estimate | None) -> str:
    """Return a share with its interval, in percent.

    Examples
    --------
    >>> percent(Estimate(0.051, 0.034, 0.071, 100, 90))
    '5.1 (3.4-7.1)'
    """
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.1f}"
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"


def signed(estimate: Estimate | None) -> str:
    """Return a difference of areas with its interval."""
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.4f}"
    return f"{estimate.value:+.4f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def sections(results: Results) -> list[Section]:
    """Return all sections in order."""
    found = [_who(results)]
    for leads in results.leads:
        found.append(_auroc(results, leads))
    for leads in results.leads:
        found += [_against(results, leads), _rejects(results, leads)]
        if any(row.noise for row in results.rows_of(leads)):
            found.append(_noise(results, leads))
        if any(row.is_family for row in results.rows_of(leads)):
            found += [_int8(results, leads), _cost(results, leads)]
        found.append(_patients(results, leads))
    return [*found, _open(results)]


def _who(results: Results) -> Section:
    records = results.records
    rows = []
    for hold_out in HOLD_OUTS:
        groups = group_windows(records.labels, hold_out)
        masks = (groups.unseen, groups.in_distribution, groups.norm, groups.abnormal)
        counts = [int((m & groups.of_variant(v)).sum()) for v in VARIANTS for m in masks]
        rows.append((hold_out, *(f"{n:,}" for n in counts)))
    names = ("unseen", "ID", "NORM only", "abnormal ID")
    columns = ("held out", *(f"{n}, {VARIANT_TITLES[v]}" for v in VARIANTS for n in names))
    details = next((c.details for c in results.cells.values() if c.error is None), {})
    fold = (
        "Folds 1-8 train; the patients of fold 9 are cut in three for calibration, selection and "
        "test, and fold 10 is untouched"
        if details.get("rehearsal")
        else "Folds 1-8 train, fold 9 calibrates and selects, fold 10 tests"
    )
    n_patients = len(set(records.subject_ids.tolist()))
    text = (
        f"Data set {details.get('dataset', '?')}. {fold}; no patient is in two splits. "
        f"{len(records.record_ids):,} test records of {n_patients:,} patients carry a superclass. "
        "A record is *unseen* when it carries the held-out superclass, alone or beside others, "
        "and *in distribution* (ID) when it carries a superclass and not that one; training, "
        "selection and calibration see no unseen record. *Single-label* figures leave out test "
        "records of several superclasses. Every filter is scored as it ships, int8, by the shipped "
        "C. Intervals are 95 %, from 1,000 draws of patients; rows of several seeds are averages "
        "over them. The records by held-out class:"
    )
    return Section("Who is tested", text, columns, tuple(rows))


def _auroc(results: Results, leads: str) -> Section:
    rows = [
        (_name(row), *_cells(row.auroc["multi_label"]["all"], with_interval))
        for row in results.rows_of(leads)
    ]
    published = [
        (name, *(three(values.get(column)) for column in HOLD_OUTS), "-")
        for name, values in PUBLISHED.items()
    ]
    text = (
        "How often an unseen record scores higher than one in distribution; .5 is chance. "
        f"Multi-label. Published figures: {PUBLISHED_SOURCE}."
    )
    return Section(
        f"AUROC of the unseen class, {LEADS_TITLES[leads]}",
        text,
        ("", *COLUMNS),
        (*rows, *published),
    )


def _against(results: Results, leads: str) -> Section:
    rows = [
        (_name(row), *(with_interval(_overall(row.auroc[v][a])) for v in VARIANTS for a in AGAINST))
        for row in results.rows_of(leads)
    ]
    columns = tuple(f"{AGAINST_TITLES[a]}, {VARIANT_TITLES[v]}" for v in VARIANTS for a in AGAINST)
    return Section(
        f"Against whom, {LEADS_TITLES[leads]}",
        f"AUROC, {_overall_words(results, leads)}. What ranks the sick first does well against "
        "NORM and not against abnormal ECGs of known kinds.",
        ("", *columns),
        tuple(rows),
    )


def _rejects(results: Results, leads: str) -> Section:
    rows = [
        (
            _name(row),
            *_cells(row.true_rejects["multi_label"], percent),
            percent(_overall(row.true_rejects["single_label"])),
            percent(_overall(row.false_rejects)),
            percent(_overall(row.false_rejects_noisy)),
            with_interval(_overall(row.auprc)),
            with_interval(_overall(row.fpr_at_95tpr)),
        )
        for row in results.rows_of(leads)
        if row.true_rejects["multi_label"]
    ]
    rates = next((row.base_rate for row in results.rows_of(leads) if row.base_rate), {})
    shares = ", ".join(f"{hold_out} {100 * rate:.1f} %" for hold_out, rate in rates.items())
    return Section(
        f"At the threshold, {LEADS_TITLES[leads]}",
        "Percent of the unseen records rejected, with the threshold that rejects 5 % of the clean "
        "in-distribution records of the calibration third; then, "
        f"{_overall_words(results, leads)}, the same of single-label records, the clean and the "
        "remarked in-distribution records of the test that are rejected, average precision "
        f"(chance: {shares}) and the false positive rate at 95 % true positives.",
        ("", *COLUMNS, "single-label", "clean ID", "noisy ID", "AUPRC", "FPR at 95 % TPR"),
        tuple(rows),
    )


def _noise(results: Results, leads: str) -> Section:
    rows_of = [row for row in results.rows_of(leads) if row.noise]
    conditions = [(noise.kind, noise.snr_db) for noise in rows_of[0].noise]
    kinds = list(dict.fromkeys(kind for kind, _ in conditions))
    snr_db = list(dict.fromkeys(snr for _, snr in conditions))
    rows = []
    for row in rows_of:
        by = {(noise.kind, noise.snr_db): noise for noise in row.noise}
        for title, figure in (("AUROC", _noise_auroc), ("rejected, %", _noise_rejected)):
            shown = (
                " / ".join(figure(by.get((kind, level))) for level in snr_db) for kind in kinds
            )
            rows.append((f"{_name(row)}, {title}", *shown))
    details = next((c.details for c in results.cells.values() if c.noise_kinds), {})
    remarks = "".join(f" {remark}." for remark in details.get("noise_remarks", []))
    absent = [title for kind, title in NOISE_TITLES.items() if kind not in kinds]
    missing = f" Not at hand: {', '.join(absent)}." if absent else ""
    levels = " / ".join(f"{snr:g}" for snr in snr_db)
    n = rows_of[0].noise[0].rejected
    return Section(
        f"Noise, {LEADS_TITLES[leads]}",
        "Recorded noise of the Noise Stress Test database, its last fifth, added to clean "
        f"in-distribution test records (n = {n.n} of {n.n_patients} patients, a held-out class): "
        "AUROC of the noisy windows against the same windows without noise, and percent rejected, "
        f"at {levels} dB, averaged over the held-out classes.{remarks}{missing} Intervals are in "
        "results.json.",
        ("", *(NOISE_TITLES[kind] for kind in kinds)),
        tuple(rows),
    )


def _int8(results: Results, leads: str) -> Section:
    rows = [
        (
            _name(row),
            with_interval(_overall(row.auroc_float)),
            with_interval(_overall(row.auroc["multi_label"]["all"])),
            *_cells(row.auroc_lost, signed),
        )
        for row in results.rows_of(leads)
        if row.is_family
    ]
    return Section(
        f"What int8 costs, {LEADS_TITLES[leads]}",
        f"AUROC of the float and of the int8 network, {_overall_words(results, leads)}, and what "
        "is lost from one to the other, by class.",
        ("", "float", "int8", *(f"lost, {column}" for column in COLUMNS)),
        tuple(rows),
    )


def _cost(results: Results, leads: str) -> Section:
    rows = [
        (
            _name(row),
            *(
                f"{row.cost[name]:,}"
                for name in ("n_parameters", "macs_per_window", "blob_bytes", "arena_bytes")
            ),
            str(row.cost["execution"]).split(":")[0],
            f"{row.cost['training_s']:.0f}",
        )
        for row in results.rows_of(leads)
        if row.is_family
    ]
    return Section(
        f"What it costs, {LEADS_TITLES[leads]}",
        "Of one filter: exact counts of the network and bytes of its blob (flash) and arena (RAM); "
        "seconds of training, on one core that other work may have shared.",
        ("", "parameters", "MACs a window", "blob", "arena", "execution", "training, s"),
        tuple(rows),
    )


def _patients(results: Results, leads: str) -> Section:
    rows = [
        (
            _name(row),
            *(with_interval(_overall(row.groups[group].auroc)) for group in PATIENT_GROUPS),
            *(percent(_overall(row.groups[group].false_rejects)) for group in PATIENT_GROUPS),
        )
        for row in results.rows_of(leads)
        if row.groups
    ]
    columns = (
        *(f"AUROC, {group}" for group in PATIENT_GROUPS),
        *(f"clean ID rejected (%), {group}" for group in PATIENT_GROUPS),
    )
    return Section(
        f"By sex and age, {LEADS_TITLES[leads]}",
        f"Multi-label, against all ID of the same group, {_overall_words(results, leads)}. The "
        "threshold is one for all.",
        ("", *columns),
        tuple(rows),
    )


def _open(results: Results) -> Section:
    n = {state: sum(s == state for s in results.states.values()) for state in STATES}
    counts = ", ".join(f"{count} {state}" for state, count in n.items())
    rows = []
    for slot, state in results.states.items():
        if state != "done":
            cell = results.cells.get(slot)
            why = (cell.error or "") if cell and state == "failed" else ""
            rows.append((slot.row, slot.hold_out, slot.leads, str(slot.seed), state, why))
    return Section(
        "What is still open",
        f"{counts} of {len(results.states)} cells. A stale cell was made by other code or from "
        "other data than this checkout has; its figures stand in the table until it is run again.",
        ("row", "held out", "leads", "seed", "state", "why"),
        tuple(rows),
    )


def _noise_auroc(noise: Noise | None) -> str:
    return "-" if noise is None else three(noise.auroc.value)


def _noise_rejected(noise: Noise | None) -> str:
    if noise is None or noise.rejected.value is None:
        return "-"
    return f"{100 * noise.rejected.value:.0f}"


def _name(row: RowFigures) -> str:
    seeds = sorted(set(row.n_seeds.values()))
    several = f" ({'-'.join(map(str, seeds))} seeds)" if seeds != [1] else ""
    return f"{row.name}{several}" if row.is_family else row.name


def _cells(by_class: ByClass, show: Callable[[Estimate | None], str]) -> Sequence[str]:
    return [show(by_class.get(column)) for column in COLUMNS]


def _overall(by_class: ByClass) -> Estimate | None:
    """Return the mean over the held-out classes, or the one class there is."""
    if len(by_class) == 1:
        return next(iter(by_class.values()))
    return by_class.get(MEAN)


def _overall_words(results: Results, leads: str) -> str:
    hold_outs = {h for row in results.rows_of(leads) for h in row.n_seeds}
    return "mean over the held-out classes" if len(hold_outs) > 1 else f"{hold_outs.pop()} held out"


def _two(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)
