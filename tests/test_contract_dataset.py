"""What every data set of `DATASETS` promises; a new entry needs a line in `SAMPLES`."""

import itertools

import numpy as np
import pytest

from datasets import DATASETS, SPLITS, SUPERCLASSES, split_of
from tests.ptbxl_folder import write_ptbxl

SAMPLES = {
    "ptbxl": lambda folder: str(write_ptbxl(folder / "ptbxl")),
    "synthetic": lambda folder: "n_subjects=20,seed=1",
}


@pytest.fixture(scope="module", params=DATASETS)
def opened(request, tmp_path_factory):
    """Open a small sample of one data set, twice: the second time from its cache."""
    folder = tmp_path_factory.mktemp(request.param)
    data = SAMPLES[request.param](folder)
    card = DATASETS[request.param]
    return card, card(data, cache=folder / "cache"), card(data, cache=folder / "cache")


def test_it_is_what_its_card_says(opened):
    card, dataset, _ = opened
    assert (dataset.name, dataset.source, dataset.leads) == (card.name, card.source, card.leads)
    assert DATASETS[card.name] is card
    assert dataset.fs == 100.0
    assert card.licence in dataset.source
    assert card.citation in dataset.source


def test_every_record_is_listed_once(opened):
    _, dataset, _ = opened
    record_ids = dataset.record_ids()
    assert len(set(record_ids)) == len(record_ids)
    assert dataset.n_listed == len(record_ids) + dataset.n_absent + len(dataset.unreadable)


def test_splits_share_out_records_and_share_no_subject(opened):
    _, dataset, _ = opened
    ids_by_split = {split: dataset.record_ids(split) for split in SPLITS}
    assert sorted(itertools.chain(*ids_by_split.values())) == sorted(dataset.record_ids())
    subjects = [{dataset.load(i).subject_id for i in ids} for ids in ids_by_split.values()]
    for one, other in itertools.combinations(subjects, 2):
        assert not one & other
    for split, ids in ids_by_split.items():
        records = [dataset.load(i) for i in ids]
        assert {split_of(record.fold, record.subject_id) for record in records} == {split}


def test_a_record_is_counts_of_a_plausible_size(opened):
    _, dataset, _ = opened
    for record_id in dataset.record_ids():
        record = dataset.load(record_id)
        assert record.record_id == record_id
        assert (record.fs, record.leads) == (dataset.fs, dataset.leads)
        assert record.adc_counts.dtype == np.int16
        assert record.adc_counts.shape == (10 * record.fs, len(record.leads))
        assert record.superclasses <= set(SUPERCLASSES)
        assert 0.05 < np.abs(record.signal_mv).max() < 20


def test_loading_again_gives_the_same(opened):
    _, dataset, from_cache = opened
    assert dataset.record_ids() == from_cache.record_ids()
    for record_id in dataset.record_ids():
        record, again = dataset.load(record_id), from_cache.load(record_id)
        assert np.array_equal(record.adc_counts, again.adc_counts)
        assert record.superclasses == again.superclasses
        assert record.noise_flags == again.noise_flags


def test_a_subset_of_leads_is_those_columns(opened):
    _, dataset, _ = opened
    record_id = dataset.record_ids()[0]
    leads = (dataset.leads[-1], dataset.leads[0].lower())
    record = dataset.load(record_id, leads)
    assert record.leads == (dataset.leads[-1], dataset.leads[0])
    assert np.array_equal(record.adc_counts, dataset.load(record_id).adc_counts[:, [-1, 0]])
    with pytest.raises(ValueError, match=f"{dataset.leads[0]}.*got Z9"):
        dataset.load(record_id, ["Z9"])


def test_bad_questions_are_refused(opened):
    card, dataset, _ = opened
    with pytest.raises(ValueError, match="got dev"):
        dataset.record_ids("dev")
    with pytest.raises(ValueError, match="got no-such-record"):
        dataset.load("no-such-record")
    with pytest.raises(ValueError, match=f"fs of {card.name} must be .* got 123"):
        card(None, fs=123)
