"""When a simulated heart beats: sinus rhythm, atrial fibrillation, premature beats.

References
----------
Respiration and 0.1 Hz waves in the heart rate: Task Force of the ESC and NASPE, "Heart rate
variability", Circulation 93, 1043-1065 (1996).
"""

from dataclasses import dataclass

import numpy as np

from .records import FloatArray, StrArray

LEAD_IN_S = 2.0  # beats begin before the recording and go on after it
RR_MIN_S, RR_MAX_S = 0.35, 1.6
FIBRILLATION_HZ = (4.5, 7.5)

SINUS_RHYTHM, ATRIAL_FIBRILLATION = "N", "AFIB"  # as in the annotations of MIT-BIH recordings


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The beats of a recording, and some around it.

    Parameters
    ----------
    name : `SINUS_RHYTHM` or `ATRIAL_FIBRILLATION`.
    times_s : float (n_beats,), middle of every QRS complex; 0 is the recording's first sample.
    rr_s : float (n_beats,), interval before each beat.
    symbols : str (n_beats,): "N" normal, "A" atrial premature, "V" ventricular premature.
    breath_hz : breathing rate; it makes beats larger and smaller.
    """

    name: str
    times_s: FloatArray
    rr_s: FloatArray
    symbols: StrArray
    breath_hz: float


def draw_rhythm(
    rng: np.random.Generator,
    duration_s: float,
    heart_rate: float,
    fibrillating: bool,
    premature_part: float,
) -> Rhythm:
    """Return a random rhythm.

    Parameters
    ----------
    heart_rate : mean, in beats a minute.
    fibrillating : whether every interval is independent of the one before.
    premature_part : probability of a beat to come early; half of these are ventricular.
    """
    breath_hz = rng.uniform(0.2, 0.3)
    breathing, slow = rng.uniform(0.01, 0.05), rng.uniform(0.01, 0.03)
    mean_s = 60 / heart_rate
    times: list[float] = []
    intervals: list[float] = []
    symbols: list[str] = []
    time_s, after_ventricular = -LEAD_IN_S + mean_s * rng.random(), False
    while time_s < duration_s + LEAD_IN_S:
        draw, early, ventricular, jitter = rng.random(), rng.random(), rng.random(), rng.normal()
        wave = breathing * np.sin(2 * np.pi * breath_hz * time_s)
        wave += slow * np.sin(2 * np.pi * 0.1 * time_s)
        rr_s = mean_s * (1 + wave + 0.005 * jitter)
        if fibrillating:
            rr_s = mean_s * np.exp(0.22 * jitter)
        symbol = "N"
        if draw < premature_part and not after_ventricular:
            rr_s *= 0.58 + 0.17 * early
            # In fibrillation there is no atrial beat that could come early.
            symbol = "V" if fibrillating or ventricular < 0.5 else "A"
        elif after_ventricular and not fibrillating:
            rr_s += mean_s - intervals[-1]  # the pause that makes up for the early beat
        rr_s = float(np.clip(rr_s, RR_MIN_S, RR_MAX_S))
        time_s += rr_s
        times.append(time_s)
        intervals.append(rr_s)
        symbols.append(symbol)
        after_ventricular = symbol == "V"
    return Rhythm(
        name=ATRIAL_FIBRILLATION if fibrillating else SINUS_RHYTHM,
        times_s=np.array(times),
        rr_s=np.array(intervals),
        symbols=np.array(symbols),
        breath_hz=breath_hz,
    )


def fibrillation_waves(rng: np.random.Generator, n_samples: int, fs: float) -> FloatArray:
    """Return the f waves in place of P waves as a dipole in mV, float64 (n_samples, 3).

    Two sines whose frequency and height wander, largest in V1.
    """
    time_s = np.arange(n_samples) / fs
    waves = np.zeros(n_samples)
    for height in (1.0, 0.5):
        hz = rng.uniform(*FIBRILLATION_HZ)
        wander = rng.uniform(0.5, 1.5) * np.sin(2 * np.pi * (0.3 * time_s + rng.random()))
        swell = 1 + 0.4 * np.sin(2 * np.pi * (0.4 * time_s + rng.random()))
        waves += height * swell * np.sin(2 * np.pi * (hz * time_s + rng.random()) + wander)
    height_mv = rng.uniform(0.5, 1.0) * np.array([0.0, 0.03, -0.06])
    return np.asarray(waves[:, np.newaxis] * height_mv)
