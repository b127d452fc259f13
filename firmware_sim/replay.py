"""Recordings through an engine: the filter, then the classifier on what passes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from datasets import SUPERCLASSES, EcgRecord
from datasets.grades import Grades
from datasets.progress import progress
from datasets.reader import RecordReader
from datasets.records import BoolArray, FloatArray, Int8Array, Int64Array, StrArray
from export.bundle import Bundle
from export.chain_windows import check_front_end, samples_shown
from export.pipeline import Decision

from .engines import Engine, EngineOpener, InstructionCounts
from .front_end import OpenRecord, Part, Programme

CHUNK_LEN = 100_000  # samples read at once; a recording may last for days
DECIDED = np.dtype([("start", "i8"), ("score", "i8"), ("accepted", "?"), ("label", "i2")])


@dataclass(frozen=True, slots=True)
class Replay:
    """What was decided of every window, beside what is true of its record.

    Parameters
    ----------
    record_ids, subject_ids : str arrays (n_windows,).
    starts : int64 (n_windows,), first sample of the window in its record, at the networks' rate.
    scores : int64 (n_windows,) of the filter, higher = more anomalous.
    accepted : bool (n_windows,).
    labels : int64 (n_windows,), the classifier's class index; -1 where the filter rejected.
    labels_alone : int64 (n_windows,), the class index of the classifier without a filter.
    truth : bool (n_windows, 5), columns in the order of `SUPERCLASSES`.
    clean : bool (n_windows,), the data set's authors remarked no noise.
    quality : int8 (n_windows,), the worst grade annotators gave a sample of the window, 1 clean to
        3 unusable; 0 where not all of it has one.
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
    quality: Int8Array
    ages: FloatArray
    instructions: InstructionCounts | None
    instructions_alone: InstructionCounts | None

    def __len__(self) -> int:
        return len(self.record_ids)


@dataclass(frozen=True, slots=True)
class _Played:
    """One record: without its samples, and what was decided of it, arrays of `DECIDED`."""

    record: EcgRecord
    quality: Int8Array
    decided: np.ndarray
    alone: np.ndarray


def replay(programme: Programme, open_record: OpenRecord, open_engine: EngineOpener) -> Replay:
    """Replay whole records, each from a fresh reset, with the filter and without it.

    Memory does not grow with the recordings but by some 100 bytes a window.

    Parameters
    ----------
    programme : the records in order, and the bundle to play each on.
    open_record : opens one of them.
    open_engine : one of `ENGINES`.

    Raises
    ------
    ValueError : a record has changed since the programme was made.
    """
    played: list[_Played] = []
    counts: list[InstructionCounts | None] = []
    counts_alone: list[InstructionCounts | None] = []
    n_windows = sum(sum(part.n_windows.values()) for part in programme.parts)
    with progress("Replaying windows", n_windows) as advance:
        for part in programme.parts:
            with (
                open_engine(part.bundle) as engine,
                open_engine(part.bundle, with_filter=False) as classifier,
            ):
                played += _play(part, programme.leads, open_record, engine, classifier, advance)
                counts.append(engine.instructions())
                counts_alone.append(classifier.instructions())
    decided = np.concatenate([p.decided for p in played])
    n_by_record = [len(p.decided) for p in played]

    def per_window(values: Iterable[object]) -> np.ndarray:
        return np.repeat(np.array(list(values)), n_by_record, axis=0)

    return Replay(
        record_ids=per_window(p.record.record_id for p in played),
        subject_ids=per_window(p.record.subject_id for p in played),
        starts=decided["start"],
        scores=decided["score"],
        accepted=decided["accepted"],
        labels=decided["label"].astype(np.int64),
        labels_alone=np.concatenate([p.alone["label"] for p in played]).astype(np.int64),
        truth=per_window([c in p.record.superclasses for c in SUPERCLASSES] for p in played),
        clean=per_window(p.record.clean for p in played),
        quality=np.concatenate([p.quality for p in played]),
        ages=per_window(np.nan if p.record.age is None else p.record.age for p in played),
        instructions=_sum(counts),
        instructions_alone=_sum(counts_alone),
    )


def spread_evenly(record_ids: Sequence[str], n: int | None) -> list[str]:
    """Return at most `n` of `record_ids`, evenly spread and in order; all of them for None."""
    if n is None or n >= len(record_ids):
        return list(record_ids)
    return [record_ids[i * len(record_ids) // n] for i in range(n)]


def _play(
    part: Part,
    leads: Sequence[str],
    open_record: OpenRecord,
    engine: Engine,
    classifier: Engine,
    advance: Callable[[int], None],
) -> list[_Played]:
    """Play one part on both engines."""
    played = []
    for record_id, n_windows in part.n_windows.items():
        reader = open_record(record_id, leads)
        check_front_end(reader.record, part.bundle.chain)
        decided, alone = _decide(engine, classifier, reader, advance)
        if len(decided) != n_windows:
            raise ValueError(
                f"record {record_id} must give {n_windows:,} windows, as when the replay began, "
                f"got {len(decided):,}"
            )
        quality = _quality(reader.record, part.bundle, decided["start"])
        played.append(_Played(reader.record, quality, decided, alone))
    return played


def _decide(
    engine: Engine, classifier: Engine, reader: RecordReader, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what both engines decide of one record, read once."""
    engine.reset()
    classifier.reset()
    decided, alone = [_rows([])], [_rows([])]
    for counts in reader.chunks(CHUNK_LEN):
        decided.append(_rows(engine.push(counts)))
        alone.append(_rows(classifier.push(counts)))
        advance(len(decided[-1]))
    return np.concatenate(decided), np.concatenate(alone)


def _rows(decisions: Sequence[Decision]) -> np.ndarray:
    rows = [
        (
            d.window_start,
            d.scores[0] if d.scores else 0,
            d.accepted,
            -1 if d.label is None else d.label,
        )
        for d in decisions
    ]
    return np.array(rows, DECIDED)


def _quality(record: EcgRecord, bundle: Bundle, starts: Int64Array) -> Int8Array:
    begins, ends = samples_shown(bundle.chain, starts, bundle.data.window_len)
    graded, quality, _ = Grades(record.annotations).over(begins, ends)
    return np.where(graded, quality, 0).astype(np.int8)


def _sum(counts: Sequence[InstructionCounts | None]) -> InstructionCounts | None:
    """Return the counts of all parts as those of one; None where the engine does not count."""
    known = [c for c in counts if c is not None]
    if not known:
        return None
    return InstructionCounts(
        gate=tuple(n for c in known for n in c.gate),
        classifier=tuple(n for c in known for n in c.classifier),
        chain_total=sum(c.chain_total for c in known),
        n_chain_frames=sum(c.n_chain_frames for c in known),
        chain_s=sum(c.chain_s for c in known),
    )
