"""What the results say, as text and tables: the same for the Markdown file and for the page."""

from collections.abc import Callable, Sequence

from datasets.bootstrap import Estimate
from datasets.groups import AGAINST, VARIANTS

from .cells import STATES
from .formats import percent, signed, span, three, with_interval
from .headline import INT8_LOSS_MAX, against_baselines, findings, headline
from .measures import AGE_BANDS, PATIENT_GROUPS
from .results import (
    AGAINST_TITLES,
    COLUMNS,
    DEPENDENT_LEADS,
    LEADS_TITLES,
    NOISE_TITLES,
    VARIANT_TITLES,
    Results,
    Section,
)
from .rows import MEAN, ByClass, Noise, RowFigures

AMONG = "n"
"""First word of the line that says how many records stand behind each column."""


def sections(results: Results) -> list[Section]:
    """Return all sections in order."""
    found = [headline(results), findings(results), _who(results)]
    for leads in results.leads:
        found.append(_auroc(results, leads))
        if results.families_of(leads):
            found.append(against_baselines(results, leads))
    for leads in results.leads:
        found += [_against(results, leads), _rejects(results, leads)]
        if any(row.noise for row in results.rows_of(leads)):
            found.append(_noise(results, leads))
        if results.families_of(leads):
            found += [_int8(results, leads), _cost(results, leads)]
        found += _patients(results, leads)
        if any(len(row.auroc_by_seed) > 1 for row in results.rows_of(leads)):
            found.append(_seeds(results, leads))
    return [*found, _made(results), _open(results)]


def _who(results: Results) -> Section:
    records = results.records
    rows = []
    for hold_out, groups in results.groups.items():
        masks = (groups.unseen, groups.in_distribution, groups.norm, groups.abnormal)
        counts = [int((m & groups.of_variant(v)).sum()) for v in VARIANTS for m in masks]
        clean = [int((groups.in_distribution & (records.clean == c)).sum()) for c in (True, False)]
        rows.append((hold_out, *(f"{n:,}" for n in (*counts, *clean))))
    names = ("unseen", "ID", "NORM only", "abnormal ID")
    columns = (
        "held out",
        *(f"{n}, {VARIANT_TITLES[v]}" for v in VARIANTS for n in names),
        "ID, clean",
        "ID, remarked",
    )
    details = next((c.details for c in results.cells.values() if c.error is None), {})
    calibration = [c.n_calibration for c in results.cells.values() if c.error is None]
    n_patients = len(set(records.subject_ids.tolist()))
    text = (
        f"Data set {details.get('dataset', '?')}: {len(records.record_ids):,} test records of "
        f"{n_patients:,} patients carry a superclass. {_split(bool(details.get('rehearsal')))} No "
        "patient is in two splits."
    )
    points = (
        "A record is *unseen* when it carries the held-out superclass, alone or beside others, "
        "and *in distribution* (ID) when it carries a superclass and not that one. Training, "
        "selection and calibration see no unseen record.",
        "*NORM only*: ID with no superclass but NORM. *Abnormal*: ID without NORM. The few ID "
        "records with NORM beside another superclass are in neither.",
        "*Multi-label* figures score all records; *single-label* ones leave out test records of "
        "several superclasses, and rest on few.",
        "*Clean*: without a remark of noise by the data set's authors; *remarked*: with one.",
        "Every filter is scored as it ships, int8, by the shipped C. Each row has a threshold of "
        f"its own, fitted on the same {span(calibration)} clean ID windows of other patients (by "
        "held-out class), so rates of all rows move together with who these are.",
        "Intervals are 95 %, from 1,000 draws of the test's patients: how the figure would move "
        "with other patients, not with other training or calibration data. Where every draw gives "
        "the same there is none: 0 of n excludes, roughly, rates above 3 / n. Several seeds are "
        "averaged.",
    )
    return Section("Who is tested", text, columns, tuple(rows), points)


def _split(rehearsal: bool) -> str:
    if rehearsal:
        return (
            "A rehearsal: folds 1-8 train; the patients of fold 9 are cut in three for "
            "calibration, selection and test; fold 10 takes no part. The filters' default "
            "parameters were settled by hand with figures of such rehearsals in view, so theirs "
            "may be flattered; the baselines were taken as they are."
        )
    return "Folds 1-8 train, fold 9 calibrates and selects, fold 10 tests."


