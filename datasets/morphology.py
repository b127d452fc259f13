"""Simulated heart beats: a moving dipole that is a sum of Gaussian waves, seen by eight electrodes.

The model is that of ECGSYN (McSharry et al. 2003) in three dimensions (Sameni et al. 2007), solved:
without the term that pulls the baseline back, its differential equation integrates to a sum of
Gaussians. A formula gives every machine the same recording; a numerical solver does not (the
default one of NeuroKit2's `ecg_simulate` was up to 0.9 mV apart between two processors).

A dipole has three parts in mV: towards the patient's left, feet and back. The beats follow what
textbooks describe, and are caricatures.

References
----------
McSharry et al., "A dynamical model for generating synthetic electrocardiogram signals", IEEE Trans.
Biomed. Eng. 50(3), 289-294 (2003). Sameni et al., "Multichannel ECG and noise modeling: application
to maternal and fetal ECG signals", EURASIP J. Adv. Signal Process. 2007, 43407. The lead matrix:
Dower et al., "On deriving the electrocardiogram from vectorcardiographic leads", Clin. Cardiol. 3,
87-95 (1980). What the beats look like: Surawicz et al., AHA/ACCF/HRS recommendations for the
standardization and interpretation of the electrocardiogram, parts III to VI, Circulation 119
(2009).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .records import FloatArray

MEASURED_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""What a 12-lead recorder digitises; the other four follow from I and II."""

DOWER = np.array(
    [
        (0.632, -0.235, 0.059),
        (0.235, 1.066, -0.132),
        (-0.515, 0.157, -0.917),
        (0.044, 0.164, -1.387),
        (0.882, 0.098, -1.277),
        (1.213, 0.127, -0.601),
        (1.125, 0.127, -0.086),
        (0.831, 0.076, 0.230),
    ]
)
"""mV in each of `MEASURED_LEADS` per mV of the dipole, (8, 3)."""

WAVE_REACH = 5  # standard deviations; beyond, a wave is under 4e-6 of its height


@dataclass(frozen=True, slots=True)
class Wave:
    """One Gaussian bump of the dipole.

    Parameters
    ----------
    at_ms : its middle, from that of the QRS complex, at 60 beats a minute.
    width_ms : its standard deviation; from onset to end it lasts about four of them.
    dipole_mv : its height, towards left, feet and back.
    recovery : whether it belongs to ST segment and T wave, which last longer at slow rates.
    """

    at_ms: float
    width_ms: float
    dipole_mv: tuple[float, float, float]
    recovery: bool = False


Beat = tuple[Wave, ...]


def _recovery(at_ms: float, width_ms: float, *dipole_mv: float) -> Wave:
    left, feet, back = dipole_mv
    return Wave(at_ms, width_ms, (left, feet, back), recovery=True)


def _t_wave(left: float, feet: float, back: float) -> Beat:
    """Return a T wave that rises slowly and falls fast, as its two bumps."""
    slow = _recovery(265, 48, 0.6 * left, 0.6 * feet, 0.6 * back)
    fast = _recovery(310, 30, 0.6 * left, 0.6 * feet, 0.6 * back)
    return slow, fast


P_WAVE = Wave(-165, 21, (0.10, 0.11, -0.02))
_SEPTUM = Wave(-19, 7, (-0.15, -0.02, -0.25))
_WALLS = Wave(0, 10, (1.00, 0.80, 0.15))
_BASE = Wave(21, 9, (0.10, -0.10, 0.70))

_NORMAL = (_SEPTUM, _WALLS, _BASE, *_t_wave(0.30, 0.20, -0.15))
_ANTERIOR_INFARCT = (
    Wave(-15, 13, (-0.12, 0.10, 0.75)),  # Q waves in V1 to V4
    Wave(4, 10, (0.80, 0.75, 0.30)),
    _recovery(120, 38, 0.16, -0.02, -0.24),  # ST elevation there
    *_t_wave(-0.22, 0.06, 0.22),
)
_INFERIOR_INFARCT = (
    Wave(-20, 12, (0.02, -0.50, -0.12)),  # Q waves in II, III and aVF
    Wave(4, 10, (0.95, 0.62, 0.15)),
    _BASE,
    _recovery(120, 38, -0.10, 0.27, 0.02),  # ST elevation there, depression in I and aVL
    *_t_wave(0.16, -0.20, -0.12),
)
_ST_DEPRESSION = (
    *_NORMAL[:3],
    _recovery(75, 24, -0.14, -0.10, 0.05),
    _recovery(140, 38, -0.18, -0.13, 0.07),
    *_t_wave(0.12, 0.10, -0.06),
)
_T_INVERSION = (*_NORMAL[:3], _recovery(130, 45, -0.05, -0.03, 0.03), *_t_wave(-0.32, -0.16, 0.14))
_LEFT_BUNDLE_BRANCH_BLOCK = (
    Wave(-28, 16, (0.60, 0.30, 0.45)),  # no Q wave in I, V5 and V6
    Wave(24, 20, (0.95, 0.25, 0.80)),
    Wave(66, 15, (0.35, 0.05, 0.50)),
    _recovery(150, 42, -0.10, -0.03, -0.16),  # ST and T point away from the QRS complex
    *_t_wave(-0.34, -0.12, -0.30),
)
_RIGHT_BUNDLE_BRANCH_BLOCK = (
    _SEPTUM,
    _WALLS,
    Wave(24, 10, (0.05, -0.05, 0.35)),
    Wave(64, 19, (-0.62, 0.00, -0.72)),  # R' in V1, broad S in I and V6
    *_t_wave(0.30, 0.18, 0.12),
)
_LEFT_VENTRICULAR_HYPERTROPHY = (
    Wave(-19, 8, (-0.22, -0.02, -0.32)),
    Wave(1, 12, (2.40, 0.15, 0.55)),  # tall R in I, aVL, V5 and V6
    Wave(23, 10, (0.25, -0.20, 1.30)),  # deep S in V1 and V2
    _recovery(115, 42, -0.16, -0.04, 0.14),  # with "strain"
    *_t_wave(-0.42, -0.10, 0.28),
)

