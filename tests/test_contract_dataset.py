"""What every data set of `DATASETS` promises; a new entry needs a line in `SAMPLES`."""

import itertools

import numpy as np
import pytest

from datasets import DATASETS, SPLITS, SUPERCLASSES, split_of
from datasets.dataset import Member
from tests import butqdb_folder
from tests.ptbxl_folder import write_ptbxl
from tests.wfdb_folders import counts_of, write_mitdb, write_nstdb, write_signals


def write_butqdb(folder):
    for record_id, gain in {"100001": 1.025, "100002": 1.996}.items():  # they do differ
        butqdb_folder.write_record(folder, record_id, n_samples=20_000, gain=gain)
    return folder


def write_files(folder):
    write_signals(folder, "a", ("I", "II"), counts_of(1))
    lines = "\n".join(f"{i / 9:.3f},{-i / 9:.3f}" for i in range(100))
    (folder / "b.csv").write_text(f"# fs=360,units=mV\nI,II\n{lines}\n")
    return folder


SAMPLES = {
    "ptbxl": lambda folder: str(write_ptbxl(folder / "ptbxl")),
    "butqdb": lambda folder: str(write_butqdb(folder / "butqdb")),
    "nstdb": lambda folder: str(write_nstdb(folder / "nstdb")),
    "mitdb": lambda folder: str(write_mitdb(folder / "mitdb")),
    "synthetic": lambda folder: "n_subjects=20,seed=1",
    "files": lambda folder: str(write_files(folder / "files")),
}
FOR_EVALUATION = ("butqdb", "nstdb", "mitdb", "files")


@pytest.fixture(scope="module", params=DATASETS)
def opened(request, tmp_path_factory):
    """Open a small sample of one data set, twice: the second time from its cache."""
    folder = tmp_path_factory.mktemp(request.param)
    data = SAMPLES[request.param](folder)
    card = DATASETS[request.param]
    return card, card(data, cache=folder / "cache"), card(data, cache=folder / "cache")


def test_it_is_what_its_card_says(opened):
    card, dataset, _ = opened
    assert (dataset.name, dataset.source) == (card.name, card.source)
    assert DATASETS[card.name] is card
    assert dataset.leads == (card.leads or ("I", "II"))
    assert dataset.fs == (card.fs or (360.0,))[0]
    assert card.licence in dataset.source
    assert card.citation in dataset.source


def test_every_record_is_listed_once(opened):
    _, dataset, _ = opened
    record_ids = dataset.record_ids()
    assert len(set(record_ids)) == len(record_ids) > 1
    assert dataset.n_listed == len(record_ids) + dataset.n_absent + len(dataset.unreadable)


def test_its_listing_says_what_its_records_say(opened):
    _, dataset, _ = opened
    members = dataset.members()
    assert list(members) == dataset.record_ids()
    assert members == {i: Member.of(dataset.open(i).record) for i in members}


def test_splits_share_out_records_and_share_no_subject(opened):
    card, dataset, _ = opened
    ids_by_split = {
        split: dataset.record_ids(split)
        for split in SPLITS
        if split == "test" or card.name not in FOR_EVALUATION
    }
    assert sorted(itertools.chain(*ids_by_split.values())) == sorted(dataset.record_ids())
    subjects = [{dataset.load(i).subject_id for i in ids} for ids in ids_by_split.values()]
    for one, other in itertools.combinations(subjects, 2):
        assert not one & other
    for split, ids in ids_by_split.items():
        records = [dataset.load(i) for i in ids]
        assert {split_of(record.fold, record.subject_id) for record in records} == {split}


def test_what_is_for_evaluation_only_trains_nothing(opened):
    card, dataset, _ = opened
    if card.name in FOR_EVALUATION:
        for split in ("train", "calibration", "validation"):
            with pytest.raises(ValueError, match=f"split {split} .*{card.name}, it lists none"):
                dataset.record_ids(split)


def test_a_record_is_counts_of_a_plausible_size(opened):
    _, dataset, _ = opened
    for record_id in dataset.record_ids():
        record = dataset.load(record_id)
        assert record.record_id == record_id
        assert record.fs == dataset.fs
        assert set(record.leads) <= set(dataset.leads)
        assert record.adc_counts.dtype == np.int16
        assert record.adc_counts.flags.c_contiguous
        assert record.adc_counts.shape == (dataset.open(record_id).n_samples, len(record.leads))
        assert record.superclasses <= set(SUPERCLASSES)
        assert 0.05 < np.abs(record.signal_mv).max() < 33  # a railed lead of `synthetic` has 32.8
        assert all(
            0 <= s.start < s.stop <= len(record.adc_counts) for s in record.annotations.stretches
        )


def test_loading_again_gives_the_same(opened):
    _, dataset, from_cache = opened
    assert dataset.record_ids() == from_cache.record_ids()
    assert dataset.fingerprint == from_cache.fingerprint
    for record_id in dataset.record_ids():
        record, again = dataset.load(record_id), from_cache.load(record_id)
        assert np.array_equal(record.adc_counts, again.adc_counts)
        assert record.superclasses == again.superclasses
        assert record.noise_flags == again.noise_flags
        assert record.annotations.stretches == again.annotations.stretches


def test_reading_in_parts_gives_the_whole(opened):
    _, dataset, _ = opened
    record_id = dataset.record_ids()[-1]
    reader, record = dataset.open(record_id), dataset.load(record_id)
    assert reader.record.adc_counts.shape == (0, len(record.leads))
    for chunk_len in (7, 777, reader.n_samples, reader.n_samples + 1):
        chunks = list(reader.chunks(chunk_len))
        assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_len}
        assert all(chunk.dtype == np.int16 and chunk.flags.c_contiguous for chunk in chunks)
        assert np.array_equal(np.concatenate(chunks), record.adc_counts)
    assert np.array_equal(reader.read(5, 9), record.adc_counts[5:9])
    assert reader.read(5, 5).shape == (0, len(record.leads))
    with pytest.raises(ValueError, match="chunk_len must be positive"):
        next(reader.chunks(0))


def test_what_is_read_may_be_changed(opened):
    _, dataset, _ = opened
    reader = dataset.open(dataset.record_ids()[0])
    before = reader.read(0, 10).copy()
    reader.read(0, 10)[:] = 0
    assert np.array_equal(reader.read(0, 10), before)


def test_a_subset_of_leads_is_those_columns(opened):
    _, dataset, _ = opened
    record_id = dataset.record_ids()[0]
    whole = dataset.load(record_id)
    asked = list(dict.fromkeys((whole.leads[-1], whole.leads[0])))
    record = dataset.load(record_id, [asked[0], *(lead.lower() for lead in asked[1:])])
    assert list(record.leads) == asked
    columns = [whole.leads.index(lead) for lead in asked]
    assert np.array_equal(record.adc_counts, whole.adc_counts[:, columns])
    with pytest.raises(ValueError, match=f"{whole.leads[0]}.*got Z9"):
        dataset.load(record_id, ["Z9"])


def test_bad_questions_are_refused(opened):
    card, dataset, _ = opened
    with pytest.raises(ValueError, match="got dev"):
        dataset.record_ids("dev")
    with pytest.raises(ValueError, match="got no-such-record"):
        dataset.load("no-such-record")
    with pytest.raises(ValueError, match=f"{card.name} (must be .* got 123|needs --data)"):
        card(None, fs=123)
