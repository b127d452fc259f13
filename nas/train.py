"""The training loop that filter and classifier share: seeded, shown, checkpointed, resumed.

Every epoch's order of windows and every step's noise come from (seed, stage, epoch, step) alone,
and a checkpoint holds weights, optimizer state and losses after a whole epoch. So a training that
was killed and goes on ends with the weights it would have ended with, as far as the machine repeats
its own sums.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from datasets.command_line import CheckFailed
from datasets.progress import progress
from export.training_run import TrainedPart, model_path, save_part

from .checkpoint import Checkpoint
from .detectors.detector import Objective
from .job import Job
from .plan import TrainingPlan


class Trainer:
    """Trains the stages of one network, one call each; a `nas.detectors.detector.Train`.

    Parameters
    ----------
    plan : epochs, batch size, rates.
    seed : of the order of windows and of what the objectives draw; the initial weights are the
        caller's.
    n_windows : to train on.
    checkpoint : where unfinished stages are kept, each in a folder of its own.
    """

    def __init__(
        self, plan: TrainingPlan, seed: int, n_windows: int, checkpoint: Checkpoint
    ) -> None:
        self._plan, self._seed, self._n_windows = plan, seed, n_windows
        self._checkpoint = checkpoint
        self.losses: dict[str, list[float]] = {}
        """Mean loss of every epoch, by stage."""

    def __call__(
        self, objective: Objective, stage: str = "main", epochs: int | None = None
    ) -> None:
        """Make the objective small.

        Raises
        ------
        ValueError : the checkpoint is of other settings or damaged.
        CheckFailed : the loss is no longer finite; the weights are those of the last good epoch.
        """
        assert stage not in self.losses
        n_epochs = self._plan.epochs if epochs is None else epochs
        batch_size = self._plan.batch_size_for(self._n_windows)
        n_steps = self._n_windows // batch_size
        model = objective.network
        _compile(model, self._plan, n_epochs * n_steps)
        checkpoint = self._checkpoint.stage(stage)
        losses = self.losses[stage] = checkpoint.losses()
        checkpoint.restore(model)
        label = "Training" if stage == "main" else stage.capitalize()
        if losses:
            print(f"{label}: going on after epoch {len(losses)}/{n_epochs}", file=sys.stderr)
        with progress(label, total=n_epochs * n_steps) as advance:
            advance(len(losses) * n_steps)
            for epoch in range(len(losses), n_epochs):
                shown = f"epoch {epoch + 1}/{n_epochs}"
                batches = self._batches(objective, len(self.losses), epoch, batch_size)
                losses.append(_run_epoch(model, batches, shown, advance))
                checkpoint.save(model, losses)

    def _batches(
        self, objective: Objective, n_stage: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Yield the inputs of every step of an epoch.

        All batches are of one size, so that a compiled step fits them all; the few windows left
        over are others in every epoch.
        """
        key = (self._seed, n_stage, epoch)
        order = np.random.default_rng(key).permutation(self._n_windows)
        for step in range(self._n_windows // batch_size):
            index = order[step * batch_size : (step + 1) * batch_size]
            yield objective.inputs(index, np.random.default_rng((*key, step)))


def _compile(model: Any, plan: TrainingPlan, n_steps: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, n_steps)
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay),
        loss=lambda _, loss: loss,
        # XLA is what JAX runs on; with TensorFlow on a CPU it is slower than its own kernels.
        jit_compile=keras.backend.backend() == "jax",
    )


def _run_epoch(
    model: Any,
    batches: Iterator[tuple[npt.NDArray[Any], ...]],
    shown: str,
    advance: Callable[[int, str], None],
) -> float:
    """Train one epoch and return its mean loss; a failed one leaves the weights it began with."""
    before = model.get_weights()
    total = 0.0
    for step, inputs in enumerate(batches, start=1):
        model.reset_metrics()
        x = list(inputs) if len(inputs) > 1 else inputs[0]
        loss = float(model.train_on_batch(x, np.zeros(len(inputs[0]), np.float32)))
        if not np.isfinite(loss):
            model.set_weights(before)
            raise _diverged(f"the loss must stay finite, got {loss} in {shown}, step {step}")
        total += loss
        advance(1, f"{shown}, loss {total / step:.4g}")
    # The last step's loss was of the weights before it.
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        model.set_weights(before)
        raise _diverged(f"the weights must stay finite, got others after {shown}, step {step}")
    return total / step


def _diverged(what: str) -> CheckFailed:
    return CheckFailed(
        f"{what}; the weights of the last good epoch are kept: "
        "try a lower learning rate, with --overwrite"
    )


def keep(model: Any, job: Job, trained: TrainedPart, checkpoint: Checkpoint) -> None:
    """Write the part's half of the run folder, and forget the checkpoint.

    The old description goes first and the new one comes last, so that killed at any point no
    description stands beside the other training's network.
    """
    path = model_path(job.run, job.part)
    temporary = path.with_name(f".{path.name}.tmp.keras")
    model.save(temporary)
    path.with_suffix(".json").unlink(missing_ok=True)
    temporary.replace(path)
    save_part(job.run, job.part, trained)
    checkpoint.remove()
