"""Rates with intervals: patients, not windows, are what is drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from .records import BoolArray, FloatArray, Int64Array, StrArray

Float32Array = npt.NDArray[np.float32]

TAIL = 0.025  # each side of a 95 % interval
TPR_REQUIRED = 0.95
CHUNK_ELEMENTS = 1 << 19  # resamples x windows held at once
N_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval and what it rests on.

    Parameters
    ----------
    value : None where there is no window to measure on.
    low, high : ends of the interval; None where too few patients make one.
    n, n_patients : windows, and patients they come from.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_patients: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well a score ranks positive windows above negative ones.

    Parameters
    ----------
    auroc : area under the ROC curve; 0.5 = no better than chance.
    auprc : average precision; `base_rate`, the share of positives, is what chance gets.
    fpr_at_95tpr : false positive rate at the highest threshold that reaches 95 % true positives.
    n_positive, n_negative : windows.
    """

    auroc: Estimate
    auprc: Estimate
    fpr_at_95tpr: Estimate
    base_rate: float | None
    n_positive: int
    n_negative: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """A figure on the windows themselves and on every draw of patients.

    Figures of one bootstrap may be averaged and subtracted draw by draw.

    Parameters
    ----------
    value : None where there is no window to measure on.
    draws : float (n_resamples,), NaN in a draw that lacks what the figure needs.
    n, n_patients : as in `Estimate`.
    """

    value: float | None
    draws: FloatArray
    n: int
    n_patients: int

    def estimate(self) -> Estimate:
        """Return the figure with its interval."""
        usable = self.draws[np.isfinite(self.draws)]
        if self.value is None or self.n_patients < 2 or not len(usable):
            return Estimate(self.value, None, None, self.n, self.n_patients)
        low, high = np.quantile(usable, (TAIL, 1 - TAIL))
        if low == high:  # no draw differs: the bootstrap cannot say how sure that is
            return Estimate(self.value, None, None, self.n, self.n_patients)
        return Estimate(self.value, float(low), float(high), self.n, self.n_patients)


def mean_of(figures: Sequence[Sampled]) -> Sampled:
    """Return the mean of figures of one bootstrap; it has no value where one of them has none.

    Its counts are those of the figure that rests on most windows.
    """
    values = [figure.value for figure in figures if figure.value is not None]
    most = max(figures, key=lambda figure: figure.n)
    return Sampled(
        value=float(np.mean(values)) if len(values) == len(figures) else None,
        draws=np.mean([figure.draws for figure in figures], axis=0),
        n=most.n,
        n_patients=most.n_patients,
    )