def _auroc(results: Results, leads: str) -> Section:
    among = (
        f"{AMONG}, unseen / ID",
        *(f"{g.unseen.sum():,} / {g.in_distribution.sum():,}" for g in results.groups.values()),
        *("", "", ""),
    )
    rows = [
        (
            results.name(row),
            *_cells(row.auroc["multi_label"]["all"], with_interval),
            with_interval(_overall(row.auprc)),
            with_interval(_overall(row.fpr_at_95tpr)),
        )
        for row in results.rows_of(leads)
    ]
    rates = next((row.base_rate for row in results.rows_of(leads) if row.base_rate), {})
    chance = ", ".join(f"{hold_out} {three(rate)}" for hold_out, rate in rates.items())
    return Section(
        f"AUROC of the unseen class, {LEADS_TITLES[leads]}",
        f"Multi-label, against all ID, with intervals; then, {_overall_words(results, leads)}: "
        f"average precision (AUPRC; chance: {chance}) and the share of ID rejected by the "
        "threshold that rejects 95 % of the unseen (FPR at 95 % TPR).",
        ("", *COLUMNS, "AUPRC", "FPR at 95 % TPR"),
        (among, *rows),
    )


def _against(results: Results, leads: str) -> Section:
    groups = results.groups.values()
    among = (
        f"{AMONG}, unseen / compared with",
        *(
            f"{span([int((g.unseen & g.of_variant(v)).sum()) for g in groups])} / "
            f"{span([int((g.against(a) & g.of_variant(v)).sum()) for g in groups])}"
            for v in VARIANTS
            for a in AGAINST
        ),
    )
    rows = [
        (
            results.name(row),
            *(with_interval(_overall(row.auroc[v][a])) for v in VARIANTS for a in AGAINST),
        )
        for row in results.rows_of(leads)
    ]
    columns = tuple(f"{AGAINST_TITLES[a]}, {VARIANT_TITLES[v]}" for v in VARIANTS for a in AGAINST)
    return Section(
        f"Against whom, {LEADS_TITLES[leads]}",
        f"AUROC, {_overall_words(results, leads)}. What ranks the sick first does well against "
        "NORM and not against abnormal ECGs of known kinds.",
        ("", *columns),
        (among, *rows),
    )


def _rejects(results: Results, leads: str) -> Section:
    with_threshold = [row for row in results.rows_of(leads) if row.true_rejects]
    rows = [
        (
            results.name(row),
            *_cells(row.true_rejects["multi_label"], percent),
            percent(_overall(row.true_rejects["single_label"])),
            *(percent(_overall(row.false_rejects[against])) for against in AGAINST),
            percent(_overall(row.false_rejects_noisy)),
        )
        for row in with_threshold
    ]
    return Section(
        f"At the threshold, {LEADS_TITLES[leads]}",
        "Percent of the unseen records rejected, with the threshold that rejects 5 % of the clean "
        "in-distribution records of the calibration third, a row's own; then, "
        f"{_overall_words(results, leads)}: the same of single-label records; the clean ID records "
        "of the test that are rejected, all, NORM only and abnormal; and the ID records that the "
        "data set's authors remark noise on. A score whose largest value more than 5 % of the "
        "calibration windows share, as an amplitude at the end of int8, rejects nothing.",
        (
            "",
            *COLUMNS,
            "mean, single-label",
            *(f"clean {AGAINST_TITLES[against]}" for against in AGAINST),
            "remarked ID",
        ),
        (_rejects_among(results), *rows),
    )


def _rejects_among(results: Results) -> tuple[str, ...]:
    clean, groups = results.records.clean, results.groups.values()
    single = [int((g.unseen & g.single).sum()) for g in groups]
    return (
        AMONG,
        *(f"{g.unseen.sum():,}" for g in groups),
        "",
        span(single),
        *(span([int((g.against(a) & clean).sum()) for g in groups]) for a in AGAINST),
        span([int((g.in_distribution & ~clean).sum()) for g in groups]),
    )


