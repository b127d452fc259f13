"""Which windows are unseen and which in distribution, and what they are compared with."""

from dataclasses import dataclass

import numpy as np

from .records import SUPERCLASSES, BoolArray, Int64Array

AGAINST = ("all", "norm", "abnormal")
VARIANTS = ("multi_label", "single_label")

DEFINITIONS = {
    "Unseen": "A window is unseen when its record carries the held-out superclass, alone or "
    "beside others.",
    "In distribution (ID)": "A window is in distribution when its record carries at least one "
    "superclass and not the held-out one. Records without any superclass are in no figure but "
    "rejected and labels.",
    "Multi-label, single-label": "Multi-label: all records. Single-label: only records with "
    "exactly one superclass.",
    "Against": "Unseen windows are compared with all ID windows, with those whose only superclass "
    "is NORM, and with the abnormal ones (ID without NORM).",
    "AUROC, AUPRC, FPR at 95 % TPR": "AUROC: how often an unseen window scores higher than an ID "
    "window; 0.5 is chance. AUPRC: average precision; chance gets the share of unseen windows. "
    "FPR at 95 % TPR: the share of ID windows rejected by the threshold that rejects 95 % of the "
    "unseen ones.",
}
"""What the groups and the figures on them mean, in plain words."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which windows are what; bool (n_windows,) each, defined in `DEFINITIONS`.

    Parameters
    ----------
    labelled : the record carries a superclass; single : exactly one.
    unseen, in_distribution : they part `labelled` in two.
    norm, abnormal : in distribution and nothing but NORM; in distribution without NORM.
    row_names : in-distribution superclasses, "several", "unseen (HYP)": rows of the confusion.
    rows : int64 (n_windows,), index into `row_names`, -1 where the record carries no superclass.
    """

    labelled: BoolArray
    single: BoolArray
    unseen: BoolArray
    in_distribution: BoolArray
    norm: BoolArray
    abnormal: BoolArray
    row_names: tuple[str, ...]
    rows: Int64Array

    def of_variant(self, variant: str) -> BoolArray:
        """Return the windows that a variant of the labels counts, one of `VARIANTS`."""
        return self.single if variant == "single_label" else self.labelled

    def against(self, name: str) -> BoolArray:
        """Return the in-distribution windows that unseen ones are compared with, by `AGAINST`."""
        return {"all": self.in_distribution, "norm": self.norm, "abnormal": self.abnormal}[name]


def group_windows(labels: BoolArray, hold_out: str | None) -> Groups:
    """Return which windows are unseen and which in distribution, and so on.

    Parameters
    ----------
    labels : bool (n_windows, 5), the superclasses of a window's record in order of `SUPERCLASSES`.
    hold_out : the superclass that is unseen, or None.
    """
    n_carried = labels.sum(axis=1)
    labelled, single = n_carried > 0, n_carried == 1
    unseen = np.zeros(len(labels), np.bool_)
    if hold_out is not None:
        unseen = labels[:, SUPERCLASSES.index(hold_out)]
    in_distribution = labelled & ~unseen
    carries_norm = labels[:, SUPERCLASSES.index("NORM")]
    names = [name for name in SUPERCLASSES if name != hold_out]
    rows = np.full(len(labels), -1, np.int64)
    for row, name in enumerate(names):
        rows[in_distribution & single & labels[:, SUPERCLASSES.index(name)]] = row
    rows[in_distribution & ~single] = len(names)
    rows[unseen] = len(names) + 1
    last = ("several",) if hold_out is None else ("several", f"unseen ({hold_out})")
    return Groups(
        labelled=labelled,
        single=single,
        unseen=unseen,
        in_distribution=in_distribution,
        norm=in_distribution & single & carries_norm,
        abnormal=in_distribution & ~carries_norm,
        row_names=(*names, *last),
        rows=rows,
    )
