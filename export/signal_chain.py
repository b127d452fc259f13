"""The signal chain: raw ADC counts in, the int8 codes every network reads out.

Written once, as fixed-point C (`export/firmware/chain.c`); this module designs its coefficients and
calls it, so that training, replay and board filter with the same bits. docs/signal-chain.md.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from datasets.records import FloatArray, Int8Array, Int16Array

from .native import FirmwareError, native
from .resampler import Resampler, design_resampler

FRACTION_BITS = 12  # BG_CHAIN_FRACTION_BITS
LEADS_MAX = 12  # BG_LEADS_MAX
NOTCH_WIDTH_HZ = 2.0
"""Of the mains notch between its -3 dB points; mains stay within 0.2 Hz of nominal (EN 50160 allows
1 % in 99.5 % of a year), and a narrower notch rings longer on every QRS complex."""
MAINS_HZ = (50.0, 60.0)

SENSOR_RATES = (100.0, 125.0, 128.0, 200.0, 250.0, 256.0, 300.0, 360.0, 500.0, 512.0, 1000.0)
"""Rates of common sensors and data sets in Hz, each tested against scipy; others may run too."""

SETTINGS_DTYPE = np.dtype(
    [
        ("fs_sensor_mhz", "<u4"),
        ("fs_model_mhz", "<u4"),
        ("up", "<u2"),
        ("down", "<u2"),
        ("n_leads", "<u2"),
        ("baseline", "<i2"),
        ("b0_q30", "<i4"),
        ("a1_q30", "<i4"),
        ("a2_q30", "<i4"),
        ("scale", "<i4"),
        ("scale_shift", "<u4"),
        ("lsb_nv", "<u4"),
        ("notch_b0_q30", "<i4"),
        ("notch_a1_q30", "<i4"),
        ("taps_per_phase", "<u2"),
        ("taps_shift", "<u2"),
    ]
)
"""`bg_chain_settings` of `export/firmware/chain.h`."""


@dataclass(frozen=True, slots=True)
class SignalChain:
    """ADC counts -> mains notch -> resampler -> high-pass -> int8 codes of `lsb_mv` each.

    Parameters
    ----------
    fs : sample rate of the sensor in Hz.
    fs_target : sample rate of the codes in Hz; equal to `fs`, or reached by the polyphase filter of
        `design_resampler`.
    adc_gain : ADC counts per mV; baseline : count that means 0 mV.
    highpass_hz : corner frequency of a second-order Butterworth, 0.05 (diagnostic ST segment) to
        0.5 (monitoring) as in IEC 60601-2-47's two bandwidths.
    lsb_mv : mV per code. 1/64 mV covers +-2 mV, which 99.1 % of PTB-XL's lead I stay inside.
    mains_hz : mains frequency to take out, 50 or 60, None for no notch. It is taken out at the
        sensor's rate, which must be above twice that: at a model's 100 Hz, 50 Hz is the very end of
        the band.

    Raises
    ------
    ValueError : a setting is out of range; the text names it and its value.
    """

    fs: float = 100.0
    fs_target: float = 100.0
    adc_gain: float = 1000.0
    baseline: int = 0
    highpass_hz: float = 0.5
    lsb_mv: float = 1 / 64
    mains_hz: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("fs", 1, 100_000),
            ("fs_target", 1, 100_000),
            ("adc_gain", 1e-3, 1e9),
            ("lsb_mv", 1e-6, 1e3),
            ("baseline", -32768, 32767),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {value}")
        if not 0.01 <= self.highpass_hz <= self.fs_target / 10:
            raise ValueError(
                f"highpass_hz must be in [0.01, fs_target / 10 = {self.fs_target / 10:g}], "
                f"got {self.highpass_hz}"
            )
        self._check_mains()
        try:
            _ = self.resampler
        except ValueError as error:
            raise ValueError(
                f"fs_target must be reachable from fs, got {self.fs:g} -> {self.fs_target:g} Hz: "
                f"{error}"
            ) from error

    def _check_mains(self) -> None:
        if self.mains_hz is None:
            return
        if self.mains_hz not in MAINS_HZ:
            raise ValueError(f"mains_hz must be 50 or 60 or none, got {self.mains_hz:g}")
        lowest = lowest_rate(self.mains_hz)
        if self.fs <= lowest:
            raise ValueError(
                f"mains_hz {self.mains_hz:g} needs a sensor above {lowest:g} Hz, which can tell it "
                f"from the signal; got fs {self.fs:g}"
            )

    @property
    def ratio(self) -> Fraction:
        """Frames of codes a frame of counts, in lowest terms."""
        return Fraction(round(self.fs_target * 1000), round(self.fs * 1000))

    @property
    def resampler(self) -> Resampler | None:
        """The filter between the two rates, None where they are equal."""
        ratio = self.ratio
        return None if ratio == 1 else design_resampler(ratio.numerator, ratio.denominator)

    @property
    def delay_s(self) -> float:
        """How much later a feature shows in the codes than in the counts, in seconds.

        The resampler's alone: it is the same at every frequency. High-pass and notch have no delay
        to speak of, but their phase turns near their corners.
        """
        return 0.0 if self.resampler is None else float(self.resampler.delay) / self.fs

    def n_codes(self, n_samples: int) -> int:
        """Return how many frames of codes the first `n_samples` frames of counts complete."""
        return -(-n_samples * self.ratio.numerator // self.ratio.denominator)

    def n_samples(self, n_codes: int) -> int:
        """Return the least number of frames of counts that complete `n_codes` frames of codes."""
        return (n_codes - 1) * self.ratio.denominator // self.ratio.numerator + 1

    def for_front_end(
        self, fs: float, adc_gain: float, baseline: int, mains_hz: float | None = None
    ) -> "SignalChain":
        """Return the chain that makes the same codes from another sensor's counts.

        The notch goes with the sensor and where it is used, so it is not taken over.
        """
        return replace(self, fs=fs, adc_gain=adc_gain, baseline=baseline, mains_hz=mains_hz)

    @property
    def front_end(self) -> dict[str, Any]:
        """What `for_front_end` takes: the sensor's side of the chain, by name."""
        return {name: getattr(self, name) for name in ("fs", "adc_gain", "baseline", "mains_hz")}

    def settings(self, n_leads: int) -> np.ndarray:
        """Return the C structure as a zero-dimensional array of `SETTINGS_DTYPE`, read-only."""
        if not 1 <= n_leads <= LEADS_MAX:
            raise ValueError(f"n_leads must be in [1, {LEADS_MAX}], got {n_leads}")
        return _settings(self, n_leads)

    @property
    def taps(self) -> Int16Array | None:
        """The resampler's coefficients as the blob holds them, None where there is none."""
        return None if self.resampler is None else self.resampler.taps

    def blob_bytes(self, n_leads: int) -> bytes:
        """Return what a blob holds of the chain: the settings, then the taps."""
        taps = b"" if self.taps is None else self.taps.astype("<i2").tobytes()
        return self.settings(n_leads).tobytes() + taps

    def apply(self, adc_counts: Int16Array) -> Int8Array:
        """Return the codes of one recording, int8 (n_codes, n_leads).

        `adc_counts` is int16 (n_samples, n_leads). The filters start as if the sensor had always
        shown the first sample.
        """
        return ChainStream(self, adc_counts.shape[1]).push(adc_counts)