BEATS: dict[str, dict[str, Beat]] = {
    "NORM": {"normal": _NORMAL},
    "MI": {"anterior infarct": _ANTERIOR_INFARCT, "inferior infarct": _INFERIOR_INFARCT},
    "STTC": {"ST depression": _ST_DEPRESSION, "T inversion": _T_INVERSION},
    "CD": {
        "left bundle branch block": _LEFT_BUNDLE_BRANCH_BLOCK,
        "right bundle branch block": _RIGHT_BUNDLE_BRANCH_BLOCK,
    },
    "HYP": {"left ventricular hypertrophy": _LEFT_VENTRICULAR_HYPERTROPHY},
}
"""Superclass -> finding -> the waves of its beats, without the P wave, which is the rhythm's."""

VENTRICULAR_BEAT = (
    Wave(-25, 24, (0.45, 1.10, 0.70)),
    Wave(38, 24, (0.30, 0.95, 0.80)),
    _recovery(150, 40, -0.10, -0.25, -0.15),
    *_t_wave(-0.35, -0.65, -0.45),
)


def individual(beat: Beat, rng: np.random.Generator, voltage: float, recovery: float) -> Beat:
    """Return `beat` as one subject has it.

    Parameters
    ----------
    voltage, recovery : factors to the height of the QRS complex, and to how long ST and T last.
    """
    width = rng.lognormal(0, 0.06)
    waves = []
    for wave in beat:
        height = rng.lognormal(0, 0.08) * (rng.lognormal(0, 0.05) if wave.recovery else voltage)
        left, feet, back = (height * part for part in wave.dipole_mv)
        stretched = recovery if wave.recovery else width
        waves.append(
            replace(
                wave,
                at_ms=wave.at_ms * stretched,
                width_ms=wave.width_ms * stretched,
                dipole_mv=(left, feet, back),
            )
        )
    return tuple(waves)


def draw_beats(
    beats: Iterable[tuple[float, float, float, Beat]], n_samples: int, fs: float
) -> FloatArray:
    """Return the dipole in mV, float64 (n_samples, 3), of beats one after another.

    Parameters
    ----------
    beats : (time in s, RR interval before it in s, factor to its height, its waves) of each.
    fs : sample rate in Hz.
    """
    dipole = np.zeros((n_samples, 3))
    for time_s, rr_s, gain, waves in beats:
        slower = np.sqrt(rr_s)  # Bazett: QT grows with the square root of RR
        for wave in waves:
            stretched = slower if wave.recovery else 1.0
            middle = time_s + wave.at_ms * stretched / 1000
            width = wave.width_ms * stretched / 1000
            first = max(0, round((middle - WAVE_REACH * width) * fs))
            last = min(n_samples, round((middle + WAVE_REACH * width) * fs))
            if first < last:
                from_middle = np.arange(first, last) / fs - middle
                bump = np.exp(-0.5 * (from_middle / width) ** 2)
                dipole[first:last] += gain * bump[:, np.newaxis] * np.array(wave.dipole_mv)
    return dipole


def rotate(dipole: FloatArray, frontal_deg: float, horizontal_deg: float) -> FloatArray:
    """Return the dipole (n, 3) of a heart that lies turned: towards the feet, and to the back."""
    turned = dipole.copy()
    for angle_deg, axes in ((frontal_deg, [0, 1]), (horizontal_deg, [0, 2])):
        cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        first, second = turned[:, axes].T
        turned[:, axes] = np.stack(
            [cosine * first - sine * second, sine * first + cosine * second], axis=1
        )
    return turned
