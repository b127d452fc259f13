"""How long and how fast a network is trained: plain numbers, so that no Keras is loaded."""

from dataclasses import dataclass

import numpy as np

STEPS_MIN = 8  # an epoch; fewer would leave a small data set untrained


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """AdamW with a cosine learning rate from `learning_rate` to 0 over all epochs.

    Parameters
    ----------
    epochs : passes over the training windows.
    batch_size : windows a step at most; a small data set is cut into 8 steps an epoch.
    learning_rate : of the first step.
    weight_decay : decoupled, times the learning rate (Loshchilov and Hutter 2019).

    Raises
    ------
    ValueError : a number is out of range; the text names it and its value.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.weight_decay < 1:
            raise ValueError(f"weight_decay must be in [0, 1), got {self.weight_decay}")

    def batch_size_for(self, n_windows: int) -> int:
        """Return the windows a step: `batch_size`, or less where that leaves under 8 steps."""
        return max(1, min(self.batch_size, n_windows // STEPS_MIN))
