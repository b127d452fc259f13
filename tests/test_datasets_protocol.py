"""Leave one superclass out: who has which role, and every way around it that we could think of."""

import itertools
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import SUPERCLASSES, Candidate, EcgRecord, leave_one_out, open_dataset
from datasets.dataset import Member
from datasets.noise import STRETCHES
from datasets.protocol import (
    FITTED_ROLES,
    LABELS,
    ROLES,
    SEALED_ROLES,
    SELECTION_ROLES,
    LeaveOneOut,
)
from datasets.protocol_table import DISEASES
from datasets.reader import RecordReader
from datasets.splits import rehearsal_split_of, split_of
from tests.ptbxl_folder import write_ptbxl

ROOT = Path(__file__).resolve().parents[1]
WINNER = Candidate("build/hyp", "0123456789abcdef" * 4)
BEFORE_THE_TEST = (*FITTED_ROLES, *SELECTION_ROLES)
CARRIED = [
    frozenset(chosen) for n in range(4) for chosen in itertools.combinations(SUPERCLASSES, n)
]


class Ward:
    """A data set in memory: a record a subject, of every fold and every mix of superclasses."""

    name, source, fs, leads, fingerprint = "ward", "none", 100.0, ("I", "II"), "ward"
    unreadable: dict[str, str] = {}  # noqa: RUF012
    n_absent = 0

    def __init__(self, records=None):
        if records is None:
            mixes = itertools.product(range(1, 11), CARRIED * 4)
            records = [record(str(i), fold, carried) for i, (fold, carried) in enumerate(mixes)]
        self.records = {r.record_id: r for r in records}
        self.n_listed = len(self.records)

    def record_ids(self, split=None):
        return [
            name
            for name, r in self.records.items()
            if split is None or split == split_of(r.fold, r.subject_id)
        ]

    def members(self):
        return {name: Member.of(r) for name, r in self.records.items()}

    def open(self, record_id, leads=None):
        found = self.records[record_id]
        return RecordReader(
            replace(found, adc_counts=found.adc_counts[:0]),
            len(found.adc_counts),
            lambda start, stop: found.adc_counts[start:stop].copy(),
        )

    def load(self, record_id, leads=None):
        return self.open(record_id, leads).whole()


def record(record_id, fold, carried, subject_id=None, flags=()):
    return EcgRecord(
        record_id=record_id,
        subject_id=subject_id or f"s{record_id}",
        fs=100.0,
        leads=("I", "II"),
        adc_counts=np.full((10, 2), int(record_id), np.int16),
        adc_gain=1000.0,
        fold=fold,
        superclasses=frozenset(carried),
        noise_flags=frozenset(flags),
    )


@pytest.fixture(scope="module")
def ward():
    return Ward()


@pytest.fixture(scope="module")
def protocol(ward):
    return leave_one_out(ward, "HYP")


def ids(protocol, role):
    return {i for i in protocol.members if protocol.role_of(i) == role}


# ---- who has which role ----


def test_every_role_is_what_the_docstring_says(ward, protocol):
    for name, r in ward.records.items():
        split, carried = split_of(r.fold, r.subject_id), r.superclasses
        if "HYP" in carried:
            expected = "unseen" if split == "test" else None
        elif carried:
            expected = split
        else:
            expected = "undiagnosed" if split == "test" else None
        assert protocol.role_of(name) == expected
    for role in set(ROLES) - {"surrogate"}:
        assert ids(protocol, role)
    assert not ids(protocol, "surrogate")


def test_single_label_changes_what_is_scored_and_not_what_is_fitted(ward, protocol):
    single = leave_one_out(ward, "HYP", labels="single")
    for role in FITTED_ROLES:
        assert ids(single, role) == ids(protocol, role)
    for role in ("validation", "test", "unseen"):
        of_one = {i for i in ids(protocol, role) if len(ward.records[i].superclasses) == 1}
        assert ids(single, role) == of_one
        assert of_one < ids(protocol, role)
    assert {tuple(ward.records[i].superclasses) for i in ids(single, "unseen")} == {("HYP",)}


