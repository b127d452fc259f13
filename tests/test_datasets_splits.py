import pytest

from datasets import SPLITS, split_of
from datasets.splits import assert_disjoint, check_split, rehearsal_split_of


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


def test_a_rehearsal_cuts_fold_9_in_three_and_leaves_fold_10_alone():
    assert {rehearsal_split_of(fold, "7") for fold in range(1, 9)} == {"train"}
    assert rehearsal_split_of(10, "7") is None
    thirds = [rehearsal_split_of(9, str(subject)) for subject in range(3000)]
    assert set(thirds) == {"calibration", "validation", "test"}
    for split in set(thirds):
        assert 900 < thirds.count(split) < 1100
    assert thirds[1:5] == ["validation", "test", "calibration", "calibration"]
    with pytest.raises(ValueError, match="fold must be in 1-10, got 11"):
        rehearsal_split_of(11, "7")
