"""What the signal chain does, measured: its response, and how far the integers are from scipy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from datasets.records import FloatArray, Int16Array

from .resampler import PASS_BAND, STOP_BAND, impulse_response
from .signal_chain import (
    MAINS_HZ,
    NOTCH_WIDTH_HZ,
    SENSOR_RATES,
    ChainStream,
    SignalChain,
    lowest_rate,
)

TEST_S = 60.0  # of the signal that both run
GRID_HZ = 0.01  # of the measured response
MAINS_DRIFT_HZ = 0.1  # mains stay this close to nominal nearly all the time


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """One row of the tables in docs/signal-chain.md.

    Parameters
    ----------
    fs, fs_target : rates in Hz; up, down : their ratio.
    n_taps : multiply-accumulates a code; tap_bytes : of the table in the blob.
    memory_bytes : of the arena, a lead.
    delay_ms : of the resampler.
    ripple_db : largest deviation from 0 dB in the pass-band, 0 to 0.4 of the lower rate; the notch
        is left out.
    stop_db : least attenuation from 0.6 of the lower rate up, of what would alias into the
        pass-band; None where nothing is resampled.
    mains_db : least attenuation of 50 and of 60 Hz, each within `MAINS_DRIFT_HZ`; None where the
        sensor's own sampling cannot tell them.
    state_error, code_error : largest difference to the float64 filters of scipy, in codes: before
        the rounding to a code, and after.
    """

    fs: float
    fs_target: float
    up: int
    down: int
    n_taps: int
    tap_bytes: int
    memory_bytes: int
    delay_ms: float
    ripple_db: float
    stop_db: float | None
    mains_db: tuple[float | None, float | None]
    state_error: float
    code_error: float


def measure_chain(chain: SignalChain) -> ChainFigures:
    """Measure one chain: the response of its integer coefficients, its distance from scipy."""
    taps, settings = chain.taps, chain.settings(1)
    edge = min(chain.fs, chain.fs_target)
    frequency_hz, gain_db = resampler_response(chain)
    n_sections = 2 if settings["notch_b0_q30"] else 1
    state_error, code_error = errors(chain)
    fifty, sixty = (_attenuation_db(chain, hz) for hz in MAINS_HZ)
    return ChainFigures(
        fs=chain.fs,
        fs_target=chain.fs_target,
        up=chain.ratio.numerator,
        down=chain.ratio.denominator,
        n_taps=0 if taps is None else taps.shape[1],
        tap_bytes=0 if taps is None else taps.nbytes,
        memory_bytes=20 * n_sections + 4 * (1 if taps is None else taps.shape[1]),
        delay_ms=1000 * chain.delay_s,
        ripple_db=float(np.abs(gain_db[frequency_hz <= PASS_BAND * edge]).max()),
        stop_db=None if taps is None else -float(gain_db[frequency_hz >= STOP_BAND * edge].max()),
        mains_db=(fifty, sixty),
        state_error=state_error,
        code_error=code_error,
    )


def sensor_chains(fs_target: float, mains_hz: float | None) -> list[SignalChain]:
    """Return the chain from each of `SENSOR_RATES` to `fs_target`, with the notch or without.

    A sensor too slow for the notch is left out.

    Raises
    ------
    ValueError : the model's rate or the mains are out of range.
    """
    slowest = 0.0 if mains_hz is None else lowest_rate(mains_hz)
    return [
        SignalChain(fs=fs, fs_target=fs_target, mains_hz=mains_hz)
        for fs in SENSOR_RATES
        if fs > slowest
    ]


def markdown_table(figures: Sequence[ChainFigures]) -> str:
    """Return the figures as the table of docs/signal-chain.md."""
    head = (
        "sensor, Hz | ratio | taps | flash, bytes | arena a lead, bytes | delay, ms | ripple, dB"
        " | stop-band, dB | 50 Hz, dB | 60 Hz, dB | error before rounding | error of a code"
    )
    rows = [
        f"{f.fs:g} | {f.up}/{f.down} | {f.n_taps or '-'} | {f.tap_bytes} | {f.memory_bytes}"
        f" | {f.delay_ms:g} | {f.ripple_db:.3f} | {_decibel(f.stop_db)}"
        f" | {' | '.join(map(_decibel, f.mains_db))} | {f.state_error:.4f} | {f.code_error:.4f}"
        for f in figures
    ]
    lines = [head, "|".join(["---"] * (head.count("|") + 1)), *rows]
    return "\n".join(f"| {line} |" for line in lines)


def _decibel(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 1) + 0.0:.1f}"  # no "-0.0"


def resampler_response(chain: SignalChain) -> tuple[FloatArray, FloatArray]:
    """Return the resampler's gain in dB at frequencies in Hz, 0 to half of `up` times the rate."""
    resampler = chain.resampler
    up = 1 if resampler is None else resampler.up
    frequency_hz: FloatArray = np.arange(0, up * chain.fs / 2, GRID_HZ)
    if resampler is None:
        return frequency_hz, np.zeros(len(frequency_hz))
    response = resampler.taps.T.ravel() / (up * 2**resampler.shift)
    gain = np.abs(np.fft.rfft(response, round(up * chain.fs / GRID_HZ)))[: len(frequency_hz)]
    gain_db: FloatArray = 20 * np.log10(gain + 1e-12)
    return frequency_hz, gain_db


