"""The signal chain: raw ADC counts in, the int8 codes every network reads out.

Written once, as fixed-point C (`export/firmware/chain.c`); this module designs its coefficients and
calls it, so that training, replay and board filter with the same bits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import signal

from datasets import SUPERCLASSES, EcgRecord, WindowBatch, window_starts
from datasets.records import Int8Array, Int16Array

from .native import FirmwareError, native

FRACTION_BITS = 12  # BG_CHAIN_FRACTION_BITS
LEADS_MAX = 12  # BG_LEADS_MAX

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
    ]
)
"""`bg_chain_settings` of `export/firmware/chain.h`."""


@dataclass(frozen=True, slots=True)
class SignalChain:
    """ADC counts -> second-order Butterworth high-pass -> int8 codes of `lsb_mv` each.

    Parameters
    ----------
    fs : sample rate of the sensor in Hz.
    fs_target : sample rate of the codes in Hz; equal to `fs` in this version.
    adc_gain : ADC counts per mV; baseline : count that means 0 mV.
    highpass_hz : corner frequency, 0.05 (diagnostic ST segment) to 0.5 (monitoring) as in
        IEC 60601-2-47's two bandwidths.
    lsb_mv : mV per code. 1/64 mV covers +-2 mV, which 99.1 % of PTB-XL's lead I stay inside.

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

    def __post_init__(self) -> None:
        if self.fs != self.fs_target:
            raise ValueError(
                f"fs_target must equal fs (resampling is 1:1), "
                f"got {self.fs:g} -> {self.fs_target:g} Hz"
            )
        for name, low, high in (
            ("fs", 1, 100_000),
            ("adc_gain", 1e-3, 1e9),
            ("lsb_mv", 1e-6, 1e3),
            ("baseline", -32768, 32767),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {value}")
        if not 0.01 <= self.highpass_hz <= self.fs / 10:
            raise ValueError(
                f"highpass_hz must be in [0.01, fs / 10 = {self.fs / 10:g}], got {self.highpass_hz}"
            )

    def settings(self, n_leads: int) -> np.ndarray:
        """Return the C structure as a zero-dimensional array of `SETTINGS_DTYPE`.

        The Butterworth design is `scipy.signal.butter(2, highpass_hz, "highpass", fs=fs)`; its
        numerator is b0 * (1, -2, 1), so that only b0 is stored and DC is blocked exactly.
        """
        if not 1 <= n_leads <= LEADS_MAX:
            raise ValueError(f"n_leads must be in [1, {LEADS_MAX}], got {n_leads}")
        b, a = signal.butter(2, self.highpass_hz, "highpass", fs=self.fs_target)
        codes_per_state = 1 / (self.adc_gain * self.lsb_mv * 2**FRACTION_BITS)
        mantissa, exponent = np.frexp(codes_per_state)
        settings = np.zeros((), SETTINGS_DTYPE)
        settings["fs_sensor_mhz"] = round(self.fs * 1000)
        settings["fs_model_mhz"] = round(self.fs_target * 1000)
        settings["up"] = settings["down"] = 1
        settings["n_leads"] = n_leads
        settings["baseline"] = self.baseline
        settings["b0_q30"] = round(b[0] * 2**30)
        settings["a1_q30"] = round(a[1] * 2**30)
        settings["a2_q30"] = round(a[2] * 2**30)
        settings["scale"] = min(round(float(mantissa) * 2**31), 2**31 - 1)
        settings["scale_shift"] = 31 - int(exponent)
        settings["lsb_nv"] = round(self.lsb_mv * 1e6)
        return settings

    def apply(self, adc_counts: Int16Array) -> Int8Array:
        """Return the codes of one recording, int8 (n_samples, n_leads), for int16 counts alike.

        The filter starts as if the sensor had always shown the first sample.
        """
        counts = np.ascontiguousarray(adc_counts, np.int16)
        settings = self.settings(counts.shape[1])
        codes = np.empty(counts.shape, np.int8)
        c = native()
        status = c.lib.bgh_chain_apply(
            c.pointer(settings, "void"),
            c.pointer(counts, "int16_t"),
            len(counts),
            c.pointer(codes, "int8_t"),
        )
        if status:
            raise FirmwareError(f"the signal chain {self}", status)
        return codes


def check_front_end(record: EcgRecord, chain: SignalChain) -> None:
    """Raise ValueError unless `record` was sampled as `chain` expects."""
    for name in ("fs", "adc_gain", "baseline"):
        value, expected = getattr(record, name), getattr(chain, name)
        if value != expected:
            raise ValueError(
                f"{name} must be {expected:g} as in the signal chain, got {value:g} "
                f"in record {record.record_id}"
            )


def check_length(record: EcgRecord, window_len: int) -> None:
    """Raise ValueError unless `record` holds a window of `window_len` samples."""
    window_starts(len(record.adc_counts), window_len, window_len, record.record_id)


def windows_of(
    records: Iterable[EcgRecord], chain: SignalChain, window_len: int, hop_len: int
) -> WindowBatch:
    """Return every window of `records` after the signal chain, in order.

    Parameters
    ----------
    records : recordings with the same leads, at the chain's rate and gain.
    window_len, hop_len : in samples at the chain's target rate.

    Raises
    ------
    ValueError : no record, a record shorter than a window, other leads, another rate or gain.
    """
    x: list[Int8Array] = []
    owners: list[EcgRecord] = []
    starts: list[int] = []
    for record in records:
        check_front_end(record, chain)
        if owners and record.leads != owners[0].leads:
            raise ValueError(
                f"leads must be {', '.join(owners[0].leads)} in every record, "
                f"got {', '.join(record.leads)} in record {record.record_id}"
            )
        codes = chain.apply(record.adc_counts)
        for start in window_starts(len(codes), window_len, hop_len, record.record_id):
            x.append(codes[start : start + window_len])
            owners.append(record)
            starts.append(int(start))
    if not owners:
        raise ValueError("windows need at least one record, got none")
    return WindowBatch(
        x=np.stack(x),
        lsb_mv=chain.lsb_mv,
        fs=chain.fs_target,
        leads=owners[0].leads,
        record_ids=np.array([record.record_id for record in owners]),
        subject_ids=np.array([record.subject_id for record in owners]),
        starts=np.array(starts, np.int64),
        labels=np.array([[c in record.superclasses for c in SUPERCLASSES] for record in owners]),
        clean=np.array([record.clean for record in owners]),
    )
