"""Golden windows: inputs with the decisions that every engine and every board must give."""

import io

import numpy as np

from datasets import EcgRecord
from datasets.records import Int16Array

from .pipeline import Pipeline

N_RECORDED = 12


def golden_windows(records: list[EcgRecord], window_len: int) -> Int16Array:
    """Return recorded windows, then an unplugged, a saturated and a random one.

    int16 counts (n_windows, window_len, n_leads); recorded are the first windows of `records`.
    """
    recorded = np.stack([record.adc_counts[:window_len] for record in records[:N_RECORDED]])
    shape = recorded.shape[1:]
    rails = np.where(np.arange(window_len)[:, np.newaxis] % 50 < 25, 32767, -32768)
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
