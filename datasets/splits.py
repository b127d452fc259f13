"""Which recordings train, which calibrate, validate and test: by patient, decided once, here."""

import hashlib
from collections.abc import Iterable

SPLITS = ("train", "calibration", "validation", "test")

TRAIN_FOLDS = range(1, 9)
HALVED_FOLD = 9
TEST_FOLD = 10


def split_of(fold: int, subject_id: str) -> str:
    """Return the split of a recording: one of `SPLITS`.

    Folds 1-8 train, fold 10 tests. Fold 9 is halved by patient, by a hash of `subject_id`: one half
    calibrates thresholds, the other validates what was tuned. The hash is the same on every
    machine and in every run.

    Raises
    ------
    ValueError : `fold` is not in 1-10.
    """
    if fold in TRAIN_FOLDS:
        return "train"
    if fold == HALVED_FOLD:
        return "calibration" if _place(subject_id) < 1 / 2 else "validation"
    if fold == TEST_FOLD:
        return "test"
    raise ValueError(f"fold must be in 1-10, got {fold} for subject {subject_id}")


def rehearsal_split_of(fold: int, subject_id: str) -> str | None:
    """Return the split of a recording in a rehearsal, which tests on a third of fold 9.

    The same hash cuts the patients of fold 9 in three: calibration, validation, test. Fold 10 is in
    no split then: a rehearsal leaves it for the real test.

    Raises
    ------
    ValueError : `fold` is not in 1-10.
    """
    if fold == HALVED_FOLD:
        return ("calibration", "validation", "test")[int(3 * _place(subject_id))]
    split = split_of(fold, subject_id)
    return None if split == "test" else split


def check_split(split: str) -> str:
    """Return `split`, or raise ValueError when it is not one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split}")
    return split


def folds_of(split: str) -> str:
    """Return the folds `split` is made from, in words for a message."""
    return {"train": "folds 1-8", "test": "fold 10"}.get(split, "fold 9")


def assert_disjoint(subjects: Iterable[tuple[str, int]]) -> None:
    """Raise ValueError where one subject of the (subject_id, fold) pairs is in two splits."""
    split_by_subject: dict[str, str] = {}
    for subject_id, fold in subjects:
        split = split_of(fold, subject_id)
        if split_by_subject.setdefault(subject_id, split) != split:
            raise ValueError(
                f"a subject must be in one split, subject {subject_id} is in "
                f"{split_by_subject[subject_id]} and {split}"
            )


def _place(subject_id: str) -> float:
    """Return where the hash of `subject_id` falls in [0, 1)."""
    # One byte keeps the halves what they were before there were thirds, at 86 : 85 : 85 for those.
    return hashlib.sha256(subject_id.encode()).digest()[0] / 256
