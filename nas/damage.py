"""Faulty twins of the training windows: generated faults in the raw records, before the chain.

No recorded noise and no quality label goes in, so that what a detector trained on them is worth can
be measured on recorded noise.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from datasets import FAULTS, EcgRecord, LeaveOneOut
from datasets.faults import NOISE_FAULTS, FaultSettings, add_fault
from datasets.noise import GENERATORS, SyntheticNoise
from datasets.progress import progress
from datasets.records import BoolArray, FloatArray, Int8Array, Stretch
from export.chain_windows import samples_shown, windows_of
from export.training_run import DataSettings

from .windows import Damaged

SNR_DB = (-6.0, 18.0)
"""Of noise, drawn evenly: from what drowns the ECG to what is left unlabelled, see `NEGLIGIBLE`."""

STRENGTH = (0.3, 1.0)  # of the faults that have no SNR
STRETCH_S_MIN = 2.5
WHOLE_PART = 0.5  # of the faults last the whole recording, and as many hit every lead
SECOND_PART = 0.25  # of the recordings have a second fault
NEGLIGIBLE = 0.2
"""A window whose codes a fault moved by less than this part of the ECG, both as RMS about the
lead's mean and in every lead, keeps the label of a clean one; 0.2 is -14 dB."""

QRS_MV_MIN = 0.1  # what noise is set against in a lead that shows hardly any ECG
OUTSIDE = 0.005  # part of a lead's samples above and below its QRS amplitude


def damaged_windows(
    protocol: LeaveOneOut, settings: DataSettings, codes: Int8Array, seed: int
) -> Damaged:
    """Return the training split's windows with faults in the recordings.

    Parameters
    ----------
    protocol : the door to the recordings; settings : leads, signal chain, window and hop.
    codes : int8 (n_windows, window_len, n_leads), the same windows without.
    seed : of every random choice; each recording has its own generator, so that a recording's
        faults do not depend on the others.
    """
    record_ids = protocol.record_ids("train")
    marks: list[tuple[Stretch, ...]] = []

    def broken(advance: Iterable[None]) -> Iterator[EcgRecord]:
        for i, record_id in enumerate(record_ids):
            record = protocol.open(record_id, "train", settings.leads).whole()
            faulty = with_faults(record, np.random.default_rng((seed, i)))
            marks.append(tuple(s for s in faulty.annotations.stretches if s.kind == "fault"))
            yield faulty
            advance()

    with progress("Synthetic faults", total=len(record_ids)) as advance:
        batch = windows_of(broken(advance), settings.chain, settings.window_len, settings.hop_len)
    assert batch.x.shape == codes.shape
    return batch
