"""Golden windows: inputs with the decisions that every engine and every board must give."""

import io
from collections.abc import Sequence

import numpy as np
from scipy import signal

from datasets import EcgRecord
from datasets.records import Int16Array

from .pipeline import Pipeline
from .signal_chain import SignalChain

N_RECORDED = 12
N_FAULTS = 3


def golden_windows(records: Sequence[EcgRecord], n_samples: int) -> Int16Array:
    """Return recorded windows, then an unplugged, a saturated and a random one.

    int16 counts (n_windows, n_samples, n_leads); recorded are the first samples of `records`.
    """
    return _with_faults(
        np.stack([record.adc_counts[:n_samples] for record in records[:N_RECORDED]])
    )


def other_sensors(
    adc_counts: Int16Array, chain: SignalChain, other: SignalChain, window_len: int
) -> Int16Array:
    """Return what the sensor of the chain `other` delivers of golden windows.

    Recorded windows are resampled and scaled, and are so much like the recording as golden windows
    have to be; the three of faults are made anew.

    Parameters
    ----------
    adc_counts : int16 (n_windows, n_samples, n_leads), made for `chain`.
    window_len : of a window, in samples of the model.
    """
    mv = (adc_counts[:-N_FAULTS].astype(np.float64) - chain.baseline) / chain.adc_gain
    ratio = chain.ratio / other.ratio
    mv = signal.resample_poly(mv, ratio.numerator, ratio.denominator, axis=1, padtype="edge")
    n_samples = other.n_samples(window_len)
    mv = np.pad(mv, ((0, 0), (0, n_samples), (0, 0)), mode="edge")[:, :n_samples]
    counts = np.round(mv * other.adc_gain + other.baseline).clip(-32768, 32767)
    return _with_faults(counts.astype(np.int16))


def _with_faults(recorded: Int16Array) -> Int16Array:
    shape = recorded.shape[1:]
    rails = np.where(np.arange(len(recorded[0]))[:, np.newaxis] % 50 < 25, 32767, -32768)
    noise = np.random.default_rng(0).integers(-3000, 3000, shape)
    faults = np.stack([np.zeros(shape), np.broadcast_to(rails, shape), noise])
    return np.concatenate([recorded, faults]).astype(np.int16)


def golden_file(gate: bytes, classifier: bytes, adc_counts: Int16Array) -> bytes:
    """Return golden.npz: `adc_counts` and what the pipeline of the two blobs decides of each."""
    decisions = []
    with Pipeline([gate], classifier) as pipeline:
        for window in adc_counts:
            pipeline.reset()
            decisions += pipeline.push(window)
    assert len(decisions) == len(adc_counts)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        adc_counts=adc_counts,
        scores=np.array([d.scores[0] for d in decisions], np.int64),
        accepted=np.array([d.accepted for d in decisions]),
        labels=np.array([-1 if d.label is None else d.label for d in decisions], np.int64),
        margins=np.array([d.margin or 0 for d in decisions], np.int64),
    )
    return buffer.getvalue()
