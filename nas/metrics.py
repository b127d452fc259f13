"""Figures about a trained network, through scikit-learn."""

import numpy as np
import numpy.typing as npt


def auroc_per_class(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.bool_]
) -> list[float | None]:
    """Return the area under the ROC curve of each class against the windows without it.

    Parameters
    ----------
    logits : float32 (n_windows, n_classes), higher = more of the class.
    labels : bool (n_windows, n_classes), a window may carry several classes.

    Returns
    -------
    One area a class; None where every window has the class or none has.

    Raises
    ------
    ValueError : the shapes differ.
    """
    from sklearn.metrics import roc_auc_score

    if logits.shape != labels.shape:
        raise ValueError(f"labels must have the logits' shape {logits.shape}, got {labels.shape}")
    return [
        float(roc_auc_score(carried, logit)) if 0 < carried.sum() < len(carried) else None
        for logit, carried in zip(logits.T, labels.T, strict=True)
    ]
