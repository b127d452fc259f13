"""All that is written down about a table, and the words its parts share."""

from dataclasses import dataclass
from functools import cached_property

from datasets.groups import Groups, group_windows

from ..detectors import DETECTORS
from .cells import Cell, ScoredRecords
from .execution import summary
from .measures import AGE
from .rows import MEAN, RowFigures
from .study import BASELINES, HOLD_OUTS, LEADS, Slot

COLUMNS = (*HOLD_OUTS, MEAN)
PUBLISHED = {
    "Deep SVDD, published": {"HYP": 0.798, "CD": 0.769, "MI": 0.692, "STTC": 0.678},
    "normalizing flow, published": {"HYP": 0.811, "CD": 0.723},
}
PUBLISHED_SOURCE = (
    "Ibrahim, Meijer, Schlaefer, Stelldinger, arXiv:2510.26501, AUROC as quoted from it; leads, "
    "window, test records and the rule for records of several classes are not known"
)
BASELINES_ABOUT = {
    "amplitude": "largest absolute value of any lead",
    "signal_quality": "Mahalanobis distance of signal-quality indices",
    "pca": "what 64 principal components of whole windows leave over",
    "spectrum": "Mahalanobis distance of log spectra",
    "hand_features": "Mahalanobis distance of spectra, quantiles, autocorrelation, correlations",
    "softmax": "diagnostic classifier, which is trained on labels: 1 - largest probability",
    "energy": "diagnostic classifier: joint energy",
    "not_norm": "diagnostic classifier: 1 - P(NORM), which rejects the sick first",
    "age": "the patient's age, which has not seen the ECG",
}
LEADS_TITLES = {"12": "12 leads", "I": "lead I", "I+II": "leads I and II"}
DEPENDENT_LEADS = ("12",)
"""Sets that hold leads which are sums of others (III = II - I): noise added lead by lead breaks
that, which noise at an electrode does not."""
AGAINST_TITLES = {"all": "all ID", "norm": "NORM only", "abnormal": "abnormal ID"}
VARIANT_TITLES = {"multi_label": "multi-label", "single_label": "single-label"}
NOISE_TITLES = {
    "baseline_wander": "baseline wander (bw)",
    "muscle": "muscle (ma)",
    "electrode_motion": "electrode motion (em)",
}
ORDER = (*DETECTORS, *BASELINES_ABOUT)


def families_about() -> dict[str, str]:
    """Return what each family is, in the first line of its module."""
    return {
        name: (module.__doc__ or "").partition("\n")[0].rstrip(".")
        for name, module in DETECTORS.items()
    }


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what must be known to read the table, and the table, its first column names.

    Text, points and cells may hold *words* to be emphasised.

    Parameters
    ----------
    points : sentences, a line each, between the text and the table.
    """

    title: str
    text: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
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
        return sorted(found, key=lambda row: (not row.is_family, ORDER.index(row.name)))

    def families_of(self, leads: str) -> list[RowFigures]:
        """Return the rows of the families on one set of leads."""
        return [row for row in self.rows_of(leads) if row.is_family]

    @property
    def leads(self) -> list[str]:
        """The sets of leads there are rows of."""
        return [leads for leads in LEADS if self.rows_of(leads)]

    @cached_property
    def groups(self) -> dict[str, Groups]:
        """Who of the records is what, by held-out class."""
        return {h: group_windows(self.records.labels, h) for h in HOLD_OUTS}

    @property
    def counts(self) -> str:
        """How many cells are in which state, in words."""
        return f"{summary(self.states)} of {len(self.states)}"

    def name(self, row: RowFigures) -> str:
        """Return what a row is called, with its notes."""
        notes = self.notes(row)
        return f"{row.name} ({notes})" if notes else row.name

    def notes(self, row: RowFigures) -> str:
        """Return how many seeds a row has, if several, and that a cell of it is stale."""
        seeds = sorted(set(row.n_seeds.values()))
        notes = []
        if row.is_family and seeds != [1]:
            notes.append(f"{'-'.join(map(str, seeds))} seeds")
        cells_of = row.name if row.is_family else BASELINES
        of_row = {s for slot, s in self.states.items() if _is_of(slot, cells_of, row.leads)}
        if "stale" in of_row and row.name != AGE:
            notes.append("*stale*")
        return ", ".join(notes)


def _is_of(slot: Slot, row: str, leads: str) -> bool:
    return (slot.row, slot.leads) == (row, leads)
