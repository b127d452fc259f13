"""What goes wrong with a recording, as functions: noise, a lead that comes off, lost samples.

Each fault of `FAULTS` takes ADC counts and gives ADC counts of the same shape. It changes one
stretch of the leads asked for and nothing else, stays inside the converter's range instead of
wrapping around, and gives the same counts for the same `rng`. With `strength` 0 or a stretch of no
samples it gives back what it got.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Protocol

import numpy as np

from .noise import NoiseSource, SyntheticNoise
from .records import EcgRecord, FloatArray, Int16Array, Stretch
from .snr import noise_gain, noise_rms, qrs_size

MAINS_HZ = (50.0, 60.0)
MAINS_DRIFT_HZ = 0.05  # the "standard frequency range" of EU 2017/1485, Annex III, table 1
N_ROUNDINGS = 4
DROPPED_PART_MAX = 0.5  # of the packets, at strength 1


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Where a fault strikes, how hard, and on what front end.

    Parameters
    ----------
    fs : sample rate in Hz; adc_gain : counts per mV; baseline : the count that means 0 mV.
    adc_min, adc_max : the converter's rails in counts. The lowest int16 is no rail by default: it
        means "missing" in WFDB files.
    strength : 0 (off) to 1. Noise: a factor to its amplitude. saturation: how far towards the rail.
        lead_off, flat_line: how much of the ECG is lost. dropped_samples: 1 loses half of all.
    start, stop : the stretch [start, stop) in samples; None = to the end.
    leads : columns that are hit; None = all.
    snr_db : of noise at strength 1, as `datasets.snr` defines it; `qrs_counts` : the ECG's QRS
        amplitude in counts in each lead of the recording, which noise needs to have an SNR.
    noise : what noise is drawn from; mains hum is always generated.
    mains_hz : 50, 60, or None for either.

    Raises
    ------
    ValueError : a value is outside what is said above.
    """

    fs: float
    adc_gain: float
    baseline: int = 0
    adc_min: int = -32767
    adc_max: int = 32767
    strength: float = 1.0
    start: int = 0
    stop: int | None = None
    leads: tuple[int, ...] | None = None
    snr_db: float = 6.0
    qrs_counts: tuple[float, ...] | None = None
    noise: NoiseSource = field(default_factory=SyntheticNoise)
    mains_hz: float | None = None

    def __post_init__(self) -> None:
        rules = {
            "fs must be positive": self.fs > 0,
            "adc_gain must be positive": self.adc_gain > 0,
            "adc_min < adc_max must lie in int16": -32768 <= self.adc_min < self.adc_max <= 32767,
            "strength must be in 0 to 1": 0 <= self.strength <= 1,
            "start must be 0 or more": self.start >= 0,
            "stop must be start or more": self.stop is None or self.stop >= self.start,
            "snr_db must be finite": bool(np.isfinite(self.snr_db)),
            "qrs_counts must be positive": min(self.qrs_counts or (1.0,)) > 0,
            "mains_hz must be 50, 60 or None": self.mains_hz in (None, *MAINS_HZ),
        }
        for rule, holds in rules.items():
            if not holds:
                raise ValueError(f"{rule}, got {self}")

    @classmethod
    def of(cls, record: EcgRecord, without_beats: str = "error", **options: Any) -> "FaultSettings":
        """Return settings for `record`: its front end, its QRS amplitude, and `options`.

        Parameters
        ----------
        without_beats : as in `datasets.snr.qrs_size`; options : the other fields.

        Raises
        ------
        ValueError : as `qrs_size`, or an option is out of range.
        """
        return cls(
            fs=record.fs,
            adc_gain=record.adc_gain,
            baseline=record.baseline,
            qrs_counts=qrs_size(record, without_beats).counts,
            **options,
        )


class Fault(Protocol):
    """One kind of fault, an entry of `FAULTS`."""

    def __call__(
        self, adc_counts: Int16Array, rng: np.random.Generator, settings: FaultSettings
    ) -> Int16Array:
        """Return a copy of `adc_counts` with the fault in it.

        Parameters
        ----------
        adc_counts : int16 array (n_samples, n_leads); left as it is.
        rng : of every random choice.

        Raises
        ------
        ValueError : the counts are not int16 (n_samples, n_leads); the stretch or a lead is not
            there; noise without `qrs_counts`, or in a stretch of less than a second.
        """
        ...


Change = Callable[[FloatArray, np.random.Generator, FaultSettings], FloatArray]
"""Returns the counts (n, n_hit) of the stretch and leads that are hit, changed.

In its settings `leads` is never None, and `stop` is None where the recording ends there."""


def add_fault(
    record: EcgRecord, name: str, rng: np.random.Generator, settings: FaultSettings
) -> EcgRecord:
    """Return `record` with the fault `name` in it and the stretch marked in its annotations.

    Raises
    ------
    ValueError : `name` is no fault, or as in `Fault`.
    """
    if name not in FAULTS:
        raise ValueError(f"fault must be one of {', '.join(FAULTS)}, got {name}")
    adc_counts = FAULTS[name](record.adc_counts, rng, settings)
    stop = len(adc_counts) if settings.stop is None else settings.stop
    if settings.strength == 0 or stop == settings.start:
        return replace(record, adc_counts=adc_counts)
    marks = [*record.annotations.stretches, Stretch(settings.start, stop, "fault", name)]
    stretches = tuple(sorted(marks, key=lambda stretch: stretch.start))
    annotations = replace(record.annotations, stretches=stretches)
    return replace(record, adc_counts=adc_counts, annotations=annotations)


