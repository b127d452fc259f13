"""The figures of the table, each with its interval, from the ranks that the cells keep.

Several seeds of a row are averaged figure by figure, and so are the four held-out classes: the test
records are the same for all of them, so every average has an interval of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from datasets.bootstrap import Estimate, PatientBootstrap, Sampled, mean_of
from datasets.groups import AGAINST, VARIANTS, Groups, group_windows
from datasets.records import BoolArray, Int64Array, StrArray

from .cells import Cell, Ranked, ScoredRecords
from .study import BASELINES, HOLD_OUTS

MEAN = "mean"
"""The held-out classes averaged, where a row has all of them."""
AGE_BANDS = {"under 50": (0.0, 50.0), "50 to 69": (50.0, 70.0), "70 and over": (70.0, np.inf)}
PATIENT_GROUPS = ("female", "male", *AGE_BANDS)

ByClass = dict[str, Estimate]
"""An estimate by held-out class, and one by `MEAN`."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What one condition of noise does, averaged over the held-out classes there are.

    Parameters
    ----------
    auroc : of noisy windows against the same windows without noise; rejected : share of the noisy
        windows beyond the threshold.
    """

    kind: str
    snr_db: float
    auroc: Estimate
    rejected: Estimate


@dataclass(frozen=True, slots=True)
class PatientGroup:
    """The windows of one sex or age band."""

    auroc: ByClass
    true_rejects: ByClass
    false_rejects: ByClass


@dataclass(frozen=True, slots=True)
class RowFigures:
    """One row of the table: a family or a baseline on one set of leads.

    Parameters
    ----------
    name : of the family or baseline; leads : key of `study.LEADS`.
    is_family : whether it is a trained filter; its scores are then those of the int8 network.
    n_seeds : by held-out class.
    auroc : by variant, by what unseen windows are compared with, by class.
    auprc, fpr_at_95tpr, base_rate : multi-label against all ID.
    true_rejects : by variant; false_rejects : of clean ID windows; false_rejects_noisy : of those
        with a remark of noise by the data set's authors.
    auroc_float, auroc_lost : of the float network, and what int8 costs of it; empty for baselines.
    groups : by `PATIENT_GROUPS`, multi-label against all ID.
    noise : conditions in order; empty without noise.
    cost : parameters, MACs, bytes, seconds of training; empty for baselines.
    """

    name: str
    leads: str
    is_family: bool
    n_seeds: dict[str, int]
    auroc: dict[str, dict[str, ByClass]]
    auprc: ByClass
    fpr_at_95tpr: ByClass
    base_rate: dict[str, float]
    true_rejects: dict[str, ByClass]
    false_rejects: ByClass
    false_rejects_noisy: ByClass
    auroc_float: ByClass
    auroc_lost: ByClass
    groups: dict[str, PatientGroup]
    noise: tuple[Noise, ...]
    cost: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Scored:
    """One score of one cell."""

    cell: Cell
    score: str

    @property
    def ranked(self) -> Ranked:
        return self.cell.scores[self.score]

    @property
    def rejected(self) -> BoolArray:
        return self.ranked.test > self.ranked.threshold


def measure_rows(cells: Sequence[Cell], records: ScoredRecords) -> list[RowFigures]:
    """Return every row that has a cell with scores, families first.

    Parameters
    ----------
    cells : of any slots; those that failed are left out.
    records : the records that all of them score.
    """
    by_row: dict[tuple[str, str], list[_Scored]] = {}
    for cell in cells:
        names = [*cell.scores] if cell.slot.row == BASELINES else ["int8"]
        for score in names if cell.error is None else ():
            row = score if cell.slot.row == BASELINES else cell.slot.row
            by_row.setdefault((row, cell.slot.leads), []).append(_Scored(cell, score))
    measures = Measures(records)
    rows = [measures.row(*key, scored) for key, scored in by_row.items()]
    hold_outs = {(row.leads, hold_out) for row in rows for hold_out in row.n_seeds}
    for leads in dict.fromkeys(row.leads for row in rows):
        rows.append(measures.age(leads, [h for h in HOLD_OUTS if (leads, h) in hold_outs]))
    return rows


class Measures:
    """Measures rows on one list of test records.

    Parameters
    ----------
    records : who was tested.
    """

    def __init__(self, records: ScoredRecords) -> None:
        self._records = records
        self._known: dict[tuple[Any, ...], tuple[Sampled, Sampled, Sampled]] = {}

    def row(self, name: str, leads: str, scored: Sequence[_Scored]) -> RowFigures:
        """Return the figures of one row.

        Parameters
        ----------
        scored : one a held-out class and seed.
        """
        is_family = scored[0].cell.slot.row != BASELINES
        by_class = {
            hold_out: found
            for hold_out in HOLD_OUTS
            if (found := [s for s in scored if s.cell.slot.hold_out == hold_out])
        }
        return RowFigures(
            name=name,
            leads=leads,
            is_family=is_family,
            n_seeds={hold_out: len(found) for hold_out, found in by_class.items()},
            **self._rankings(by_class),
            **self._rejects(by_class),
            **(self._int8(by_class) if is_family else {"auroc_float": {}, "auroc_lost": {}}),
            groups={group: self._group(by_class, group) for group in PATIENT_GROUPS},
            noise=self._noise(by_class),
            cost=_cost(scored) if is_family else {},
        )

    def age(self, leads: str, hold_outs: Sequence[str]) -> RowFigures:
        """Return the row of the patient's age as a score, which no threshold is fitted for.

        Records without an age are left out of it.
        """
        records = self._records
        aged = np.isfinite(records.ages)
        bootstrap = _bootstrap(tuple(records.subject_ids.tolist()))

        def rankings(variant: str, against: str) -> list[ByClass]:
            found = {}
            for hold_out in hold_outs:
                groups = group_windows(records.labels, hold_out)
                chosen = groups.of_variant(variant) & aged
                found[hold_out] = bootstrap.sampled_ranking(
                    records.ages, groups.unseen & chosen, groups.against(against) & chosen
                )
            return [_estimates({h: figures[i] for h, figures in found.items()}) for i in range(3)]

        _, auprc, fpr = rankings("multi_label", "all")
        return RowFigures(
            name="age",
            leads=leads,
            is_family=False,
            n_seeds=dict.fromkeys(hold_outs, 1),
            auroc={v: {a: rankings(v, a)[0] for a in AGAINST} for v in VARIANTS},
            auprc=auprc,
            fpr_at_95tpr=fpr,
            base_rate={},
            true_rejects={variant: {} for variant in VARIANTS},
            false_rejects={},
            false_rejects_noisy={},
            auroc_float={},
            auroc_lost={},
            groups={},
            noise=(),
        )

    def _rankings(self, by_class: dict[str, list[_Scored]]) -> dict[str, Any]:
        def figure(variant: str, against: str, which: int) -> ByClass:
            return self._by_class(
                by_class, lambda s: self._ranking(s, s.score, variant, against)[which]
            )

        rates = {}
        for hold_out, found in by_class.items():
            groups = self._groups(found[0])
            n_unseen, n_known = groups.unseen.sum(), groups.in_distribution.sum()
            rates[hold_out] = float(n_unseen / (n_unseen + n_known))
        return {
            "auroc": {v: {a: figure(v, a, 0) for a in AGAINST} for v in VARIANTS},
            "auprc": figure("multi_label", "all", 1),
            "fpr_at_95tpr": figure("multi_label", "all", 2),
            "base_rate": rates,
        }

    def _rejects(self, by_class: dict[str, list[_Scored]]) -> dict[str, Any]:
        def rejected(mask_of: Callable[[_Scored], BoolArray]) -> ByClass:
            return self._by_class(
                by_class, lambda s: self._bootstrap(s).sampled_rate(s.rejected, mask_of(s))
            )

        def unseen(variant: str) -> ByClass:
            return rejected(lambda s: self._groups(s).unseen & self._groups(s).of_variant(variant))

        def known(clean: bool) -> ByClass:
            return rejected(
                lambda s: (
                    self._groups(s).in_distribution
                    & (self._per_window(s, self._records.clean) == clean)
                )
            )

        return {
            "true_rejects": {variant: unseen(variant) for variant in VARIANTS},
            "false_rejects": known(clean=True),
            "false_rejects_noisy": known(clean=False),
        }

    def _int8(self, by_class: dict[str, list[_Scored]]) -> dict[str, Any]:
        def lost(s: _Scored) -> Sampled:
            of_float, of_int8 = (
                self._ranking(s, score, "multi_label", "all")[0] for score in ("float", "int8")
            )
            if of_float.value is None or of_int8.value is None:
                return of_int8
            return Sampled(
                value=of_float.value - of_int8.value,
                draws=of_float.draws - of_int8.draws,
                n=of_int8.n,
                n_patients=of_int8.n_patients,
            )

        return {
            "auroc_float": self._by_class(
                by_class, lambda s: self._ranking(s, "float", "multi_label", "all")[0]
            ),
            "auroc_lost": self._by_class(by_class, lost),
        }

    def _group(self, by_class: dict[str, list[_Scored]], group: str) -> PatientGroup:
        def masked(s: _Scored) -> tuple[BoolArray, BoolArray]:
            inside, groups = self._in_group(s, group), self._groups(s)
            return groups.unseen & inside, groups.in_distribution & inside

        def rate(s: _Scored, which: int) -> Sampled:
            among = masked(s)[which]
            if which == 1:
                among = among & self._per_window(s, self._records.clean)
            return self._bootstrap(s).sampled_rate(s.rejected, among)

        return PatientGroup(
            auroc=self._by_class(
                by_class,
                lambda s: self._bootstrap(s).sampled_ranking(_scores(s.ranked.test), *masked(s))[0],
            ),
            true_rejects=self._by_class(by_class, lambda s: rate(s, 0)),
            false_rejects=self._by_class(by_class, lambda s: rate(s, 1)),
        )

    def _noise(self, by_class: dict[str, list[_Scored]]) -> tuple[Noise, ...]:
        first = next(iter(by_class.values()))[0].cell
        found = []
        conditions = [(k, snr) for k in first.noise_kinds for snr in first.noise_snr_db]
        for i, (kind, snr_db) in enumerate(conditions):
            pairs = [[self._noisy(s, i) for s in scored] for scored in by_class.values()]
            auroc, rejected = (
                mean_of([mean_of([pair[which] for pair in of_class]) for of_class in pairs])
                for which in (0, 1)
            )
            found.append(Noise(kind, snr_db, auroc.estimate(), rejected.estimate()))
        return tuple(found)

    def _noisy(self, s: _Scored, condition: int) -> tuple[Sampled, Sampled]:
        """Return AUROC and rejected share of one condition's windows."""
        rows, n_test = np.array(s.cell.noise_of), len(s.ranked.test)
        per_record = n_test // len(self._records.record_ids)
        noisy = s.ranked.noisy[condition]
        scores = np.concatenate([s.ranked.test, noisy])
        positive = np.arange(len(scores)) >= n_test
        negative = np.zeros(len(scores), np.bool_)
        negative[rows * per_record] = True
        subjects = self._per_window(s, self._records.subject_ids)
        bootstrap = _bootstrap((*subjects.tolist(), *self._records.subject_ids[rows].tolist()))
        auroc = bootstrap.sampled_ranking(_scores(scores), positive, negative)[0]
        return auroc, bootstrap.sampled_rate(scores > s.ranked.threshold, positive)

    def _by_class(
        self, by_class: dict[str, list[_Scored]], figure: Callable[[_Scored], Sampled]
    ) -> ByClass:
        """Return a figure averaged over the seeds of each class, and over the classes."""
        return _estimates({h: mean_of([figure(s) for s in found]) for h, found in by_class.items()})

    def _ranking(
        self, s: _Scored, score: str, variant: str, against: str
    ) -> tuple[Sampled, Sampled, Sampled]:
        key = (s.cell.slot, score, variant, against)
        if key not in self._known:
            groups = self._groups(s)
            chosen = groups.of_variant(variant)
            self._known[key] = self._bootstrap(s).sampled_ranking(
                _scores(s.cell.scores[score].test),
                groups.unseen & chosen,
                groups.against(against) & chosen,
            )
        return self._known[key]

    def _groups(self, s: _Scored) -> Groups:
        labels = self._per_window(s, self._records.labels)
        return group_windows(labels, s.cell.slot.hold_out)

    def _in_group(self, s: _Scored, group: str) -> BoolArray:
        if group in AGE_BANDS:
            low, high = AGE_BANDS[group]
            ages = self._per_window(s, self._records.ages)
            return np.asarray((ages >= low) & (ages < high))
        return np.asarray(self._per_window(s, self._records.sexes) == group)

    def _bootstrap(self, s: _Scored) -> PatientBootstrap:
        subjects: StrArray = self._per_window(s, self._records.subject_ids)
        return _bootstrap(tuple(subjects.tolist()))

    def _per_window(self, s: _Scored, values: Any) -> Any:
        """Return what is known of the records for each of their windows."""
        return np.repeat(values, len(s.ranked.test) // len(self._records.record_ids), axis=0)


@lru_cache(maxsize=16)
def _bootstrap(subject_ids: tuple[str, ...]) -> PatientBootstrap:
    """Return the bootstrap of these patients; its draws depend on who they are alone."""
    return PatientBootstrap(np.array(subject_ids))


def _estimates(sampled: dict[str, Sampled]) -> ByClass:
    """Return the estimate of every class, and of their mean where all are there."""
    estimates = {hold_out: figure.estimate() for hold_out, figure in sampled.items()}
    if len(sampled) == len(HOLD_OUTS):
        estimates[MEAN] = mean_of([*sampled.values()]).estimate()
    return estimates


def _scores(ranks: Int64Array) -> Any:
    return ranks.astype(np.float64)


def _cost(scored: Sequence[_Scored]) -> dict[str, Any]:
    details = [s.cell.details for s in scored]
    names = ("n_parameters", "macs_per_window", "blob_bytes", "arena_bytes", "execution")
    cost = {name: details[0][name] for name in names}
    return {**cost, "training_s": float(np.median([d["training_s"] for d in details]))}