def notch_response(chain: SignalChain, frequency_hz: FloatArray) -> FloatArray:
    """Return the notch's gain in dB at `frequency_hz`; 0 where the chain has none."""
    settings = chain.settings(1)
    b0, a1 = (int(settings[name]) / 2**30 for name in ("notch_b0_q30", "notch_a1_q30"))
    if b0 == 0:
        return np.zeros(len(frequency_hz))
    _, gain = signal.freqz([b0, a1, b0], [1, a1, 2 * b0 - 1], frequency_hz, fs=chain.fs)
    gain_db: FloatArray = 20 * np.log10(np.abs(gain) + 1e-12)
    return gain_db


def highpass_response(chain: SignalChain, frequency_hz: FloatArray) -> FloatArray:
    """Return the high-pass's gain in dB where `frequency_hz` of the sensor lands after resampling.

    A frequency above half the model's rate is folded down to where it aliases.
    """
    settings = chain.settings(1)
    b0, a1, a2 = (int(settings[f"{name}_q30"]) / 2**30 for name in ("b0", "a1", "a2"))
    _, gain = signal.freqz([b0, -2 * b0, b0], [1, a1, a2], frequency_hz, fs=chain.fs_target)
    gain_db: FloatArray = 20 * np.log10(np.abs(gain) + 1e-12)
    return gain_db


def _attenuation_db(chain: SignalChain, mains_hz: float) -> float | None:
    if 2 * (mains_hz + MAINS_DRIFT_HZ) >= chain.fs:
        return None
    frequency_hz, gain_db = resampler_response(chain)
    near = np.abs(frequency_hz - mains_hz) <= MAINS_DRIFT_HZ + GRID_HZ / 2
    return -float((gain_db[near] + notch_response(chain, frequency_hz[near])).max())


def errors(chain: SignalChain) -> tuple[float, float]:
    """Return the largest differences to scipy, in codes: before the rounding, and of the codes."""
    counts = example_counts(chain)
    expected = scipy_codes(counts, chain)
    stream = ChainStream(chain, counts.shape[1])
    unrounded = stream.push_unrounded(counts) / (chain.adc_gain * chain.lsb_mv)
    codes = chain.apply(counts)
    return (
        float(np.abs(unrounded - expected).max()),
        float(np.abs(codes - expected.clip(-128, 127)).max()),
    )


def example_counts(chain: SignalChain) -> Int16Array:
    """Return a minute of beats, wander, hum, noise and an electrode's offset: int16 (n, 2)."""
    rng = np.random.default_rng(0)
    time_s = np.arange(round(TEST_S * chain.fs))[:, np.newaxis] / chain.fs
    phase_s = time_s % 0.8
    beats_mv = np.exp(-(((phase_s - 0.3) / 0.012) ** 2)) + 0.2 * np.sin(2 * np.pi * phase_s)
    wander_mv = 0.5 * np.sin(2 * np.pi * 0.3 * time_s + rng.uniform(0, 6, 2))
    hum_mv = 0.2 * np.sin(2 * np.pi * 50 * time_s) + 0.1 * np.sin(2 * np.pi * 60 * time_s)
    noise_mv = rng.normal(0, 0.05, (len(time_s), 2))
    total_mv = beats_mv + wander_mv + hum_mv + noise_mv + [3.0, -3.0]
    counts = np.round(total_mv * chain.adc_gain + chain.baseline)
    return counts.clip(-32768, 32767).astype(np.int16)


def scipy_codes(counts: Int16Array, chain: SignalChain) -> FloatArray:
    """Return what the same filters in float64 give, in codes before rounding and clipping.

    The coefficients are those of the design, not the quantised ones, so that the difference to the
    chain holds every error it makes. All filters start as the chain's do, in the steady state of
    the first sample.
    """
    x = counts.astype(np.float64) - chain.baseline
    if chain.mains_hz is not None:
        quality = chain.mains_hz / NOTCH_WIDTH_HZ
        b, a = signal.iirnotch(chain.mains_hz, quality, fs=chain.fs)
        x, _ = signal.lfilter(b, a, x, axis=0, zi=np.outer(signal.lfilter_zi(b, a), x[0]))
    if chain.resampler is not None:
        x = _upfirdn(x, chain.resampler.up, chain.resampler.down)
    sos = signal.butter(2, chain.highpass_hz, "highpass", fs=chain.fs_target, output="sos")
    start = signal.sosfilt_zi(sos)[:, :, np.newaxis] * x[0]
    filtered, _ = signal.sosfilt(sos, x, axis=0, zi=start)
    codes: FloatArray = filtered / (chain.adc_gain * chain.lsb_mv)
    return codes


def _upfirdn(x: FloatArray, up: int, down: int) -> FloatArray:
    """Resample `x` (n_samples, n_leads), to which the first sample came before for long enough."""
    response = impulse_response(up, down)
    n_before = down * -(-len(response) // (up * down))  # whole periods of the phases
    before = np.broadcast_to(x[0], (n_before, x.shape[1]))
    y = signal.upfirdn(response, np.concatenate([before, x]), up, down, axis=0)
    n_skipped = n_before // down * up
    resampled: FloatArray = y[n_skipped : n_skipped - (-len(x) * up // down)]
    return resampled
