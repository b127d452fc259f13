"""The figures of the table, each with its interval, from the ranks that the cells keep.

Several seeds of a row are averaged figure by figure, and so are the four held-out classes: the test
records are the same for all of them, so every average has an interval of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from datasets.bootstrap import Estimate, PatientBootstrap, Sampled, mean_of
from datasets.groups import AGAINST, VARIANTS, Groups, group_windows
from datasets.records import BoolArray, Int64Array, StrArray

from .cells import Cell, Ranked, ScoredRecords
from .rows import MEAN, ByClass, Noise, PatientGroup, RowFigures
from .study import BASELINES, HOLD_OUTS

AGE = "age"
"""The row of the patient's age, which needs no cell."""
AGE_BANDS = {"under 50": (0.0, 50.0), "50 to 69": (50.0, 70.0), "70 and over": (70.0, np.inf)}
PATIENT_GROUPS = ("female", "male", *AGE_BANDS)
USUAL = ("multi_label", "all")
"""Variant and what unseen windows are compared with, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """One score of one cell."""

    cell: Cell
    score: str

    @property
    def ranked(self) -> Ranked:
        return self.cell.scores[self.score]

    @property
    def is_baseline(self) -> bool:
        return self.cell.slot.row == BASELINES

    @property
    def conditions(self) -> list[tuple[str, float]]:
        """The kinds of noise by their SNRs, in order of `Ranked.noisy`."""
        return [(k, snr) for k in self.cell.noise_kinds for snr in self.cell.noise_snr_db]

    @property
    def rejected(self) -> BoolArray:
        return self.ranked.test > self.ranked.threshold


def measure_rows(cells: Sequence[Cell], records: ScoredRecords) -> list[RowFigures]:
    """Return every row that has a cell with scores, and the patient's age for each set of leads.

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
    rows = []
    for (name, leads), scored in by_row.items():
        baselines = {
            other: found
            for (other, others_leads), found in by_row.items()
            if others_leads == leads and found[0].is_baseline
        }
        rows.append(measures.row(name, leads, scored, baselines))
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
        self._aged = np.isfinite(records.ages)
        self._known: dict[tuple[Any, ...], tuple[Sampled, Sampled, Sampled]] = {}

    def row(
        self,
        name: str,
        leads: str,
        scored: Sequence[_Scored],
        baselines: Mapping[str, Sequence[_Scored]],
    ) -> RowFigures:
        """Return the figures of one row.

        Parameters
        ----------
        scored : one a held-out class and seed; baselines : the same of every baseline on these
            leads, which a family is compared with.
        """
        by_class = _per_class(scored)
        is_family = not scored[0].is_baseline
        return RowFigures(
            name=name,
            leads=leads,
            is_family=is_family,
            n_seeds={hold_out: len(found) for hold_out, found in by_class.items()},
            **self._rankings(by_class),
            **self._rejects(by_class),
            groups={group: self._group(by_class, group) for group in PATIENT_GROUPS},
            **self._noise(by_class),
            **(self._family(by_class, baselines) if is_family else {}),
        )

    def age(self, leads: str, hold_outs: Sequence[str]) -> RowFigures:
        """Return the row of the patient's age as a score, which no threshold is fitted for.

        Records without an age are left out of it.
        """

        def figure(variant: str, against: str, which: int) -> ByClass:
            rankings = {h: self._age_ranking(h, variant, against) for h in hold_outs}
            return _estimates({h: ranking[which] for h, ranking in rankings.items()})

        return RowFigures(
            name=AGE,
            leads=leads,
            is_family=False,
            n_seeds=dict.fromkeys(hold_outs, 1),
            auroc={v: {a: figure(v, a, 0) for a in AGAINST} for v in VARIANTS},
            auprc=figure("multi_label", "all", 1),
            fpr_at_95tpr=figure("multi_label", "all", 2),
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

        def known(against: str, clean: bool) -> ByClass:
            return rejected(
                lambda s: (
                    self._groups(s).against(against)
                    & (self._per_window(s, self._records.clean) == clean)
                )
            )

        return {
            "true_rejects": {variant: unseen(variant) for variant in VARIANTS},
            "false_rejects": {against: known(against, clean=True) for against in AGAINST},
            "false_rejects_noisy": known("all", clean=False),
        }

    def _family(
        self,
        by_class: dict[str, list[_Scored]],
        baselines: Mapping[str, Sequence[_Scored]],
    ) -> dict[str, Any]:
        """Return what is measured of families alone."""
        scored = [s for found in by_class.values() for s in found]
        return {
            "auroc_by_seed": self._by_seed(scored),
            "margins": self._margins(by_class, baselines),
            "auroc_float": self._by_class(by_class, lambda s: self._auroc(s, "float")),
            "auroc_lost": self._by_class(
                by_class, lambda s: _less(self._auroc(s, "float"), self._auroc(s, "int8"))
            ),
            "cost": _cost(scored),
        }

    def _by_seed(self, scored: Sequence[_Scored]) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for s in sorted(scored, key=lambda s: s.cell.slot.seed):
            value = self._auroc(s, s.score).value
            if value is not None:
                found.setdefault(str(s.cell.slot.seed), {})[s.cell.slot.hold_out] = value
        for by_class in found.values():
            if len(by_class) == len(HOLD_OUTS):
                by_class[MEAN] = float(np.mean([*by_class.values()]))
        return found

    def _margins(
        self,
        by_class: dict[str, list[_Scored]],
        baselines: Mapping[str, Sequence[_Scored]],
    ) -> dict[str, ByClass]:
        """Return by how much a family's AUROC exceeds each baseline's, in the classes both have."""
        margins = {}
        for name, scored in baselines.items():
            others = _per_class(scored)
            margins[name] = _estimates(
                {
                    hold_out: _less(
                        mean_of([self._auroc(s, s.score) for s in found]),
                        mean_of([self._auroc(s, s.score) for s in others[hold_out]]),
                    )
                    for hold_out, found in by_class.items()
                    if hold_out in others
                }
            )
        margins[AGE] = _estimates(
            {
                hold_out: _less(
                    mean_of([self._ranking(s, s.score, *USUAL, aged=True)[0] for s in found]),
                    self._age_ranking(hold_out, *USUAL)[0],
                )
                for hold_out, found in by_class.items()
            }
        )
        return margins

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

    def _noise(self, by_class: dict[str, list[_Scored]]) -> dict[str, Any]:
        scored = [s for found in by_class.values() for s in found]
        conditions = [c for c in scored[0].conditions if all(c in s.conditions for s in scored)]

        def mean(figure: Callable[[_Scored], Sampled]) -> Estimate:
            of_classes = [mean_of([figure(s) for s in found]) for found in by_class.values()]
            return mean_of(of_classes).estimate()

        def of_condition(condition: tuple[str, float]) -> Noise:
            noisy = {id(s): self._noisy(s, s.conditions.index(condition)) for s in scored}
            auroc = mean(lambda s: noisy[id(s)][0])
            return Noise(*condition, auroc, mean(lambda s: noisy[id(s)][1]))

        def rejected_clean(s: _Scored) -> Sampled:
            return self._bootstrap(s).sampled_rate(s.rejected, self._noise_free(s))

        return {
            "noise": tuple(map(of_condition, conditions)),
            "noise_free_rejected": mean(rejected_clean) if conditions else None,
        }

    def _noise_free(self, s: _Scored) -> BoolArray:
        """Return which windows noise was added to: the first of each record in `noise_of`."""
        mask = np.zeros(len(s.ranked.test), np.bool_)
        mask[np.array(s.cell.noise_of) * (len(mask) // len(self._records.record_ids))] = True
        return mask

    def _noisy(self, s: _Scored, condition: int) -> tuple[Sampled, Sampled]:
        """Return AUROC and rejected share of one condition's windows."""
        noisy, n_test = s.ranked.noisy[condition], len(s.ranked.test)
        scores = np.concatenate([s.ranked.test, noisy])
        positive = np.arange(len(scores)) >= n_test
        negative = np.concatenate([self._noise_free(s), np.zeros(len(noisy), np.bool_)])
        subjects = self._per_window(s, self._records.subject_ids)
        of_noisy = self._records.subject_ids[np.array(s.cell.noise_of)]
        bootstrap = _bootstrap((*subjects.tolist(), *of_noisy.tolist()))
        auroc = bootstrap.sampled_ranking(_scores(scores), positive, negative)[0]
        return auroc, bootstrap.sampled_rate(scores > s.ranked.threshold, positive)

    def _by_class(
        self, by_class: dict[str, list[_Scored]], figure: Callable[[_Scored], Sampled]
    ) -> ByClass:
        """Return a figure averaged over the seeds of each class, and over the classes."""
        return _estimates({h: mean_of([figure(s) for s in found]) for h, found in by_class.items()})

    def _auroc(self, s: _Scored, score: str) -> Sampled:
        return self._ranking(s, score, *USUAL)[0]

    def _ranking(
        self, s: _Scored, score: str, variant: str, against: str, aged: bool = False
    ) -> tuple[Sampled, Sampled, Sampled]:
        """Return AUROC, AUPRC and FPR at 95 % TPR; `aged`: of records whose age is known."""
        key = (s.cell.slot, score, variant, against, aged and not self._aged.all())
        if key not in self._known:
            groups = self._groups(s)
            chosen = groups.of_variant(variant)
            if aged:
                chosen = chosen & self._per_window(s, self._aged)
            self._known[key] = self._bootstrap(s).sampled_ranking(
                _scores(s.cell.scores[score].test),
                groups.unseen & chosen,
                groups.against(against) & chosen,
            )
        return self._known[key]

    def _age_ranking(
        self, hold_out: str, variant: str, against: str
    ) -> tuple[Sampled, Sampled, Sampled]:
        key = (AGE, hold_out, variant, against)
        if key not in self._known:
            records = self._records
            groups = group_windows(records.labels, hold_out)
            chosen = groups.of_variant(variant) & self._aged
            bootstrap = _bootstrap(tuple(records.subject_ids.tolist()))
            self._known[key] = bootstrap.sampled_ranking(
                records.ages, groups.unseen & chosen, groups.against(against) & chosen
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


def _per_class(scored: Sequence[_Scored]) -> dict[str, list[_Scored]]:
    """Return what there is of each held-out class, in their order."""
    return {
        hold_out: found
        for hold_out in HOLD_OUTS
        if (found := [s for s in scored if s.cell.slot.hold_out == hold_out])
    }


def _less(one: Sampled, other: Sampled) -> Sampled:
    """Return `one` minus `other`, draw by draw."""
    value = None if one.value is None or other.value is None else one.value - other.value
    return Sampled(
        value=value,
        draws=one.draws - other.draws,
        n=one.n,
        n_patients=one.n_patients,
    )


def _scores(ranks: Int64Array) -> Any:
    return ranks.astype(np.float64)


def _cost(scored: Sequence[_Scored]) -> dict[str, Any]:
    details = [s.cell.details for s in scored]
    names = ("n_parameters", "macs_per_window", "blob_bytes", "arena_bytes", "execution")
    cost = {name: details[0][name] for name in names}
    return {
        **cost,
        "spearman_int8_float": min(d["spearman_int8_float"] for d in details),
        "training_s": float(np.median([d["training_s"] for d in details])),
    }
