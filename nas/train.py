"""The training loop that filter and classifier share: seeded, shown, checkpointed, resumed.

Every epoch's order of windows comes from (seed, epoch) alone, and a checkpoint holds weights,
optimizer state and losses after a whole epoch. So a training that was killed and goes on ends with
the weights it would have ended with, as far as the machine repeats its own sums.
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from datasets.command_line import CheckFailed
from datasets.progress import progress
from export.training_run import TrainedPart, model_path, save_part

from .checkpoint import Checkpoint
from .detectors.detector import Float32Array
from .job import Job
from .plan import TrainingPlan

PREDICT_BATCH = 512


def train(
    model: Any,
    x: Float32Array,
    targets: Float32Array,
    loss: Callable[[Any, Any], Any],
    plan: TrainingPlan,
    seed: int,
    checkpoint: Checkpoint,
) -> list[float]:
    """Train `model` in place and return the mean loss of every epoch.

    Parameters
    ----------
    model : uncompiled `keras.Model`.
    x : float32 (n_windows, window_len, n_leads), mV.
    targets : float32 (n_windows, ...), what `loss` compares the outputs with.
    loss : (target batch, output batch) -> loss of each window.
    plan : epochs, batch size, rates.
    seed : of the order of windows; the initial weights are the caller's.
    checkpoint : resumed where it holds epochs of the same subject, written after every epoch.

    Raises
    ------
    ValueError : the checkpoint is of other settings or damaged.
    CheckFailed : the loss is no longer finite.
    """
    batch_size = plan.batch_size_for(len(x))
    n_batches = -(-len(x) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.epochs * n_batches)
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay), loss=loss
    )
    losses = checkpoint.losses()
    checkpoint.restore(model)
    if losses:
        print(f"going on after epoch {len(losses)}/{plan.epochs}", file=sys.stderr)
    with progress(f"Training {model.name}", total=plan.epochs * n_batches) as advance:
        advance(len(losses) * n_batches)
        for epoch in range(len(losses), plan.epochs):
            label = f"epoch {epoch + 1}/{plan.epochs}"
            order = np.random.default_rng((seed, epoch)).permutation(len(x))
            fitted = model.fit(
                x[order],
                targets[order],
                batch_size=batch_size,
                shuffle=False,
                verbose=0,
                callbacks=[_show(advance, label)],
            )
            losses.append(float(fitted.history["loss"][0]))
            if not np.isfinite(losses[-1]):
                raise CheckFailed(f"the loss must stay finite, got {losses[-1]} in {label}")
            checkpoint.save(model, losses)
    return losses


def outputs_of(model: Any, x: Float32Array) -> Float32Array:
    """Return the network's outputs, float32 (n_windows, n_outputs)."""
    outputs: Float32Array = model.predict(x, batch_size=PREDICT_BATCH, verbose=0)
    return outputs


def keep(model: Any, job: Job, trained: TrainedPart, checkpoint: Checkpoint) -> None:
    """Write the part's half of the run folder, and forget the checkpoint.

    The old description goes first and the new one comes last, so that killed at any point no
    description stands beside the other training's network.
    """
    path = model_path(job.run, job.part)
    temporary = path.with_name(f".{path.name}.tmp.keras")
    alone(model).save(temporary)
    path.with_suffix(".json").unlink(missing_ok=True)
    temporary.replace(path)
    save_part(job.run, job.part, trained)
    checkpoint.remove()


def alone(model: Any) -> Any:
    """Return the network without loss and optimizer."""
    network = keras.Model.from_config(model.get_config())
    network.set_weights(model.get_weights())
    return network


def _show(advance: Callable[[int, str], None], label: str) -> Any:
    def on_train_batch_end(batch: int, logs: dict[str, Any] | None = None) -> None:
        advance(1, f"{label}, loss {float((logs or {})['loss']):.4g}")

    return keras.callbacks.LambdaCallback(on_train_batch_end=on_train_batch_end)