def _fault(change: Change) -> Fault:
    """Return the fault that makes `change` in its stretch and leads, within the rails."""

    @wraps(change)
    def fault(
        adc_counts: Int16Array, rng: np.random.Generator, settings: FaultSettings
    ) -> Int16Array:
        if adc_counts.dtype != np.int16 or adc_counts.ndim != 2:
            raise ValueError(
                "adc_counts must be int16 (n_samples, n_leads), "
                f"got {adc_counts.dtype} {adc_counts.shape}"
            )
        n_samples, n_leads = adc_counts.shape
        stop = n_samples if settings.stop is None else settings.stop
        if max(settings.start, stop) > n_samples:
            raise ValueError(
                f"the stretch must lie in the {n_samples} samples, got {settings.start} to {stop}"
            )
        leads = tuple(range(n_leads)) if settings.leads is None else settings.leads
        if not set(leads) <= set(range(n_leads)) or len(set(leads)) < len(leads):
            raise ValueError(f"leads must be columns 0 to {n_leads - 1}, each once, got {leads}")
        changed = adc_counts.copy()
        if settings.strength == 0 or stop == settings.start or not leads:
            return changed
        hit = np.ix_(np.arange(settings.start, stop), np.array(leads))
        settings = replace(settings, stop=None if stop == n_samples else stop, leads=leads)
        made = np.rint(change(adc_counts[hit].astype(np.float64), rng, settings))
        changed[hit] = np.clip(made, settings.adc_min, settings.adc_max)
        return changed

    return fault


def _at_snr(
    counts: FloatArray, noise: FloatArray, rng: np.random.Generator, settings: FaultSettings
) -> FloatArray:
    """Return `counts` with `noise` (n, n_hit) at the SNR asked for, times the strength."""
    assert settings.leads is not None
    if settings.qrs_counts is None or max(settings.leads) >= len(settings.qrs_counts):
        raise ValueError(
            "noise at an SNR needs the QRS amplitude of every lead (FaultSettings.of measures it), "
            f"got qrs_counts {settings.qrs_counts} for lead {max(settings.leads)}"
        )
    # Noise that starts or ends inside the recording does so from zero: `nst` makes no step either.
    ramp = np.linspace(0, 1, len(noise))[:, np.newaxis]
    first = noise[0] * (settings.start > 0)
    last = noise[-1] * (settings.stop is not None)
    noise = noise - (1 - ramp) * first - ramp * last
    qrs_counts = np.array(settings.qrs_counts)[list(settings.leads)]
    rms = noise_rms(noise, settings.fs)
    if not rms.all():
        raise ValueError(
            f"noise must not be constant to have an SNR, got a constant ({settings.noise.name})"
        )
    gain = settings.strength * noise_gain(qrs_counts, rms, settings.snr_db)
    return counts + _rounded_to(noise, gain * rms, rng, settings)


def _rounded_to(
    noise: FloatArray, rms: FloatArray, rng: np.random.Generator, settings: FaultSettings
) -> FloatArray:
    """Return `noise` in whole counts, each lead scaled to have `rms` after rounding.

    Rounding adds power, 0.7 dB to noise of one count. The ECG itself lies anywhere inside its
    count, so the sum is rounded from there, as a converter would.
    """
    inside_count = rng.uniform(-0.5, 0.5, noise.shape)
    gain = rms / noise_rms(noise, settings.fs)
    for _ in range(N_ROUNDINGS):
        rounded = np.rint(gain * noise + inside_count)
        reached = noise_rms(rounded, settings.fs)
        if not reached.all():
            raise ValueError(
                f"noise must reach a count to have an SNR, at {settings.snr_db:g} dB and strength "
                f"{settings.strength:g} it has {rms.min():.2g} counts RMS"
            )
        gain = gain * rms / reached
    return np.asarray(rounded)


def _drawn(kind: str) -> Fault:
    def change(counts: FloatArray, rng: np.random.Generator, settings: FaultSettings) -> FloatArray:
        n_samples, n_leads = counts.shape
        noise = settings.noise.draw(kind, n_samples, n_leads, settings.fs, rng)
        return _at_snr(counts, noise, rng, settings)

    change.__doc__ = f"Add {kind.replace('_', ' ')} at an SNR, drawn from `settings.noise`."
    return _fault(change)