def _noise(results: Results, leads: str) -> Section:
    rows_of = [row for row in results.rows_of(leads) if row.noise]
    conditions = dict.fromkeys((n.kind, n.snr_db) for row in rows_of for n in row.noise)
    kinds = list(dict.fromkeys(kind for kind, _ in conditions))
    snr_db = list(dict.fromkeys(snr for _, snr in conditions))
    rows = []
    for row in rows_of:
        by = {(noise.kind, noise.snr_db): noise for noise in row.noise}
        free = row.noise_free_rejected
        for title, figure, without in (
            ("AUROC", _noise_auroc, ""),
            ("rejected, %", _noise_rejected, _share(free)),
        ):
            shown = (
                " / ".join(figure(by.get((kind, level))) for level in snr_db) for kind in kinds
            )
            rows.append((f"{results.name(row)}, {title}", without, *shown))
    remarks = dict.fromkeys(
        f" {remark}."
        for c in results.cells.values()
        for remark in c.details.get("noise_remarks", ())
    )
    absent = [title for kind, title in NOISE_TITLES.items() if kind not in kinds]
    missing = f" Not at hand: {', '.join(absent)}." if absent else ""
    dependent = (
        " Each lead gets its noise by itself, so that III = II - I no longer holds, which noise at "
        "an electrode would leave alone: what sees that has it easy here; *read the noise of lead "
        "I instead*."
        if leads in DEPENDENT_LEADS
        else ""
    )
    levels = " / ".join(f"{snr:g}" for snr in snr_db)
    n = rows_of[0].noise[0].rejected
    return Section(
        f"Noise, {LEADS_TITLES[leads]}",
        "Recorded noise of the Noise Stress Test database, its last fifth, added to clean ID test "
        f"records (n = {n.n} of {n.n_patients} patients, for each held-out class; the draws come "
        "from a few minutes of two channels, so other noise may do otherwise): AUROC of the noisy "
        "windows against the same windows without noise, and percent rejected at the threshold, "
        f"at {levels} dB, averaged over the held-out classes.{dependent}{''.join(remarks)}"
        f"{missing} Intervals are in results.json.",
        ("", "without noise", *(NOISE_TITLES[kind] for kind in kinds)),
        tuple(rows),
    )


def _int8(results: Results, leads: str) -> Section:
    rows = []
    for row in results.families_of(leads):
        over = [h for h, e in row.auroc_lost.items() if (e.value or 0.0) > INT8_LOSS_MAX]
        rows.append(
            (
                results.name(row),
                *(three(e.value if e else None) for e in _float_and_int8(row)),
                *_cells(row.auroc_lost, lambda estimate: signed(estimate, 4)),
                f"{row.cost['spearman_int8_float']:.4f}",
                ", ".join(over) or "nowhere",
            )
        )
    return Section(
        f"What int8 costs, {LEADS_TITLES[leads]}",
        f"AUROC of the float and of the int8 network, {_overall_words(results, leads)}; what is "
        "lost from one to the other (float less int8), by class; the lowest rank correlation of "
        f"the two on calibration windows; and where more than {three(INT8_LOSS_MAX)} is lost.",
        (
            "",
            "float",
            "int8",
            *(f"lost, {column}" for column in COLUMNS),
            "rank correlation",
            f"lost > {three(INT8_LOSS_MAX)}",
        ),
        tuple(rows),
    )


def _float_and_int8(row: RowFigures) -> tuple[Estimate | None, Estimate | None]:
    return _overall(row.auroc_float), _overall(row.auroc["multi_label"]["all"])


def _cost(results: Results, leads: str) -> Section:
    rows = [
        (
            results.name(row),
            *(
                f"{row.cost[name]:,}"
                for name in ("n_parameters", "macs_per_window", "blob_bytes", "arena_bytes")
            ),
            str(row.cost["execution"]).split(":")[0],
            f"{row.cost['training_s']:.0f}",
        )
        for row in results.families_of(leads)
    ]
    return Section(
        f"What it costs, {LEADS_TITLES[leads]}",
        "Of one filter: exact counts of the network and bytes of its blob (flash) and arena (RAM); "
        "seconds of training, on one core that other work may have shared.",
        ("", "parameters", "MACs a window", "blob", "arena", "execution", "training, s"),
        tuple(rows),
    )


