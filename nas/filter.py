"""Trains the filter of a run: one detector, on in-distribution windows, without labels."""

from typing import Any

import keras
import numpy as np

from datasets import WindowBatch
from datasets.command_line import CheckFailed
from export.training_run import TrainedPart

from .detectors.detector import Detector, Float32Array
from .job import Job
from .train import keep, outputs_of, train

SPREAD_MIN = 0.01
"""Smallest standard deviation of the outputs across windows, relative to their mean's length.

Below it, the windows of one int8 output differ by about one step of its scale, so that the shipped
network could not tell them apart.
"""


def train_filter(job: Job, detector: Detector, params: Any, batch: WindowBatch) -> TrainedPart:
    """Train `detector` on `batch` and write the filter's half of the run folder.

    Parameters
    ----------
    job : where to, how long, which seed. An unfinished training of the same job is resumed.
    detector : an entry of `DETECTORS`; params : an instance of its `Params`.
    batch : in-distribution windows.

    Raises
    ------
    ValueError : the windows are too short for the architecture, or the checkpoint does not fit.
    CheckFailed : the trained network gives every window the same answer.
    """
    keras.utils.set_random_seed(job.seed)
    x = batch.x_mv
    model = detector.build(params, x.shape[1:])
    untrained = outputs_of(model, x)
    constants = detector.score_constants(untrained)
    checkpoint = job.checkpoint(len(batch))
    losses = train(
        model, x, detector.targets(constants, x), detector.loss, job.plan, job.seed, checkpoint
    )
    trained = outputs_of(model, x)
    try:
        check_not_collapsed(trained)
    except CheckFailed:
        checkpoint.remove()  # so that the next try may have other settings
        raise
    part = TrainedPart(
        data=job.data,
        seed=job.seed,
        score_rule=detector.score_rule,
        score_constants={name: value.tolist() for name, value in constants.items()},
        details={
            **job.details,
            "n_parameters": model.count_params(),
            "n_train_windows": len(batch),
            "history": {
                "loss": losses,
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
    variance = float(outputs.var(axis=0, dtype=np.float64).sum())
    length = float(np.linalg.norm(outputs.mean(axis=0, dtype=np.float64)))
    return float(np.sqrt(variance)) / length if length > 0 else 0.0


def check_not_collapsed(outputs: Float32Array) -> None:
    """Raise CheckFailed where `outputs` (n_windows, n_outputs) are all but the same."""
    spread = output_spread(outputs)
    if spread < SPREAD_MIN:
        raise CheckFailed(
            f"the network collapsed: its outputs must spread by at least {SPREAD_MIN:g} of their "
            f"mean across windows, got {spread:.2g}; train with fewer epochs"
        )