def _hum(counts: FloatArray, rng: np.random.Generator, settings: FaultSettings) -> FloatArray:
    """Return mains hum of amplitude about 1, in the shape of `counts`.

    The fundamental and its second, third and fifth harmonic, each a tenth of it on average, one
    frequency for all leads that wanders by 0.05 Hz within a minute. There is no filter in front of
    the converter: what lies above half the rate folds back, as in simple front ends.
    """
    mains_hz = settings.mains_hz or rng.choice(MAINS_HZ)
    n_samples, n_leads = counts.shape
    time_s = np.arange(n_samples)[:, np.newaxis] / settings.fs
    drift_hz = 1 / rng.uniform(20, 60)
    wobble = MAINS_DRIFT_HZ / drift_hz * np.sin(2 * np.pi * (drift_hz * time_s + rng.random()))
    cycles = mains_hz * time_s + wobble / (2 * np.pi)
    hum = np.zeros((n_samples, n_leads))
    for harmonic, height in ((1, 1.0), (2, 0.1), (3, 0.1), (5, 0.1)):
        heights = height * rng.uniform(0.5, 1.5, n_leads)
        hum += heights * np.sin(2 * np.pi * (harmonic * cycles + rng.random(n_leads)))
    return hum


def _mains_hum(counts: FloatArray, rng: np.random.Generator, settings: FaultSettings) -> FloatArray:
    """Add mains hum at an SNR: 50 or 60 Hz with harmonics and a slow drift."""
    return _at_snr(counts, _hum(counts, rng, settings), rng, settings)


def _saturation(
    counts: FloatArray, rng: np.random.Generator, settings: FaultSettings
) -> FloatArray:
    """Overload the amplifier: its gain jumps and its resting point moves towards a rail.

    At strength 1 it rests on the rail at 2 to 8 times the gain, so about half the samples clip.
    """
    n_leads = counts.shape[1]
    rail = rng.choice([settings.adc_min, settings.adc_max], n_leads)
    gain = 1 + settings.strength * (rng.uniform(2, 8, n_leads) - 1)
    rest = np.median(counts, axis=0)
    return np.asarray(rest + settings.strength * (rail - rest) + gain * (counts - rest))


def _lead_off(counts: FloatArray, rng: np.random.Generator, settings: FaultSettings) -> FloatArray:
    """Take an electrode off: the lead goes to a rail, or floats and picks up hum.

    With DC lead-off detection, pull-up and pull-down resistors saturate the channel (ADS1292R
    datasheet, SBAS502C, "DC Lead-Off"); without it the open input floats. Which, is drawn for
    each lead. The hum is 0.05 to 2 mV, the noise 0.01 mV.
    """
    n_leads = counts.shape[1]
    rail = rng.choice([settings.adc_min, settings.adc_max], n_leads)
    pulled = rng.random(n_leads) < 0.5
    hum_mv = np.where(pulled, 0.0, np.exp(rng.uniform(np.log(0.05), np.log(2.0), n_leads)))
    pickup_mv = hum_mv * _hum(counts, rng, settings)
    pickup_mv += 0.01 * rng.normal(size=counts.shape)
    rest = np.where(pulled, rail, float(settings.baseline))
    open_input = rest + settings.adc_gain * pickup_mv
    return (1 - settings.strength) * counts + settings.strength * open_input


def _flat_line(counts: FloatArray, rng: np.random.Generator, settings: FaultSettings) -> FloatArray:
    """Hold each lead at its first count or at 0 mV; at less than full strength, shrink to it."""
    held = np.where(rng.random(counts.shape[1]) < 0.5, counts[0], float(settings.baseline))
    return held + (1 - settings.strength) * (counts - held)


def _dropped_samples(
    counts: FloatArray, rng: np.random.Generator, settings: FaultSettings
) -> FloatArray:
    """Lose packets of 20 to 250 ms: the receiver holds, sends 0, or repeats the last packet.

    Which of the three, and how long a packet is, is drawn once; which packets, at random. One is
    lost at least, and the first one never, as there would be nothing to hold. In a stretch shorter
    than two packets, they are half as long as the stretch.
    """
    packet_len = max(1, round(rng.uniform(0.02, 0.25) * settings.fs))
    packet_len = min(packet_len, (len(counts) + 1) // 2)
    instead = rng.choice(["hold", "zero", "repeat"])
    starts = np.arange(packet_len, len(counts), packet_len)
    lost = rng.random(len(starts)) < DROPPED_PART_MAX * settings.strength
    if len(starts):
        lost[rng.integers(len(starts))] = True
    received = counts.copy()
    for start in starts[lost]:
        packet = received[start : start + packet_len]
        if instead == "hold":
            packet[:] = received[start - 1]
        elif instead == "zero":
            packet[:] = 0
        else:
            packet[:] = received[start - packet_len :][: len(packet)]
    return received


FAULTS: dict[str, Fault] = {
    "baseline_wander": _drawn("baseline_wander"),
    "muscle": _drawn("muscle"),
    "electrode_motion": _drawn("electrode_motion"),
    "mains_hum": _fault(_mains_hum),
    "saturation": _fault(_saturation),
    "lead_off": _fault(_lead_off),
    "flat_line": _fault(_flat_line),
    "dropped_samples": _fault(_dropped_samples),
}
"""Every fault by name; add one by writing a function and its line here."""

NOISE_FAULTS = ("baseline_wander", "muscle", "electrode_motion", "mains_hum")
"""Those that are added at an SNR."""
