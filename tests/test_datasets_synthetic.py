import numpy as np
import pytest

from datasets import SPLITS, SUPERCLASSES, open_dataset
from datasets.synthetic import NOISE, SyntheticOptions, open_synthetic, simulate

TINY = "n_subjects=5,seed=1"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One record of each class."""
    return open_dataset("synthetic", TINY, cache=tmp_path_factory.mktemp("synthetic"))


def test_a_record_a_class(tiny):
    records = [tiny.load(record_id) for record_id in tiny.record_ids()]
    assert [record.superclasses for record in records] == [{name} for name in SUPERCLASSES]
    assert len({record.subject_id for record in records}) == 5


def test_the_same_seed_gives_the_same_bytes(tiny, tmp_path):
    again = simulate(SyntheticOptions(n_subjects=5, seed=1), 100.0, index=3)
    assert np.array_equal(tiny.load("00003").adc_counts, again)


def test_another_seed_or_record_gives_another_signal(tiny):
    other = simulate(SyntheticOptions(n_subjects=5, seed=2), 100.0, index=0)
    first, next_normal = tiny.load("00000").adc_counts, simulate(SyntheticOptions(10, 1), 100.0, 5)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, next_normal)


def test_both_rates_show_the_same_signal(tiny):
    fine = simulate(SyntheticOptions(n_subjects=5, seed=1), 500.0, index=0)
    assert fine.shape == (5000, 12)
    coarse = tiny.load("00000").adc_counts
    assert np.corrcoef(fine[::5, 0], coarse[:, 0])[0, 1] > 0.95


def test_more_subjects_leave_the_first_ones_as_they_are(tiny):
    assert np.array_equal(
        tiny.load("00002").adc_counts, simulate(SyntheticOptions(100, 1), 100.0, 2)
    )


@pytest.mark.parametrize("flag", NOISE)
def test_flagged_noise_is_really_there(flag):
    noise_mv = NOISE[flag](np.random.default_rng(0))
    assert noise_mv.shape == (5000, 12)
    assert 0.1 < noise_mv.std() < 1.5


def silent_signals(folder, key, record_ids, shape, *_):
    """Stand in for the cache where only the labels matter."""
    from datasets.cache import SignalCache

    rows = {record_id: row for row, record_id in enumerate(record_ids)}
    return SignalCache(np.zeros((len(record_ids), *shape), np.int16), rows, {})


def test_every_split_of_the_default_can_do_its_work(monkeypatch):
    monkeypatch.setattr("datasets.synthetic.open_signals", silent_signals)
    dataset = open_synthetic(None, 100.0, None)
    assert dataset.n_listed == 240
    for split in SPLITS:
        records = [dataset.load(record_id) for record_id in dataset.record_ids(split)]
        for held_out in SUPERCLASSES:
            usable = [r for r in records if r.clean and held_out not in r.superclasses]
            assert len(usable) >= 19, f"{split} without {held_out}"
            assert len(usable) < len([r for r in records if r.clean])


@pytest.mark.parametrize(
    "text", ["60", "n_subjects", "n_subjects=many", "seed=-1", "size=3", "/data/synthetic"]
)
def test_options_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"must be like n_subjects=60,seed=1, got '"):
        SyntheticOptions.from_text(text)


def test_options():
    assert SyntheticOptions.from_text("") == SyntheticOptions(240, 0)
    assert SyntheticOptions.from_text("seed=3") == SyntheticOptions(240, 3)
    assert SyntheticOptions.from_text("seed=3,n_subjects=9") == SyntheticOptions(9, 3)
    with pytest.raises(ValueError, match="n_subjects of 1 or more"):
        SyntheticOptions(n_subjects=0)


@pytest.mark.slow
def test_several_processes_give_the_bytes_of_one(tiny, tmp_path):
    several = open_dataset("synthetic", "n_subjects=40,seed=1", cache=tmp_path)
    for record_id in tiny.record_ids():
        assert np.array_equal(several.load(record_id).adc_counts, tiny.load(record_id).adc_counts)
