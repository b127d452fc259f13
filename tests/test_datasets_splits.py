import numpy as np
import pytest

from datasets import SPLITS, EcgRecord, in_distribution, split_of
from datasets.splits import assert_disjoint, check_split


def record(*superclasses):
    return EcgRecord(
        "r", "s", 100.0, ("I",), np.zeros((10, 1), np.int16), 1000.0,
        superclasses=frozenset(superclasses),
    )  # fmt: skip


def test_folds_1_to_8_train_and_10_tests():
    assert {split_of(fold, "7") for fold in range(1, 9)} == {"train"}
    assert split_of(10, "7") == "test"


def test_fold_9_is_halved_by_patient():
    halves = [split_of(9, str(subject)) for subject in range(2000)]
    assert set(halves) == {"calibration", "validation"}
    assert 900 < halves.count("calibration") < 1100


def test_the_halves_are_the_same_for_ever():
    # A changed hash would move patients between the halves of every result so far.
    assert [split_of(9, str(subject)) for subject in range(1, 5)] == [
        "calibration",
        "validation",
        "calibration",
        "calibration",
    ]


@pytest.mark.parametrize("fold", [0, 11, -1])
def test_a_fold_that_is_not_there(fold):
    with pytest.raises(ValueError, match=f"fold must be in 1-10, got {fold} for subject 7"):
        split_of(fold, "7")


def test_a_subject_in_two_splits_is_named():
    assert_disjoint([("a", 1), ("a", 8), ("b", 10)])
    with pytest.raises(ValueError, match="subject a is in train and test"):
        assert_disjoint([("a", 1), ("b", 10), ("a", 10)])


def test_split_names():
    assert [check_split(split) for split in SPLITS] == list(SPLITS)
    with pytest.raises(ValueError, match="calibration, validation, test, got dev"):
        check_split("dev")


def test_in_distribution_is_diagnosed_and_not_held_out():
    assert in_distribution(record("NORM"), "HYP")
    assert in_distribution(record("HYP", "MI"), None)
    assert not in_distribution(record("HYP", "MI"), "HYP")
    assert not in_distribution(record(), "HYP")
    assert not in_distribution(record(), None)
