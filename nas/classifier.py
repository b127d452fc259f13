"""The diagnostic classifier: a small residual network over the in-distribution superclasses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets import SUPERCLASSES, WindowBatch
from export.training_run import TrainedPart

from .detectors.detector import Objective
from .job import Job
from .metrics import auroc_per_class
from .plan import TrainingPlan

PLAN = TrainingPlan(epochs=10, batch_size=128, learning_rate=2e-3, weight_decay=1e-2)

BATCH_NORM_MOMENTUM = 0.95  # settles within the few hundred steps a small data set gets


@dataclass(frozen=True, slots=True)
class Params:
    """A strided stem, then residual blocks of two convolutions, then the mean over time.

    The form of He et al., Deep Residual Learning for Image Recognition, CVPR 2016, in 1-D.

    Parameters
    ----------
    stem_width, stem_kernel, stem_stride : the first convolution.
    widths, kernels, strides : one entry a block; the block's first convolution takes the kernel and
        the stride, the second has 3 taps.

    Raises
    ------
    ValueError : the three differ in length, are empty, or a number is below 1.
    """

    stem_width: int = 16
    stem_kernel: int = 7
    stem_stride: int = 2
    widths: tuple[int, ...] = (24, 48, 64)
    kernels: tuple[int, ...] = (5, 5, 5)
    strides: tuple[int, ...] = (2, 2, 5)

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not len(self.widths) == len(self.kernels) == len(self.strides) > 0:
            raise ValueError(
                "widths, kernels and strides must have one entry a block, "
                f"got {len(self.widths)}, {len(self.kernels)} and {len(self.strides)}"
            )
        stem = (self.stem_width, self.stem_kernel, self.stem_stride)
        if min(*stem, *self.widths, *self.kernels, *self.strides) < 1:
            raise ValueError(f"widths, kernels and strides must be at least 1, got {self}")


def build(params: Params, input_shape: tuple[int, int], n_classes: int) -> Any:
    """Return the network, a `keras.Model` from (window_len, n_leads) mV to logits (n_classes,)."""
    import keras

    def convolve(x: Any, width: int, kernel: int, stride: int) -> Any:
        # The bias is the batch normalisation's, which the converter folds into the convolution.
        x = keras.layers.Conv1D(
            width,
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        )(x)
        return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)

    def block(x: Any, width: int, kernel: int, stride: int) -> Any:
        inner = keras.layers.ReLU()(convolve(x, width, kernel, stride))
        inner = convolve(inner, width, 3, 1)
        shortcut = x if stride == 1 and x.shape[-1] == width else convolve(x, width, 1, stride)
        return keras.layers.ReLU()(keras.layers.Add()([inner, shortcut]))

    inputs = keras.Input(input_shape)
    x = convolve(inputs, params.stem_width, params.stem_kernel, params.stem_stride)
    x = keras.layers.ReLU()(x)
    for shape in zip(params.widths, params.kernels, params.strides, strict=True):
        x = block(x, *shape)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(n_classes)(x), name="classifier")


def train_classifier(
    job: Job, params: Params, batch: WindowBatch, validation: WindowBatch
) -> TrainedPart:
    """Train the classifier on `batch` and write its half of the run folder.

    A window may carry several superclasses, so each has a logit of its own and the loss is binary
    cross-entropy. The held-out superclass has no logit.

    Parameters
    ----------
    job : where to, how long, which seed. An unfinished training of the same job is resumed.
    params : the architecture.
    batch, validation : in-distribution windows to train on, and to report the AUROC on.

    Raises
    ------
    ValueError : the checkpoint does not fit the job.
    """
    import keras

    from .train import Trainer, keep

    keras.utils.set_random_seed(job.seed)
    model = build(params, batch.x.shape[1:], len(job.data.classes))
    checkpoint = job.checkpoint(len(batch))
    trainer = Trainer(job.plan, job.seed, len(batch), checkpoint)
    trainer(_cross_entropy(model, batch, job.data.classes))
    logits = model.predict(validation.x_mv, batch_size=512, verbose=0)
    areas = auroc_per_class(logits, _targets(validation, job.data.classes))
    known = [area for area in areas if area is not None]
    part = TrainedPart(
        data=job.data,
        seed=job.seed,
        classes=job.data.classes,
        details={
            **job.details,
            "n_parameters": model.count_params(),
            "n_train_windows": len(batch),
            "history": {
                "loss": trainer.losses["main"],
                "n_validation_windows": len(validation),
                "auroc": dict(zip(job.data.classes, areas, strict=True)),
                "auroc_macro": float(np.mean(known)) if known else None,
            },
        },
    )
    keep(model, job, part, checkpoint)
    return part


def _cross_entropy(model: Any, batch: WindowBatch, classes: tuple[str, ...]) -> Objective:
    """Return the binary cross-entropy of every logit, averaged, against the window's classes."""
    import keras
    from keras import ops

    labels = _targets(batch, classes).astype(np.float32)
    carried = keras.Input((len(classes),))
    losses = ops.binary_crossentropy(carried, model.output, from_logits=True)
    network = keras.Model([model.input, carried], ops.mean(losses, axis=-1))
    lsb_mv = np.float32(batch.lsb_mv)
    return Objective(network, lambda index, rng: (batch.x[index] * lsb_mv, labels[index]))


def _targets(batch: WindowBatch, classes: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Return the columns of `batch.labels` that belong to `classes`."""
    return batch.labels[:, [SUPERCLASSES.index(name) for name in classes]]
