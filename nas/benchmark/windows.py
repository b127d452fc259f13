"""The windows of a slot: to train on, to calibrate on, to test on, and the test's with noise."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets import EcgRecord, LeaveOneOut, WindowBatch
from datasets.faults import FaultSettings, add_fault
from datasets.records import Int8Array
from export.chain_windows import windows_of
from export.training_run import DataSettings

from ..training_data import familiar_windows, training_windows
from ..windows import Augmentation, TrainingWindows
from .cells import ScoredRecords

SNR_DB = (12.0, 6.0, 0.0, -6.0)
N_NOISY = 150
"""Clean in-distribution test records that noise is added to."""


@dataclass(frozen=True, slots=True)
class ScoredWindows:
    """The windows every figure is measured on.

    Parameters
    ----------
    records : the test records that carry a superclass, held out or not, in the data set's order.
    batch : all their windows; noisy : int8 (n_conditions, n_noisy, window_len, n_leads), the first
        window of the records `noise_of` with noise, kinds by SNRs; no conditions without noise.
    """

    records: ScoredRecords
    batch: WindowBatch
    noisy: Int8Array
    noise_kinds: tuple[str, ...]
    noise_of: tuple[int, ...]


class SlotWindows:
    """Windows of one held-out class and one set of leads, each made once.

    Parameters
    ----------
    protocol : the door to the recordings, its test sealed; settings : leads, chain, window.
    noise : folder of recorded noise; noise_kinds : those there are.
    """

    def __init__(
        self,
        protocol: LeaveOneOut,
        settings: DataSettings,
        noise: Path | None,
        noise_kinds: tuple[str, ...],
    ) -> None:
        self.protocol, self.settings = protocol, settings
        self._noise, self._noise_kinds = noise, noise_kinds
        self._test: ScoredWindows | None = None

    @cached_property
    def training(self) -> TrainingWindows:
        """In-distribution windows of the training split, not augmented."""
        return training_windows(self.protocol, self.settings, Augmentation())

    @cached_property
    def train(self) -> WindowBatch:
        """The same as a batch."""
        return familiar_windows(self.protocol, self.settings, "train")

    @cached_property
    def calibration(self) -> WindowBatch:
        """Clean in-distribution windows that thresholds are fitted on."""
        return familiar_windows(self.protocol, self.settings, "calibration", clean_only=True)

    @cached_property
    def validation(self) -> WindowBatch:
        """Clean in-distribution windows that the classifier's AUROC is reported on."""
        return familiar_windows(self.protocol, self.settings, "validation", clean_only=True)

    def test(self, opened: LeaveOneOut) -> ScoredWindows:
        """Return the test's windows.

        Parameters
        ----------
        opened : this protocol, opened for the candidate that is tested.

        Raises
        ------
        ValueError : the test is sealed.
        """
        ids = opened.record_ids("test", "unseen")  # refuses where it is sealed
        if self._test is None:
            self._test = self._make_test(opened, ids)
        return self._test

    def _make_test(self, opened: LeaveOneOut, ids: list[str]) -> ScoredWindows:
        roles = [opened.role_of(record_id) or "" for record_id in ids]
        leads = self.settings.leads
        records = [opened.open(i, r, leads).whole() for i, r in zip(ids, roles, strict=True)]
        rows = [row for row, role in enumerate(roles) if role == "test" and records[row].clean]
        chosen = np.random.default_rng(0).permutation(rows)[:N_NOISY]
        noise_of = tuple(sorted(map(int, chosen))) if self._noise_kinds else ()
        noisy = self._noisy(opened, [records[i] for i in noise_of])
        batch = self._windows(records)
        per_record = len(batch) // len(records)
        assert len(batch) == per_record * len(records)
        shape = (len(noisy), len(noise_of), *batch.x.shape[1:])
        first = [part.x[::per_record] for part in noisy]
        return ScoredWindows(
            records=ScoredRecords.of(records),
            batch=batch,
            noisy=np.array(first, np.int8).reshape(shape),
            noise_kinds=self._noise_kinds,
            noise_of=noise_of,
        )

    def _windows(self, records: list[EcgRecord]) -> WindowBatch:
        settings = self.settings
        return windows_of(records, settings.chain, settings.window_len, settings.hop_len)

    def _noisy(self, opened: LeaveOneOut, records: list[EcgRecord]) -> list[WindowBatch]:
        """Return the windows of test records with noise of the test's stretch, kinds by SNRs.

        A record's draw of a kind is its own, the same at every SNR and for every network.
        """
        if self._noise is None:
            return []
        noise = opened.noise("test", self._noise)
        settings = [FaultSettings.of(r, without_beats="percentiles", noise=noise) for r in records]

        def noisy(kind: str, snr_db: float) -> WindowBatch:
            changed = []
            for record, of in zip(records, settings, strict=True):
                rng = np.random.default_rng([*record.record_id.encode(), *kind.encode()])
                changed.append(add_fault(record, kind, rng, replace(of, snr_db=snr_db)))
            return self._windows(changed)

        return [noisy(kind, snr_db) for kind in self._noise_kinds for snr_db in SNR_DB]
