"""What is measured of a row of the table, as types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets.bootstrap import Estimate

MEAN = "mean"
"""The held-out classes averaged, where a row has all of them."""

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
    """The windows of one sex or age band; `false_rejects` counts the clean ID ones."""

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
    auroc_by_seed : by seed, by class: points of the multi-label AUROC against all ID.
    margins : of a family, by baseline: its AUROC less the baseline's, multi-label against all ID,
        draw by draw on the same records.
    auprc, fpr_at_95tpr, base_rate : multi-label against all ID.
    true_rejects : by variant; false_rejects : of clean windows by which ID they are;
        false_rejects_noisy : of ID windows with a remark of noise by the data set's authors.
    auroc_float, auroc_lost : of the float network, and what int8 costs of it; empty for baselines.
    groups : by `measures.PATIENT_GROUPS`, multi-label against all ID.
    noise : conditions in order, those that all cells of the row have; noise_free_rejected : share
        of the same windows rejected without noise, None where there are no conditions.
    cost : parameters, MACs, bytes, seconds of training; empty for baselines.
    """

    name: str
    leads: str
    is_family: bool
    n_seeds: dict[str, int]
    auroc: dict[str, dict[str, ByClass]]
    auprc: ByClass
    fpr_at_95tpr: ByClass
    base_rate: dict[str, float] = field(default_factory=dict)
    auroc_by_seed: dict[str, dict[str, float]] = field(default_factory=dict)
    margins: dict[str, ByClass] = field(default_factory=dict)
    true_rejects: dict[str, ByClass] = field(default_factory=dict)
    false_rejects: dict[str, ByClass] = field(default_factory=dict)
    false_rejects_noisy: ByClass = field(default_factory=dict)
    auroc_float: ByClass = field(default_factory=dict)
    auroc_lost: ByClass = field(default_factory=dict)
    groups: dict[str, PatientGroup] = field(default_factory=dict)
    noise: tuple[Noise, ...] = ()
    noise_free_rejected: Estimate | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> Estimate | None:
        """The mean multi-label AUROC against all ID; None where a class is missing."""
        return self.auroc["multi_label"]["all"].get(MEAN)