def test_a_surrogate_is_held_out_too_and_stands_in_for_the_unseen_class(ward, protocol):
    surrogate = leave_one_out(ward, "HYP", surrogate="MI")
    for role in ("train", "calibration", "validation"):
        without = {i for i in ids(protocol, role) if "MI" not in ward.records[i].superclasses}
        assert ids(surrogate, role) == without
    assert ids(surrogate, "surrogate") == ids(protocol, "validation") - ids(surrogate, "validation")
    assert ids(surrogate, "surrogate")
    for role in SEALED_ROLES:
        assert not ids(surrogate, role)


def test_without_a_held_out_class_none_is_unseen(ward):
    protocol = leave_one_out(ward, None)
    assert not ids(protocol, "unseen")
    assert any("HYP" in ward.records[i].superclasses for i in protocol.record_ids("train"))


def test_a_rehearsal_tests_on_a_third_of_fold_9_and_hands_out_nothing_of_fold_10(ward):
    rehearsal = leave_one_out(ward, "HYP", rehearsal=True)
    for name, r in ward.records.items():
        role = rehearsal.role_of(name)
        if r.fold == 10:
            assert role is None
        elif role in SEALED_ROLES:
            assert (r.fold, rehearsal_split_of(9, r.subject_id)) == (9, "test")
    assert {
        rehearsal_split_of(9, ward.records[i].subject_id) for i in ids(rehearsal, "unseen")
    } == {"test"}
    assert ids(rehearsal, "train") == ids(leave_one_out(ward, "HYP"), "train")


@given(
    hold_out=st.sampled_from(SUPERCLASSES),
    surrogate=st.none() | st.sampled_from(SUPERCLASSES),
    labels=st.sampled_from(LABELS),
    rehearsal=st.booleans(),
)
def test_nothing_of_the_held_out_class_before_the_test(
    ward, hold_out, surrogate, labels, rehearsal
):
    if surrogate == hold_out:
        return
    made = leave_one_out(ward, hold_out, labels, surrogate, rehearsal)
    roles = {role: ids(made, role) for role in ROLES}
    for role in BEFORE_THE_TEST:
        for i in roles[role]:
            assert hold_out not in ward.records[i].superclasses
    for i in roles["train"] | roles["calibration"] | roles["validation"]:
        assert surrogate not in ward.records[i].superclasses
    subjects = [
        {ward.records[i].subject_id for i in part}
        for part in (
            roles["train"],
            roles["calibration"],
            roles["validation"] | roles["surrogate"],
            roles["test"] | roles["unseen"] | roles["undiagnosed"],
        )
    ]
    for one, other in itertools.combinations(subjects, 2):
        assert not one & other


def test_records_come_in_the_order_of_the_data_set_and_clean_ones_alone(ward):
    records = [record("3", 1, ["MI"], flags=["burst_noise"]), record("1", 2, ["CD"])]
    protocol = leave_one_out(Ward(records), "HYP")
    assert protocol.record_ids("train") == ["3", "1"]
    assert [r.record_id for r in protocol.records("train")] == ["3", "1"]
    assert [r.record_id for r in protocol.records("train", clean_only=True)] == ["1"]
    assert (protocol.records("train")[0].adc_counts == 3).all()


def test_a_replay_of_a_split_gets_no_unseen_record_unless_it_is_the_test(ward, protocol):
    for split in ("train", "calibration", "validation"):
        assert set(protocol.of_split(split)) == ids(protocol, split)
    opened = protocol.opened_for(WINNER)
    assert opened.of_split("test") == ward.record_ids("test")
    with pytest.raises(ValueError, match="split must be one of"):
        protocol.of_split("unseen")


def test_roles_draw_noise_from_stretches_of_their_own(protocol, tmp_path):
    opened = protocol.opened_for(WINNER)
    splits = {role: opened.noise(role, tmp_path).split for role in ROLES if role != "calibration"}
    assert splits == {
        "train": "train",
        **dict.fromkeys(SELECTION_ROLES, "validation"),
        **dict.fromkeys(SEALED_ROLES, "test"),
    }
    assert set(splits.values()) == set(STRETCHES)
    with pytest.raises(ValueError, match="noise must not be in calibration records"):
        opened.noise("calibration", tmp_path)
    with pytest.raises(ValueError, match="role test is sealed"):
        protocol.noise("test", tmp_path)