def _patients(results: Results, leads: str) -> list[Section]:
    with_groups = [row for row in results.rows_of(leads) if row.groups]
    ranked = [
        (results.name(row), *(with_interval(_overall(row.groups[g].auroc)) for g in PATIENT_GROUPS))
        for row in with_groups
    ]
    rejected = [
        (
            results.name(row),
            *(
                f"{percent(_overall(group.true_rejects))} / "
                f"{percent(_overall(group.false_rejects))}"
                for group in (row.groups[name] for name in PATIENT_GROUPS)
            ),
        )
        for row in with_groups
    ]
    columns = ("", *PATIENT_GROUPS)
    overall = _overall_words(results, leads)
    return [
        Section(
            f"AUROC by sex and age, {LEADS_TITLES[leads]}",
            f"Multi-label, against all ID of the same group, {overall}.",
            columns,
            (_patients_among(results, clean=False), *ranked),
        ),
        Section(
            f"Rejected by sex and age, {LEADS_TITLES[leads]}",
            f"Percent of the unseen / of the clean ID records of the group, {overall}, at one "
            "threshold for all.",
            columns,
            (_patients_among(results, clean=True), *rejected),
        ),
    ]


def _patients_among(results: Results, clean: bool) -> tuple[str, ...]:
    """Return how many unseen and ID records a group has, by held-out class from least to most."""
    records, groups = results.records, results.groups.values()
    shown = []
    for group in PATIENT_GROUPS:
        inside = records.sexes == group
        if group in AGE_BANDS:
            low, high = AGE_BANDS[group]
            inside = (records.ages >= low) & (records.ages < high)
        unseen = span([int((g.unseen & inside).sum()) for g in groups])
        known = inside & records.clean if clean else inside
        shown.append(f"{unseen} / {span([int((g.in_distribution & known).sum()) for g in groups])}")
    return (f"{AMONG}, unseen / {'clean ID' if clean else 'ID'}", *shown)


def _seeds(results: Results, leads: str) -> Section:
    rows = []
    for row in results.families_of(leads):
        for column in COLUMNS if len(row.auroc_by_seed) > 1 else ():
            values = [of[column] for of in row.auroc_by_seed.values() if column in of]
            if len(values) > 1:
                shown = ", ".join(three(value) for value in values)
                rows.append((row.name, column, shown, three(max(values) - min(values))))
    return Section(
        f"Seeds, {LEADS_TITLES[leads]}",
        "The same AUROC seed by seed: what another start of the training changes, which no "
        "interval above contains.",
        ("", "held out", "AUROC of each seed", "range"),
        tuple(rows),
    )


def _made(results: Results) -> Section:
    cells = [cell for cell in results.cells.values() if cell.error is None]
    made: dict[str, dict[str, int]] = {}
    for cell in cells:
        of_cell = {"commit": cell.details.get("commit"), **cell.details.get("versions", {})}
        for name, version in of_cell.items():
            of_name = made.setdefault(name, {})
            of_name[str(version)] = of_name.get(str(version), 0) + 1
    hours = sum(c.details["training_s"] + c.details["evaluation_s"] for c in cells) / 3600
    return Section(
        "What made it",
        f"Training and scoring of the {len(cells)} cells with scores took {hours:.1f} hours of "
        "single processes. Code and versions, with the number of cells; a commit is *dirty* when "
        "files were not committed yet, as new cells are not. What decides a cell is in its key, "
        "not in its commit.",
        ("", "version (cells)"),
        tuple(
            (name, ", ".join(f"{version} ({n})" for version, n in found.items()))
            for name, found in made.items()
        ),
    )


def _open(results: Results) -> Section:
    rows: dict[tuple[str, ...], list[str]] = {}
    for slot, state in results.states.items():
        if state in STATES and state != "done":
            cell = results.cells.get(slot)
            why = (cell.error or "") if cell and state == "failed" else ""
            line = (slot.row, slot.leads, str(slot.seed), state, why)
            rows.setdefault(line, []).append(slot.hold_out)
    return Section(
        "What is still open",
        f"{results.counts} cells. A stale cell was made by other code or from other data than this "
        "checkout has; where it scored the same records its figures stand in the table until it "
        "is run again, and its row says so. An unchecked cell has scores, and the table was made "
        "without the recordings that tell whether it is stale.",
        ("row", "leads", "seed", "state", "why", "held out"),
        tuple((*line, ", ".join(hold_outs)) for line, hold_outs in rows.items()),
    )


def _noise_auroc(noise: Noise | None) -> str:
    return "-" if noise is None else three(noise.auroc.value)


def _noise_rejected(noise: Noise | None) -> str:
    return "-" if noise is None else _share(noise.rejected)


def _share(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    return f"{100 * estimate.value:.0f}"


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