def lowest_rate(mains_hz: float) -> float:
    """Return the sensor rate in Hz above which the notch at `mains_hz` fits below half of it."""
    return 2 * mains_hz + NOTCH_WIDTH_HZ


@lru_cache(maxsize=256)
def _settings(chain: SignalChain, n_leads: int) -> np.ndarray:
    """Design the filters; see `SignalChain.settings`.

    Both are kept in forms whose gain at DC is exact in integers: the Butterworth high-pass
    (`scipy.signal.butter`) has the numerator b0 * (1, -2, 1), which blocks it; the notch
    (`scipy.signal.iirnotch`) has b = (b0, a1, b0) and a2 = 2 * b0 - 1, which pass it.
    """
    b, a = signal.butter(2, chain.highpass_hz, "highpass", fs=chain.fs_target)
    codes_per_state = 1 / (chain.adc_gain * chain.lsb_mv * 2**FRACTION_BITS)
    mantissa, exponent = np.frexp(codes_per_state)
    settings = np.zeros((), SETTINGS_DTYPE)
    settings["fs_sensor_mhz"] = round(chain.fs * 1000)
    settings["fs_model_mhz"] = round(chain.fs_target * 1000)
    settings["up"], settings["down"] = chain.ratio.numerator, chain.ratio.denominator
    settings["n_leads"] = n_leads
    settings["baseline"] = chain.baseline
    settings["b0_q30"] = round(b[0] * 2**30)
    settings["a1_q30"] = round(a[1] * 2**30)
    settings["a2_q30"] = round(a[2] * 2**30)
    settings["scale"] = min(round(float(mantissa) * 2**31), 2**31 - 1)
    settings["scale_shift"] = 31 - int(exponent)
    settings["lsb_nv"] = round(chain.lsb_mv * 1e6)
    if chain.mains_hz is not None:
        b, a = signal.iirnotch(chain.mains_hz, chain.mains_hz / NOTCH_WIDTH_HZ, fs=chain.fs)
        settings["notch_b0_q30"] = round(b[0] * 2**30)
        settings["notch_a1_q30"] = round(a[1] * 2**30)
    if chain.resampler is not None:
        settings["taps_per_phase"] = chain.resampler.taps.shape[1]
        settings["taps_shift"] = chain.resampler.shift
    settings.flags.writeable = False
    return settings


