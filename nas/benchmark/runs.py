"""Trains and scores one slot."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets import Candidate as FixedCandidate
from datasets import WindowBatch
from datasets.records import FloatArray, Int8Array
from export.native import Role
from export.pack import Network, make_network, representative_windows
from export.pipeline import Pipeline, run_network
from export.score_rules import SCORE_RULES
from export.training_run import TrainedPart, model_path

from .. import classifier as classifiers
from ..baselines import Baseline, confidence_scores, fit_baselines
from ..job import Job
from .cells import Cell, Ranked, ScoredRecords, rank
from .study import BASELINES, Keys, Slot, Study
from .windows import SNR_DB, ScoredWindows, SlotWindows

PREDICTED_AT_ONCE = 256


class Runner:
    """Runs slots of one study, one after another; those of the same data share their windows.

    Parameters
    ----------
    study : the recordings; work : folder for training runs. A finished or interrupted training of
        the same key that lies there is used or resumed.
    """

    def __init__(self, study: Study, work: Path) -> None:
        self._study, self._work = study, work
        self._key: tuple[str, str, float] | None = None
        self._windows: SlotWindows | None = None

    def run(self, slot: Slot) -> tuple[Cell, ScoredRecords]:
        """Return the cell of a slot and the records it scores.

        Raises
        ------
        ValueError, CheckFailed : the training or the conversion failed; the text says why.
        """
        keys = self._study.keys(slot)
        run = self._work / f"{slot.name}-{keys.training[:12]}"
        run.mkdir(parents=True, exist_ok=True)
        if slot.row == BASELINES:
            return self._baselines(slot, keys, run)
        return self._family(slot, keys, run)

    def _slot_windows(self, slot: Slot, window_s: float) -> SlotWindows:
        key = (*slot.data, window_s)
        if self._windows is None or self._key != key:
            self._windows = None  # the old ones go before the new ones come
            self._windows = SlotWindows(
                self._study.protocol(slot.hold_out),
                self._study.settings(*slot.data, window_s),
                self._study.setting.noise,
                tuple(self._study.noise),
            )
            self._key = key
        return self._windows

    def _family(self, slot: Slot, keys: Keys, run: Path) -> tuple[Cell, ScoredRecords]:
        from ..filter import train_filter

        start_s = time.monotonic()
        candidate = self._study.candidate(slot)
        windows = self._slot_windows(slot, candidate.window_s)
        settings = windows.settings
        candidate.check_cap((settings.window_len, len(settings.leads)))
        network = {n: v for n, v in candidate.to_json().items() if n not in ("plan", "window_s")}
        job = Job(run, "filter", settings, slot.seed, candidate.plan, network)
        trained = job.finished()
        if trained is None:
            training = replace(windows.training, augmentation=candidate.augmentation)
            trained = train_filter(job, candidate, training)
        trained_s = time.monotonic()
        representative = representative_windows(windows.protocol, settings, slot.seed)
        calibration = windows.calibration.x
        made = make_network(run, "filter", trained, representative, calibration)
        fixed = FixedCandidate(slot.name, hashlib.sha256(made.blob).hexdigest())
        test = windows.test(windows.protocol.opened_for(fixed))
        scored = _score(_int8_scores(made.blob), calibration, test)
        # Noise is scored as it ships; the float network is there for what int8 costs.
        clean_only = replace(test, noisy=test.noisy[:0])
        as_float = _score(_float_scores(run, trained), calibration, clean_only)
        details = {
            **_costs(made),
            "n_parameters": trained.details["n_parameters"],
            "spearman_int8_float": round(made.rank_correlation, 4),
            "execution": made.execution,
            "blob_sha256": fixed.sha256,
            "loss": trained.details["history"]["loss"],
            "training_s": round(trained_s - start_s, 1),
            "evaluation_s": round(time.monotonic() - trained_s, 1),
            **_provenance(self._study, trained, test),
        }
        scores = {"int8": scored, "float": as_float}
        return _cell(slot, keys, scores, test, len(calibration), details), test.records

    def _baselines(self, slot: Slot, keys: Keys, run: Path) -> tuple[Cell, ScoredRecords]:
        start_s = time.monotonic()
        windows = self._slot_windows(slot, self._study.settings(*slot.data).window_s)
        params = classifiers.Params()
        network = {"params": asdict(params)}
        job = Job(run, "classifier", windows.settings, slot.seed, classifiers.PLAN, network)
        trained = job.finished()
        if trained is None:
            trained = classifiers.train_classifier(job, params, windows.train, windows.validation)
        trained_s = time.monotonic()
        # A baseline is fixed by its code and its data: the key is their digest.
        fixed = FixedCandidate(slot.name, keys.training)
        fitted = fit_baselines(windows.train)
        logits = _outputs_of(run, "classifier", trained.data.lsb_mv)
        test = windows.test(windows.protocol.opened_for(fixed))
        calibration = windows.calibration
        scores = {
            name: _score(_of_codes(baseline, test.batch), calibration.x, test)
            for name, baseline in fitted.items()
        }
        confidence = _confidence(logits, trained.classes, calibration.x, test)
        details = {
            "classifier_auroc": trained.details["history"]["auroc"],
            "classifier_parameters": trained.details["n_parameters"],
            "training_s": round(trained_s - start_s, 1),
            "evaluation_s": round(time.monotonic() - trained_s, 1),
            **_provenance(self._study, trained, test),
        }
        scores |= confidence
        return _cell(slot, keys, scores, test, len(calibration), details), test.records


Score = Callable[[Int8Array], FloatArray]
"""Codes (n_windows, window_len, n_leads) -> scores (n_windows,)."""


def _score(score: Score, calibration: Int8Array, test: ScoredWindows) -> Ranked:
    noisy = [score(codes) for codes in test.noisy]
    return rank(score(calibration), score(test.batch.x), noisy)


def _int8_scores(blob: bytes) -> Score:
    return lambda codes: run_network(blob, Role.GATE, codes)[1].astype(np.float64)


def _float_scores(run: Path, trained: TrainedPart) -> Score:
    outputs_of = _outputs_of(run, "filter", trained.data.lsb_mv)
    rule = SCORE_RULES[str(trained.score_rule)]
    return lambda codes: rule.score_float(outputs_of(codes), trained.score_constants)


def _outputs_of(run: Path, part: str, lsb_mv: float) -> Score:
    """Return the trained float network: codes -> outputs, float64."""
    import keras

    model = keras.models.load_model(model_path(run, part), compile=False)

    def outputs(codes: Int8Array) -> FloatArray:
        parts = [
            model.predict_on_batch(codes[i : i + PREDICTED_AT_ONCE] * np.float32(lsb_mv))
            for i in range(0, len(codes), PREDICTED_AT_ONCE)
        ]
        return np.concatenate(parts).astype(np.float64)

    return outputs


def _confidence(
    logits: Score, classes: tuple[str, ...], calibration: Int8Array, test: ScoredWindows
) -> dict[str, Ranked]:
    """Return the ranks of what the classifier's confidence gives, its logits computed once."""
    parts = [confidence_scores(logits(x), classes) for x in (calibration, test.batch.x)]
    noisy = [confidence_scores(logits(x), classes) for x in test.noisy]
    return {
        name: rank(parts[0][name], parts[1][name], [condition[name] for condition in noisy])
        for name in parts[0]
    }