def test_a_broken_record_stops_what_asks_for_its_role_and_nothing_else(tmp_path):
    folder = write_ptbxl(tmp_path)  # records 1 (fold 1), 2 and 3 (the halves of 9), 4 (fold 10)
    (folder / "records100/00000/00001_lr.dat").write_bytes(b"cut")
    broken = leave_one_out(open_dataset("ptbxl", folder), "HYP").opened_for(WINNER)
    assert list(broken.members) == ["1", "2", "3", "4"]
    assert (broken.of_split("calibration"), broken.of_split("validation")) == (["2"], ["3"])
    assert broken.of_split("test") == ["4"]
    for use in (broken.of_split, broken.record_ids, broken.records):
        with pytest.raises(ValueError, match=r"00001_lr\.dat.* \(1 broken records in all"):
            use("train")
    with pytest.raises(ValueError, match=r"00001_lr\.dat"):
        broken.open("1", "train")


# ---- cheating ----


def test_the_test_is_sealed_until_the_candidate_is_named(ward, protocol, caplog):
    for role in SEALED_ROLES:
        for use in (protocol.record_ids, protocol.records):
            with pytest.raises(ValueError, match=f"role {role} is sealed until the candidate"):
                use(role)
        with pytest.raises(ValueError, match=f"role {role} is sealed"):
            protocol.open(next(iter(ids(protocol, role))), role)
    assert not caplog.records
    opened = protocol.opened_for(WINNER)
    assert f"held out: HYP, for build/hyp (SHA-256 {WINNER.sha256})" in caplog.text
    assert set(opened.record_ids("unseen")) == ids(protocol, "unseen")
    with pytest.raises(ValueError, match="sealed"):  # the one it came from stays shut
        protocol.record_ids("unseen")


@pytest.mark.parametrize(
    ("name", "sha256"),
    [("", "0" * 64), ("best", ""), ("best", "0" * 63), ("best", "g" * 64), ("best", "to be seen")],
)
def test_a_candidate_without_its_fingerprint_opens_nothing(name, sha256):
    with pytest.raises(ValueError, match="a fixed candidate needs a name and the SHA-256"):
        Candidate(name, sha256)


@pytest.mark.parametrize("role", BEFORE_THE_TEST)
def test_an_unseen_record_cannot_be_loaded_under_another_role(protocol, role):
    opened = protocol.opened_for(WINNER)
    for i in [*ids(protocol, "unseen")][:5]:
        with pytest.raises(ValueError, match=rf"record {i} must have the role {role}.*got unseen"):
            opened.open(i, role)


def test_a_held_out_record_of_the_training_folds_cannot_be_loaded_at_all(ward, protocol):
    opened = protocol.opened_for(WINNER)
    carriers = [name for name, r in ward.records.items() if r.fold == 1 and "HYP" in r.superclasses]
    assert any(len(ward.records[name].superclasses) > 1 for name in carriers)
    for name, role in itertools.product(carriers[:4], ROLES):
        with pytest.raises(ValueError, match=r"got none \(carries .*HYP.*, held out: HYP\)"):
            opened.open(name, role)


def test_a_record_of_another_split_or_none_cannot_be_loaded(ward, protocol):
    train = protocol.record_ids("train")[0]
    with pytest.raises(ValueError, match=r"must have the role calibration .* got train"):
        protocol.open(train, "calibration")
    without = next(n for n, r in ward.records.items() if r.fold == 1 and not r.superclasses)
    with pytest.raises(ValueError, match="carries no superclass"):
        protocol.open(without, "train")
    with pytest.raises(ValueError, match="record must be one of ward on disk, got nobody"):
        protocol.open("nobody", "train")
    with pytest.raises(ValueError, match=r"role must be one of .* got Train"):
        protocol.record_ids("Train")


