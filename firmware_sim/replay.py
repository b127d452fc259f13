"""Recordings through an engine: the filter, then the classifier on what passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets import SUPERCLASSES, Dataset, EcgRecord
from datasets.progress import progress
from datasets.reader import RecordReader
from datasets.records import BoolArray, FloatArray, Int64Array, StrArray
from export.bundle import Bundle
from export.chain_windows import check_front_end, check_length
from export.pipeline import Decision

from .engines import Engine, EngineOpener, InstructionCounts

CHUNK_LEN = 100_000  # samples read at once; a recording may last for days


@dataclass(frozen=True, slots=True)
class Replay:
    """What was decided of every window, beside what is true of its record.

    Parameters
    ----------
    record_ids, subject_ids : str arrays (n_windows,).
    starts : int64 (n_windows,), first sample of the window in its record.
    scores : int64 (n_windows,) of the filter, higher = more anomalous.
    accepted : bool (n_windows,).
    labels : int64 (n_windows,), the classifier's class index; -1 where the filter rejected.
    labels_alone : int64 (n_windows,), the class index of the classifier without a filter.
    truth : bool (n_windows, 5), columns in the order of `SUPERCLASSES`.
    clean : bool (n_windows,), the data set's authors remarked no noise.
    ages : float64 (n_windows,) in years, NaN where unknown.
    instructions, instructions_alone : of the pipeline and of the classifier alone, where the
        engine counts; one entry a window.
    """

    record_ids: StrArray
    subject_ids: StrArray
    starts: Int64Array
    scores: Int64Array
    accepted: BoolArray
    labels: Int64Array
    labels_alone: Int64Array
    truth: BoolArray
    clean: BoolArray
    ages: FloatArray
    instructions: InstructionCounts | None
    instructions_alone: InstructionCounts | None

    def __len__(self) -> int:
        return len(self.record_ids)


def replay(
    bundle: Bundle,
    dataset: Dataset,
    record_ids: Sequence[str],
    open_engine: EngineOpener,
    leads: Sequence[str] | None = None,
) -> Replay:
    """Replay whole records, each from a fresh reset, with the filter and without it.

    Parameters
    ----------
    bundle : networks, signal chain and leads.
    dataset, record_ids : what to replay, in this order.
    open_engine : one of `ENGINES`.
    leads : of the data set, what the bundle's networks are to take for theirs; default the same.

    Raises
    ------
    ValueError : no record, or one of another rate or gain than `bundle.chain` expects, or shorter
        than a window.
    """
    owners: list[EcgRecord] = []
    decisions: list[Decision] = []
    alone: list[Decision] = []
    with open_engine(bundle) as engine, open_engine(bundle, with_filter=False) as classifier:
        with progress("Replaying records", len(record_ids)) as advance:
            for record_id in record_ids:
                reader = dataset.open(record_id, leads or bundle.data.leads)
                check_front_end(reader.record, bundle.chain)
                check_length(reader, bundle.chain, bundle.data.window_len)
                made = _decide(engine, reader)
                owners += [reader.record] * len(made)
                decisions += made
                alone += _decide(classifier, reader)
                advance()
        counts, counts_alone = engine.instructions(), classifier.instructions()
    if not decisions:
        raise ValueError("a replay needs at least one record, got none")
    return Replay(
        record_ids=np.array([record.record_id for record in owners]),
        subject_ids=np.array([record.subject_id for record in owners]),
        starts=np.array([d.window_start for d in decisions], np.int64),
        scores=np.array([d.scores[0] for d in decisions], np.int64),
        accepted=np.array([d.accepted for d in decisions]),
        labels=np.array([-1 if d.label is None else d.label for d in decisions], np.int64),
        labels_alone=np.array([d.label for d in alone], np.int64),
        truth=np.array([[c in record.superclasses for c in SUPERCLASSES] for record in owners]),
        clean=np.array([record.clean for record in owners]),
        ages=np.array([np.nan if record.age is None else record.age for record in owners]),
        instructions=counts,
        instructions_alone=counts_alone,
    )


def spread_evenly(record_ids: Sequence[str], n: int | None) -> list[str]:
    """Return at most `n` of `record_ids`, evenly spread and in order; all of them for None."""
    if n is None or n >= len(record_ids):
        return list(record_ids)
    return [record_ids[i * len(record_ids) // n] for i in range(n)]


def _decide(engine: Engine, reader: RecordReader) -> list[Decision]:
    engine.reset()
    return [d for counts in reader.chunks(CHUNK_LEN) for d in engine.push(counts)]
