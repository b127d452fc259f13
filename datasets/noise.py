"""Where noise comes from: the recordings of the Noise Stress Test database, or a generator.

Either gives noise without a meaningful scale; `datasets.faults` sets it by the SNR asked for.

References
----------
Recordings: Moody, Muldrow, Mark, "A noise stress test for arrhythmia detectors", Computers in
Cardiology 11, 381-384 (1984), https://physionet.org/content/nstdb/.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from .nstdb import noise_recordings
from .records import FloatArray

RECORDINGS = {"baseline_wander": "bw", "muscle": "ma", "electrode_motion": "em"}
"""The recording of each kind of noise in the Noise Stress Test database."""

STRETCHES = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
"""The part of every recording a split draws from; calibration is on clean windows, it has none."""

GUARD_S = 20.0  # between stretches; drift slower than 0.05 Hz was removed from the recordings


class NoiseSource(Protocol):
    """What noise is drawn from; `name` says which it was, for reports."""

    @property
    def name(self) -> str:
        """The source in a few words."""
        ...

    def draw(
        self, kind: str, n_samples: int, n_leads: int, fs: float, rng: np.random.Generator
    ) -> FloatArray:
        """Return noise, float64 (n_samples, n_leads), in no particular unit.

        Parameters
        ----------
        kind : a key of `RECORDINGS`; fs : sample rate in Hz.

        Raises
        ------
        ValueError : there is no noise of that kind.
        """
        ...


@dataclass(frozen=True, slots=True)
class RecordedNoise:
    """Noise from the stretch of the recordings that belongs to one split.

    A draw begins anywhere in the stretch and, as in `nst`, goes on at its beginning where it ends.
    Lead i gets channel i modulo 2, as in `nst`: the leads of one draw are noisy together.

    Parameters
    ----------
    folder : of the Noise Stress Test database, with the records `bw`, `ma` and `em`.
    split : "train", "validation" or "test".
    """

    folder: Path
    split: str

    def __post_init__(self) -> None:
        if self.split not in STRETCHES:
            raise ValueError(
                f"split of noise must be one of {', '.join(STRETCHES)}, got {self.split}"
            )

    @property
    def name(self) -> str:
        """The source in a few words."""
        return f"Noise Stress Test database, stretch of {self.split}"

    def draw(
        self, kind: str, n_samples: int, n_leads: int, fs: float, rng: np.random.Generator
    ) -> FloatArray:
        """Return noise of the split's stretch; see `NoiseSource`.

        Raises
        ------
        ValueError : `kind` has no recording, or the folder lacks it.
        """
        if kind not in RECORDINGS:
            raise ValueError(f"kind must be one of {', '.join(RECORDINGS)}, got {kind}")
        noise = _stretch(self.folder, RECORDINGS[kind], self.split, fs)
        samples = (rng.integers(len(noise)) + np.arange(n_samples)) % len(noise)
        return np.asarray(noise[np.ix_(samples, np.arange(n_leads) % noise.shape[1])])


def stretch_of(split: str, n_samples: int, fs: float) -> tuple[int, int]:
    """Return the samples [start, stop) of a noise recording that `split` may draw from.

    Stretches are `GUARD_S` apart, so that neither a filter nor the noise's own memory leads from
    one into another.

    Raises
    ------
    ValueError : `split` has no noise, or the recording is too short for its stretch.

    Examples
    --------
    >>> [stretch_of(split, n_samples=650_000, fs=360) for split in STRETCHES]
    [(0, 386400), (393600, 516400), (523600, 650000)]
    """
    if split not in STRETCHES:
        raise ValueError(f"split of noise must be one of {', '.join(STRETCHES)}, got {split}")
    first, last = STRETCHES[split]
    guard = round(GUARD_S * fs / 2)
    start = round(first * n_samples) + (guard if first > 0 else 0)
    stop = round(last * n_samples) - (guard if last < 1 else 0)
    if stop - start < guard:
        raise ValueError(
            f"a noise recording must leave {GUARD_S / 2:g} s to {split} between guards of "
            f"{GUARD_S:g} s, got {n_samples / fs:g} s in all"
        )
    return start, stop


@lru_cache(maxsize=8)
def _stretch(folder: Path, recording: str, split: str, fs: float) -> FloatArray:
    """Return a split's stretch of one recording at `fs`, float64 (n_samples, n_channels).

    Cut first, resampled then: the filter never sees a sample of another stretch.
    """
    from scipy.signal import resample_poly

    readers = noise_recordings(folder)
    if recording not in readers:
        raise ValueError(
            f"{folder / recording}.hea must be there to draw its noise, it is not; SyntheticNoise "
            "needs no recording"
        )
    reader = readers[recording]
    start, stop = stretch_of(split, reader.n_samples, reader.record.fs)
    noise = reader.read(start, stop).astype(np.float64)
    ratio = (Fraction(fs) / Fraction(reader.record.fs)).limit_denominator(1000)
    return np.asarray(
        resample_poly(noise, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    )


@dataclass(frozen=True, slots=True)
class SyntheticNoise:
    """Generated noise: Gaussian with a spectrum, or a train of pulses; each lead by itself.

    The models are ours, plain on purpose: they need no recording, and what a network trained on
    them is worth is measured on recorded noise.

    baseline_wander : Gaussian, 0.05 to 0.5 Hz, amplitude as 1/f: the band below the ECG's own that
        the 0.5 Hz high-pass of monitoring is there to remove.
    muscle : Gaussian with the power spectrum f^2 / ((f^2 + 60^2) (f^2 + 120^2)^2), f in Hz: a broad
        hump that reaches beyond the ECG's band. Its envelope comes and goes within seconds.
    electrode_motion : a filtered Poisson process: one pulse in two seconds on average,
        of Gaussian height, that rises within 20 to 100 ms and falls within 0.1 to 0.6 s, over
        wander of a tenth of its power.
    """

    @property
    def name(self) -> str:
        """The source in a few words."""
        return "generated"

    def draw(
        self, kind: str, n_samples: int, n_leads: int, fs: float, rng: np.random.Generator
    ) -> FloatArray:
        """Return generated noise; see `NoiseSource`."""
        if kind not in GENERATORS:
            raise ValueError(f"kind must be one of {', '.join(GENERATORS)}, got {kind}")
        return GENERATORS[kind](n_samples, n_leads, fs, rng)


def _wander(n_samples: int, n_leads: int, fs: float, rng: np.random.Generator) -> FloatArray:
    def amplitude(hz: FloatArray) -> FloatArray:
        inside = (hz >= 0.05) & (hz <= 0.5)
        return np.asarray(np.where(inside, 1 / np.maximum(hz, 0.05), 0.0))

    return _gaussian(amplitude, n_samples, n_leads, fs, rng)


def _muscle(n_samples: int, n_leads: int, fs: float, rng: np.random.Generator) -> FloatArray:
    def amplitude(hz: FloatArray) -> FloatArray:
        return np.asarray(hz / (np.sqrt(hz**2 + 60.0**2) * (hz**2 + 120.0**2)))

    def slow(hz: FloatArray) -> FloatArray:
        return np.asarray((hz <= 0.5) * 1.0)

    envelope = np.exp(0.5 * _gaussian(slow, n_samples, n_leads, fs, rng))
    return np.asarray(envelope * _gaussian(amplitude, n_samples, n_leads, fs, rng))


def _motion(n_samples: int, n_leads: int, fs: float, rng: np.random.Generator) -> FloatArray:
    from scipy.signal import fftconvolve

    duration_s = n_samples / fs
    pulses = np.zeros((n_samples, n_leads))
    for lead in range(n_leads):
        # One at least, or a quiet draw would have no power to scale.
        n_pulses = 1 + rng.poisson(max(duration_s / 2 - 1, 0))
        at = rng.integers(n_samples, size=n_pulses)
        np.add.at(pulses[:, lead], at, rng.normal(size=n_pulses))
    time_s = np.arange(min(n_samples, round(3 * fs))) / fs
    rise_s, fall_s = rng.uniform(0.02, 0.1), rng.uniform(0.1, 0.6)
    shape = np.exp(-time_s / fall_s) - np.exp(-time_s / (rise_s * fall_s / (rise_s + fall_s)))
    motion = _unit_power(fftconvolve(pulses, shape[:, np.newaxis], axes=0)[:n_samples])
    return np.asarray(motion + 0.1**0.5 * _wander(n_samples, n_leads, fs, rng))


GENERATORS: dict[str, Callable[[int, int, float, np.random.Generator], FloatArray]] = {
    "baseline_wander": _wander,
    "muscle": _muscle,
    "electrode_motion": _motion,
}


def _gaussian(
    amplitude: Callable[[FloatArray], FloatArray],
    n_samples: int,
    n_leads: int,
    fs: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return Gaussian noise of unit power with an amplitude spectrum over frequency in Hz."""
    # Twice as long as wanted and never under 40 s: no lead ends where it began, and there are
    # spectral lines in the slowest band.
    n_made = 2 * max(n_samples, round(20 * fs))
    spectrum = np.fft.rfft(rng.normal(size=(n_made, n_leads)), axis=0)
    hz = np.asarray(np.fft.rfftfreq(n_made, 1 / fs), np.float64)
    shaped = np.fft.irfft(spectrum * amplitude(hz)[:, np.newaxis], n_made, axis=0)
    return _unit_power(shaped)[:n_samples]


def _unit_power(noise: FloatArray) -> FloatArray:
    noise = noise - noise.mean(axis=0)
    power = np.sqrt((noise**2).mean(axis=0))
    return np.asarray(noise / np.where(power > 0, power, 1.0))