@pytest.mark.parametrize(
    "changed",
    [{"superclasses": frozenset({"NORM"})}, {"fold": 1}, {"subject_id": "somebody else"}],
    ids=["label", "fold", "patient"],
)
def test_a_data_set_that_changes_its_story_is_found_out(changed):
    ward = Ward()
    protocol = leave_one_out(ward, "HYP").opened_for(WINNER)
    name = protocol.record_ids("unseen")[0]
    ward.records[name] = replace(ward.records[name], **changed)
    with pytest.raises(ValueError, match=f"record {name} must be what it was when the protocol"):
        protocol.open(name, "unseen")
    with pytest.raises(ValueError, match="must have the role train"):
        protocol.open(name, "train")


def test_a_subclass_that_hides_a_label_later_is_found_out():
    class Forgetful(Ward):
        forgets = False

        def open(self, record_id, leads=None):
            reader = super().open(record_id, leads)
            if self.forgets:
                kept = reader.record.superclasses - {"HYP"}
                return replace(reader, record=replace(reader.record, superclasses=kept))
            return reader

    ward = Forgetful()
    protocol = leave_one_out(ward, "HYP")
    ward.forgets = True
    trained = protocol.records("train")
    assert trained
    hidden = next(n for n, r in ward.records.items() if r.fold == 1 and "HYP" in r.superclasses)
    with pytest.raises(ValueError, match="must have the role train"):
        protocol.open(hidden, "train")
    assert hidden not in {r.record_id for r in trained}


def test_forged_members_do_not_match_the_records(ward, protocol):
    hidden = next(n for n, r in ward.records.items() if r.fold == 1 and "HYP" in r.superclasses)
    member = replace(protocol.members[hidden], superclasses=frozenset({"NORM"}))
    forged = replace(protocol, members={**protocol.members, hidden: member})
    with pytest.raises(ValueError, match=f"record {hidden} must be what it was"):
        forged.open(hidden, "train")


def test_a_protocol_cannot_be_changed(protocol):
    with pytest.raises(FrozenInstanceError):
        protocol.hold_out = None
    with pytest.raises(FrozenInstanceError):
        protocol.candidate = WINNER
    with pytest.raises(TypeError):
        protocol.members["0"] = None
    with pytest.raises(FrozenInstanceError):
        protocol.members["0"].fold = 1


@pytest.mark.parametrize("alias", ["hyp", "Hyp", "LVH", "HYP ", "", "hypertrophy"])
def test_only_the_superclass_itself_can_be_held_out(ward, alias):
    with pytest.raises(ValueError, match="hold_out must be one of NORM, MI, STTC, CD, HYP, got"):
        leave_one_out(ward, alias)
    with pytest.raises(ValueError, match="surrogate must be one of"):
        leave_one_out(ward, "HYP", surrogate=alias)


def test_a_record_that_spells_a_superclass_otherwise_is_refused():
    disguised = record("1", 1, ["NORM"])
    object.__setattr__(disguised, "superclasses", frozenset({"hyp"}))
    with pytest.raises(ValueError, match=r"superclasses must be among .*, got hyp in record 1"):
        leave_one_out(Ward([disguised]), "HYP")


def test_the_surrogate_is_not_the_held_out_class(ward):
    with pytest.raises(ValueError, match=r"surrogate must be another .* got HYP for both"):
        leave_one_out(ward, "HYP", surrogate="HYP")


def test_a_protocol_with_a_surrogate_tests_nothing(ward):
    surrogate = leave_one_out(ward, "HYP", surrogate="MI")
    with pytest.raises(ValueError, match="with the surrogate MI selects and tests nothing"):
        surrogate.opened_for(WINNER)
    with pytest.raises(ValueError, match="sealed"):
        surrogate.record_ids("unseen")


def test_a_patient_in_two_splits_is_refused():
    records = [record("1", 1, ["NORM"], "p"), record("2", 10, ["HYP"], "p")]
    with pytest.raises(ValueError, match="subject p is in train and test"):
        leave_one_out(Ward(records), "HYP")