class ChainStream:
    """A signal chain that takes a recording piece by piece; the codes do not depend on the cuts.

    Parameters
    ----------
    chain : its settings; n_leads : columns of the counts.

    Raises
    ------
    FirmwareError : the firmware refuses the settings.
    """

    def __init__(self, chain: SignalChain, n_leads: int) -> None:
        self._c = native()
        self._n_leads = n_leads
        self._settings, self._taps = chain.settings(n_leads), chain.taps  # the C points into them
        ffi, status = self._c.ffi, self._c.ffi.new("int *")
        handle = self._c.lib.bgh_chain_open(
            self._c.pointer(self._settings, "void"),
            ffi.NULL if self._taps is None else self._c.pointer(self._taps, "int16_t"),
            status,
        )
        if handle == ffi.NULL:
            raise FirmwareError(f"the signal chain {chain}", status[0])
        self._handle = ffi.gc(handle, self._c.lib.bgh_chain_close)

    def push(self, adc_counts: Int16Array) -> Int8Array:
        """Take int16 counts (n_samples, n_leads); return the codes they complete, int8 alike."""
        return self._push(adc_counts, None)

    def push_unrounded(self, adc_counts: Int16Array) -> FloatArray:
        """Take counts as `push` does; return what is rounded to the codes, in ADC counts.

        float64 (m, n_leads), exact: multiples of 2^-FRACTION_BITS of a count.
        """
        n_codes = self._c.lib.bgh_chain_frames(self._handle, len(adc_counts))
        states = np.empty((n_codes, self._n_leads), np.int32)
        self._push(adc_counts, states)
        unrounded: FloatArray = states / 2**FRACTION_BITS
        return unrounded

    def _push(self, adc_counts: Int16Array, states: npt.NDArray[np.int32] | None) -> Int8Array:
        counts = np.ascontiguousarray(adc_counts, np.int16)
        if counts.ndim != 2 or counts.shape[1] != self._n_leads:
            raise ValueError(f"adc_counts must be (n_samples, {self._n_leads}), got {counts.shape}")
        n_codes = self._c.lib.bgh_chain_frames(self._handle, len(counts))
        codes = np.empty((n_codes, self._n_leads), np.int8)
        self._c.lib.bgh_chain_push(
            self._handle,
            self._c.pointer(counts, "int16_t"),
            len(counts),
            self._c.pointer(codes, "int8_t"),
            self._c.ffi.NULL if states is None else self._c.pointer(states, "int32_t"),
        )
        return codes

    def reset(self) -> None:
        """Forget the signal: the next sample starts a new recording."""
        self._c.lib.bgh_chain_reset(self._handle)
