"""The windows a detector is fitted on, handed out a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.records import BoolArray, Int8Array, Int64Array

Float32Array = npt.NDArray[np.float32]
CODE_MIN, CODE_MAX = -128, 127


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What a filter should not mind, drawn anew for every window of every batch.

    It is applied behind the signal chain, whose rails it respects.

    Parameters
    ----------
    gain : the amplitude is multiplied by 1 +- up to this much.
    noise_mv : white noise of up to this rms in mV is added.

    Raises
    ------
    ValueError : a number is out of range.
    """

    gain: float = 0.0
    noise_mv: float = 0.0

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not 0 <= self.gain < 1:
            raise ValueError(f"gain must be in [0, 1), got {self.gain}")
        if not 0 <= self.noise_mv < 10:
            raise ValueError(f"noise_mv must be in [0, 10), got {self.noise_mv}")

    def apply(self, x_mv: Float32Array, lsb_mv: float, rng: np.random.Generator) -> Float32Array:
        """Return windows (n, window_len, n_leads) in mV, changed; themselves where it is off."""
        if not self.gain and not self.noise_mv:
            return x_mv
        n = (len(x_mv), 1, 1)
        changed = x_mv * rng.uniform(1 - self.gain, 1 + self.gain, n).astype(np.float32)
        if self.noise_mv:
            rms = rng.uniform(0, self.noise_mv, n).astype(np.float32)
            changed += rms * rng.standard_normal(x_mv.shape, np.float32)
        return np.clip(changed, CODE_MIN * lsb_mv, CODE_MAX * lsb_mv, out=changed)


@dataclass(frozen=True, slots=True)
class Damaged:
    """Windows of recordings with synthetic faults in them.

    Parameters
    ----------
    codes : int8 (n_windows, window_len, n_leads), after the signal chain.
    faults : bool (n_windows, n_kinds), the kinds of fault a window shows, in the order of
        `datasets.faults.FAULTS`; none where they are negligible.
    """

    codes: Int8Array
    faults: BoolArray


@dataclass(frozen=True, slots=True)
class TrainingWindows:
    """In-distribution windows of the training split.

    Parameters
    ----------
    codes : int8 (n_windows, window_len, n_leads), after the signal chain.
    lsb_mv : mV a code.
    labels : bool (n_windows, n_classes), the superclasses a window's record carries.
    classes : their names; the held-out class is none of them.
    augmentation : of the batches; the score's constants are fitted without it.
    damaged : seed -> the same recordings' windows with synthetic faults; None where nothing asks
        for them.
    """

    codes: Int8Array
    lsb_mv: float
    labels: BoolArray
    classes: tuple[str, ...]
    augmentation: Augmentation = Augmentation()
    damaged: Callable[[int], Damaged] | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> tuple[int, int]:
        """(window_len, n_leads)."""
        return self.codes.shape[1], self.codes.shape[2]

    def thinned(self, n_max: int) -> "TrainingWindows":
        """Return at most `n_max` of them, evenly spread, without damaged ones."""
        step = -(-len(self) // n_max)
        return replace(self, codes=self.codes[::step], labels=self.labels[::step], damaged=None)

    def x_mv(self, index: Any = slice(None)) -> Float32Array:
        """Return windows in mV as they are, float32 (n, window_len, n_leads)."""
        x_mv: Float32Array = self.codes[index] * np.float32(self.lsb_mv)
        return x_mv

    def batch(self, index: Int64Array, rng: np.random.Generator) -> Float32Array:
        """Return windows in mV as a training sees them: augmented."""
        return self.augmentation.apply(self.x_mv(index), self.lsb_mv, rng)