def _of_codes(baseline: Baseline, like: WindowBatch) -> Score:
    """Return a baseline as a score of codes alone, of windows like those of a batch."""

    def score(codes: Int8Array) -> FloatArray:
        n = len(codes)
        batch = WindowBatch(
            x=codes,
            lsb_mv=like.lsb_mv,
            fs=like.fs,
            leads=like.leads,
            record_ids=np.full(n, ""),
            subject_ids=np.full(n, ""),
            starts=np.zeros(n, np.int64),
            labels=np.zeros((n, like.labels.shape[1]), np.bool_),
            clean=np.ones(n, np.bool_),
        )
        return baseline(batch)

    return score


def _costs(made: Network) -> dict[str, int]:
    with Pipeline([made.blob], None) as pipeline:
        return {**made.cost, "arena_bytes": pipeline.arena_bytes}


def _provenance(study: Study, trained: TrainedPart, test: ScoredWindows) -> dict[str, Any]:
    return {
        "n_train_windows": trained.details["n_train_windows"],
        "commit": trained.details["commit"],
        "versions": trained.details["versions"],
        "dataset": study.dataset.name,
        "fingerprint": study.dataset.fingerprint,
        "rehearsal": study.setting.rehearsal,
        "leads": list(trained.data.leads),
        "noise_sha256": study.noise,
        "noise_remarks": study.noise_remarks,
    }


def _cell(
    slot: Slot,
    keys: Keys,
    scores: dict[str, Ranked],
    test: ScoredWindows,
    n_calibration: int,
    details: dict[str, Any],
) -> Cell:
    return Cell(
        slot=slot,
        keys=keys,
        scores=scores,
        records=test.records.sha256,
        noise_kinds=test.noise_kinds,
        noise_snr_db=SNR_DB if test.noise_kinds else (),
        noise_of=test.noise_of,
        n_calibration=n_calibration,
        details=details,
    )