class PatientBootstrap:
    """95 % percentile intervals from resampling patients with replacement.

    Windows of one patient resemble one another, so a patient is drawn with all of its windows. All
    figures of one instance are computed on the same draws, which makes differences paired.

    Parameters
    ----------
    subject_ids : str array (n_windows,).
    seed : of the draws; equal input and seed, equal intervals.
    n_resamples : number of draws.

    References
    ----------
    Efron and Tibshirani, *An introduction to the bootstrap*, 1993, chapter 13.

    Examples
    --------
    >>> bootstrap = PatientBootstrap(np.array(["a", "a", "b", "c"]))
    >>> bootstrap.rate(np.array([True, True, False, True]), np.ones(4, bool)).value
    0.75
    """

    def __init__(
        self, subject_ids: StrArray, seed: int = 0, n_resamples: int = N_RESAMPLES
    ) -> None:
        subjects, self._patient = np.unique(subject_ids, return_inverse=True)
        self._n_patients = len(subjects)
        rng = np.random.default_rng(seed)
        # float32: sums of whole numbers stay exact below 2^24, and a whole data set stays small
        self._draws = np.empty((n_resamples, self._n_patients), np.float32)
        for row in self._draws:
            drawn = rng.integers(self._n_patients, size=self._n_patients)
            row[:] = np.bincount(drawn, minlength=self._n_patients)

    def rate(self, hit: BoolArray, among: BoolArray) -> Estimate:
        """Return the share of the windows of `among` that are in `hit`.

        Where all windows agree no draw can differ; the interval is then the exact binomial one
        with patients as trials (Clopper and Pearson 1934), instead of one without width.
        """
        n, n_patients = self._counts(among)
        if n == 0:
            return Estimate(None, None, None, 0, 0)
        value = float((hit & among).sum() / n)
        if value in (0.0, 1.0):
            exact = stats.binomtest(round(value) * n_patients, n_patients).proportion_ci(0.95)
            return Estimate(value, float(exact.low), float(exact.high), n, n_patients)
        return self.sampled_rate(hit, among).estimate()

    def sampled_rate(self, hit: BoolArray, among: BoolArray) -> Sampled:
        """Return the share of `rate` with its draws."""
        n, n_patients = self._counts(among)
        value = float((hit & among).sum() / n) if n else None
        return Sampled(value, self._rates(hit, among), n, n_patients)

    def gain_points(self, hit: BoolArray, before: BoolArray, after: BoolArray) -> Estimate:
        """Return the rate of `hit` among `after` less that among `before`, in percentage points."""
        n, n_patients = self._counts(before)
        if n == 0 or not after.any():
            return Estimate(None, None, None, n, n_patients)
        value = 100 * float(hit[after].mean() - hit[before].mean())
        draws = 100 * (self._rates(hit, after) - self._rates(hit, before))
        return Sampled(value, draws, n, n_patients).estimate()

    def ranking(self, scores: FloatArray, positive: BoolArray, negative: BoolArray) -> Ranking:
        """Return how well `scores` (n_windows,) rank `positive` windows above `negative` ones.

        Windows in neither are left out. Point values are scikit-learn's.
        """
        auroc, auprc, fpr_at_95tpr = self.sampled_ranking(scores, positive, negative)
        n_positive, n_negative = int(positive.sum()), int(negative.sum())
        return Ranking(
            auroc=auroc.estimate(),
            auprc=auprc.estimate(),
            fpr_at_95tpr=fpr_at_95tpr.estimate(),
            base_rate=None if auroc.value is None else n_positive / auroc.n,
            n_positive=n_positive,
            n_negative=n_negative,
        )

    def sampled_ranking(
        self, scores: FloatArray, positive: BoolArray, negative: BoolArray
    ) -> tuple[Sampled, Sampled, Sampled]:
        """Return AUROC, AUPRC and FPR at 95 % TPR of `ranking` with their draws."""
        chosen = positive | negative
        n, n_patients = self._counts(chosen)
        if not (positive.any() and negative.any()):
            nothing = Sampled(None, np.full(len(self._draws), np.nan), n, n_patients)
            return nothing, nothing, nothing
        x, y = scores[chosen], positive[chosen]
        fpr, tpr, _ = roc_curve(y, x, drop_intermediate=False)
        values = (
            float(roc_auc_score(y, x)),
            float(average_precision_score(y, x)),
            float(fpr[np.argmax(tpr >= TPR_REQUIRED)]),
        )
        draws = self._ranking_draws(x, y, self._patient[chosen])
        if min(self._counts(positive)[1], self._counts(negative)[1]) < 2:
            draws = np.full_like(draws, np.nan)  # one patient is no sample of their class
        auroc, auprc, fpr_at_95tpr = (
            Sampled(value, column, n, n_patients)
            for value, column in zip(values, draws.T, strict=True)
        )
        return auroc, auprc, fpr_at_95tpr

    def _ranking_draws(self, x: FloatArray, y: BoolArray, patient: Int64Array) -> FloatArray:
        """Return `ranking_metrics` of every draw, a few draws at a time."""
        order = np.argsort(-x, kind="stable")
        positive, negative = order[y[order]], order[~y[order]]
        n_rows = max(1, CHUNK_ELEMENTS // len(x))
        rows = (self._draws[i : i + n_rows] for i in range(0, len(self._draws), n_rows))
        return np.concatenate(
            [
                ranking_metrics(
                    x[positive],
                    x[negative],
                    draws.take(patient[positive], axis=1),
                    draws.take(patient[negative], axis=1),
                )
                for draws in rows
            ]
        )

    def _counts(self, among: BoolArray) -> tuple[int, int]:
        return int(among.sum()), len(np.unique(self._patient[among]))

    def _rates(self, hit: BoolArray, among: BoolArray) -> FloatArray:
        """Return the rate in every draw, NaN in a draw without such a window."""
        n, n_hit = (
            self._draws @ np.bincount(self._patient[mask], minlength=self._n_patients)
            for mask in (among, hit & among)
        )
        rates = np.full(len(n), np.nan)
        np.divide(n_hit, n, out=rates, where=n > 0)
        return rates


def ranking_metrics(
    positive: FloatArray, negative: FloatArray, w_positive: Float32Array, w_negative: Float32Array
) -> FloatArray:
    """Return AUROC, AUPRC and FPR at 95 % TPR for many weightings of the same windows.

    Equal to `roc_auc_score`, `average_precision_score` and `roc_curve` with `sample_weight`, for
    all weightings at once. All three need the counts at the positives' scores only.

    Parameters
    ----------
    positive, negative : float (n_positive,), (n_negative,), scores from high to low.
    w_positive, w_negative : float32 (n_resamples, n_positive), (n_resamples, n_negative), how often
        each window counts.

    Returns
    -------
    float (n_resamples, 3); NaN in a row that lacks a class.
    """
    n_positive = w_positive.sum(axis=1, dtype=np.float64)
    n_negative = w_negative.sum(axis=1, dtype=np.float64)
    passed = np.zeros((len(w_negative), len(negative) + 1), np.float32)
    np.cumsum(w_negative, axis=1, out=passed[:, 1:])
    # At each positive's score: false positives with and without the negatives that tie with it.
    fp = passed.take(np.searchsorted(-negative, -positive, side="right"), axis=1)
    fp_above = passed.take(np.searchsorted(-negative, -positive, side="left"), axis=1)
    last_tied = np.searchsorted(-positive, -positive, side="right") - 1
    tp = np.cumsum(w_positive, axis=1).take(last_tied, axis=1)
    metrics = np.full((len(w_positive), 3), np.nan)
    usable = (n_positive > 0) & (n_negative > 0)
    n_positive, n_negative = n_positive[usable], n_negative[usable]
    tp, fp, fp_above, w = tp[usable], fp[usable], fp_above[usable], w_positive[usable]
    misranked = np.einsum("rp,rp->r", w, fp + fp_above, dtype=np.float64) / 2
    metrics[usable, 0] = 1 - misranked / (n_positive * n_negative)
    precision = tp / np.maximum(tp + fp, 1)
    metrics[usable, 1] = np.einsum("rp,rp->r", w, precision, dtype=np.float64) / n_positive
    reached = np.argmax(tp / n_positive[:, np.newaxis] >= TPR_REQUIRED, axis=1)
    metrics[usable, 2] = fp[np.arange(len(fp)), reached] / n_negative
    return metrics
