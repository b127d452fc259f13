"""When a gate closes: a threshold with a guarantee, fitted on the scores of the shipped network."""

import math
from dataclasses import dataclass

import numpy as np

from datasets.records import Int64Array


@dataclass(frozen=True, slots=True)
class Threshold:
    """A window is rejected iff its integer score exceeds `value`.

    Parameters
    ----------
    value : the integer the C compares with.
    alpha : false-reject rate it was fitted for.
    n_calibration : clean in-distribution windows it was fitted on.
    """

    value: int
    alpha: float
    n_calibration: int


def fit_threshold(scores: Int64Array, alpha: float = 0.05) -> Threshold:
    """Return the split-conformal threshold: the ceil((n + 1)(1 - alpha))-th smallest score.

    A new window exchangeable with the calibration windows is rejected with probability at most
    `alpha`. Windows of one patient are not independent: calibrate with few a patient.

    Parameters
    ----------
    scores : int64 (n_windows,), of the int8 network on clean in-distribution windows.
    alpha : false-reject rate in (0, 1).

    Raises
    ------
    ValueError : alpha is out of range, or there are too few windows for it.

    References
    ----------
    Papadopoulos et al., *Inductive confidence machines for regression*, ECML 2002; Bates et al.,
    *Testing for outliers with conformal p-values*, Annals of Statistics 2023.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - alpha))
    if rank > n:
        raise ValueError(
            f"a threshold at alpha {alpha} needs at least {math.ceil(1 / alpha) - 1} "
            f"calibration windows, got {n}"
        )
    return Threshold(int(np.sort(scores)[rank - 1]), alpha, n)
