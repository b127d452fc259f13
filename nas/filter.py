"""Trains the filter of a run: one detector, on in-distribution windows."""

import keras
import numpy as np

from datasets.command_line import CheckFailed
from export.training_run import TrainedPart

from .candidate import Candidate
from .detectors.detector import build_detector, outputs_of
from .job import Job
from .train import Trainer, keep
from .windows import Float32Array, TrainingWindows

SPREAD_MIN = 0.01
"""Smallest standard deviation of the outputs across windows, relative to their mean's length.

Below it, the windows of one int8 output differ by about one step of its scale, so that the shipped
network could not tell them apart.
"""

SPREAD_WINDOWS = 1_000  # to look at: a rebuilt window has as many outputs as it has samples


def train_filter(job: Job, candidate: Candidate, windows: TrainingWindows) -> TrainedPart:
    """Train a detector on `windows` and write the filter's half of the run folder.

    Parameters
    ----------
    job : where to, how long, which seed. An unfinished training of the same job is resumed.
    candidate : the detector and its parameters; `check_cap` is the caller's to call.
    windows : in-distribution windows.

    Raises
    ------
    ValueError : the windows are too short for the network, or the checkpoint does not fit.
    CheckFailed : the loss is no longer finite, or the trained network gives every window the same
        answer.
    """
    detector, params = candidate.module, candidate.params
    keras.utils.set_random_seed(job.seed)
    model = build_detector(detector, params, windows.shape)
    sample = windows.thinned(SPREAD_WINDOWS)
    untrained = outputs_of(model, sample)
    checkpoint = job.checkpoint(len(windows))
    trainer = Trainer(job.plan, job.seed, len(windows), checkpoint)
    scoring = detector.fit(params, model, windows, trainer)
    trained = outputs_of(model, sample)
    try:
        check_not_collapsed(trained)
    except CheckFailed:
        checkpoint.remove()  # so that the next try may have other settings
        raise
    part = TrainedPart(
        data=job.data,
        seed=job.seed,
        score_rule=scoring.rule,
        score_constants=scoring.constants,
        details={
            **job.details,
            "n_parameters": model.count_params(),
            "n_train_windows": len(windows),
            "history": {
                "loss": trainer.losses["main"],
                "stages": trainer.losses,
                "output_spread_untrained": output_spread(untrained),
                "output_spread": output_spread(trained),
            },
        },
    )
    keep(model, job, part, checkpoint)
    return part


def output_spread(outputs: Float32Array) -> float:
    """Return how far outputs differ between windows: standard deviation over length of the mean.

    Both are taken over the whole vector, so a network that answers the same to every window has 0,
    also where that answer is 0.
    """
    outputs = outputs.reshape(len(outputs), -1)
    variance = float(outputs.var(axis=0, dtype=np.float64).sum())
    length = float(np.linalg.norm(outputs.mean(axis=0, dtype=np.float64)))
    return float(np.sqrt(variance)) / length if length > 0 else 0.0


def check_not_collapsed(outputs: Float32Array) -> None:
    """Raise CheckFailed where `outputs` (n_windows, ...) are all but the same."""
    spread = output_spread(outputs)
    if spread < SPREAD_MIN:
        raise CheckFailed(
            f"the network collapsed: its outputs must spread by at least {SPREAD_MIN:g} of their "
            f"mean across windows, got {spread:.2g}; train with fewer epochs"
        )