def test_a_patient_of_an_unseen_record_is_in_no_other_split():
    # His other records may be in-distribution by their labels; they are test records as well.
    records = [
        record("1", 10, ["NORM"], "p"),
        record("2", 10, ["HYP"], "p"),
        record("3", 1, ["NORM"]),
    ]
    opened = leave_one_out(Ward(records), "HYP").opened_for(WINNER)
    assert opened.record_ids("train") == ["3"]
    assert opened.record_ids("test", "unseen") == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"labels": "all"}, "labels must be one of multi, single, got all"),
        ({"surrogate": "AFIB"}, "surrogate must be one of"),
    ],
)
def test_other_settings_are_refused(ward, options, rule):
    with pytest.raises(ValueError, match=rule):
        leave_one_out(ward, "HYP", **options)


def test_a_record_without_a_fold_has_no_role():
    with pytest.raises(ValueError, match="a record must have a fold to have a role, 1 has no"):
        leave_one_out(Ward([record("1", None, ["NORM"])]), "HYP")


@pytest.mark.parametrize("fold", [0, 11, -1])
def test_a_fold_that_is_not_there_is_refused(fold):
    with pytest.raises(ValueError, match=f"fold must be in 1-10, got {fold}"):
        leave_one_out(Ward([record("1", fold, ["NORM"])]), "HYP")


def test_without_fold_10_the_test_is_empty_and_a_rehearsal_has_to_be_asked_for():
    ward = Ward([r for r in Ward().records.values() if r.fold < 10])
    opened = leave_one_out(ward, "HYP").opened_for(WINNER)
    with pytest.raises(
        ValueError, match=r"test needs records in fold 10 of ward, none is on disk;"
    ):
        opened.record_ids("test")
    assert leave_one_out(ward, "HYP", rehearsal=True).opened_for(WINNER).record_ids("unseen")


# ---- on the whole: the command, and real recordings ----


def run(*arguments):
    command = [sys.executable, "-m", "datasets", "protocol", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_counts_what_the_protocol_hands_out(tmp_path):
    data = "n_subjects=25,seed=1"
    done = run("synthetic", "--data", data, "--hold-out", "HYP", "--cache", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["protocols"]
    assert [(row["hold_out"], row["labels"]) for row in rows] == [
        ("HYP", "multi"),
        ("HYP", "single"),
    ]
    dataset = open_dataset("synthetic", data, cache=tmp_path)
    protocol = leave_one_out(dataset, "HYP").opened_for(WINNER)
    for role, count in rows[0]["roles"].items():
        assert count["records"] == len(ids(protocol, role))
    shown = run("synthetic", "--data", data, "--cache", tmp_path).stdout
    assert [line.split()[0] for line in shown.splitlines()[2:10]] == [
        name for name in DISEASES for _ in LABELS
    ]
    fine = run("synthetic", "--data", data, "--cache", tmp_path, "--fs", 500)
    assert fine.stdout == shown
    refused = run("synthetic", "--data", data, "--cache", tmp_path, "--hold-out", "hyp")
    assert refused.returncode == 2
    assert "hold_out must be one of" in refused.stderr


@pytest.mark.parametrize("hold_out", DISEASES)
def test_the_roles_of_real_records(ptbxl_dir, real_members, hold_out):
    made = replace(real_members, hold_out=hold_out)
    roles = {role: ids(made, role) for role in ROLES}
    for role in BEFORE_THE_TEST:
        assert all(hold_out not in made.members[i].superclasses for i in roles[role])
    assert all(hold_out in made.members[i].superclasses for i in roles["unseen"])
    assert len(roles["unseen"]) >= 80
    single = ids(replace(made, labels="single"), "unseen")
    # A half to four fifths of the records that carry a class also carry another.
    assert 0.5 < 1 - len(single) / len(roles["unseen"]) < 0.8
    patients = [{made.members[i].subject_id for i in part} for part in roles.values()]
    assert not patients[0] & set.union(*patients[1:])


@pytest.fixture(scope="module")
def real_members(ptbxl_dir) -> LeaveOneOut:
    """The rehearsal on PTB-XL; fold 10 is not in every copy of it."""
    return leave_one_out(open_dataset("ptbxl", ptbxl_dir), None, rehearsal=True)


def test_members_are_what_a_record_says(ward):
    assert Member.of(ward.records["7"]) == Member("7", "s7", 1, CARRIED[7])
