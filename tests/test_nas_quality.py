"""The quality detector: its faulty twins, its loss, and that it finds what it was shown."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from datasets import leave_one_out, open_dataset
from datasets.faults import FAULTS
from nas.blocks import Block
from nas.checkpoint import Checkpoint
from nas.damage import NEGLIGIBLE, moved, noise_bank, with_faults
from nas.detectors import quality
from nas.detectors.detector import build_detector
from nas.plan import TrainingPlan
from nas.train import Trainer
from nas.training_data import describe_data, training_windows
from nas.windows import Augmentation
from tests.anomalies import auroc, untrained

SMALL = quality.Params(blocks=(Block(8, 7, stride=5), Block(16, 5, stride=2)))


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return leave_one_out(open_dataset("synthetic", "n_subjects=300,seed=1", 100.0, cache), None)


@pytest.fixture(scope="module")
def windows(protocol):
    settings = describe_data(protocol, None, ("I", "II"), 100.0, 0.5, None)
    return training_windows(protocol, settings, Augmentation())


@pytest.fixture(scope="module")
def twins(windows):
    return windows.damaged(0)


def test_every_window_has_a_twin_that_differs_where_it_is_labelled(windows, twins):
    assert twins.codes.shape == windows.codes.shape
    assert twins.codes.dtype == np.int8
    assert twins.faults.shape == (len(windows), len(FAULTS))
    faulty = twins.faults.any(axis=1)
    np.testing.assert_array_equal(faulty, moved(windows.codes, twins.codes))
    assert 0.5 < faulty.mean()
    assert 1 <= twins.faults.sum(axis=1).max() <= 2
    assert twins.faults.any(axis=0).all()


def test_a_seed_gives_the_same_twins_and_another_others(windows, twins):
    again, other = windows.damaged(0), windows.damaged(1)
    np.testing.assert_array_equal(again.codes, twins.codes)
    np.testing.assert_array_equal(again.faults, twins.faults)
    assert (other.codes != twins.codes).any(axis=(1, 2)).mean() > 0.5


def test_what_hardly_moves_a_window_is_no_fault():
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 20, (2, 1000, 2)).astype(np.int8)
    noise = rng.normal(0, 1, clean.shape)
    noise[..., 0] = 0  # one lead is enough
    for part, expected in ((NEGLIGIBLE / 2, False), (NEGLIGIBLE * 2, True)):
        damaged = np.rint(clean + part * 20 * noise).clip(-128, 127).astype(np.int8)
        assert moved(clean, damaged).tolist() == [expected, expected]
    flat = np.zeros((1, 1000, 1), np.int8)
    assert not moved(flat, flat).any()


def test_a_record_without_an_ecg_can_be_spoilt_too(protocol):
    record_id = protocol.record_ids("train")[0]
    record = protocol.open(record_id, "train", ("I",)).whole()
    record.adc_counts[:] = 0
    for seed in range(30):
        spoilt = with_faults(record, np.random.default_rng(seed))
        n_faults = len(spoilt.annotations.stretches) - len(record.annotations.stretches)
        assert 1 <= n_faults <= 2


def test_banked_noise_goes_on_where_a_recording_is_longer_than_the_bank():
    bank = noise_bank(100.0)
    noise = bank.draw("muscle", 5000, 3, 100.0, np.random.default_rng(0))
    assert noise.shape == (5000, 3)
    assert np.abs(np.corrcoef(noise.T)[np.triu_indices(3, 1)]).max() < 0.3
    assert noise_bank(100.0) is bank


def noisy(windows):
    """Return the windows with as much white noise again, scaled to be as large as before."""
    codes = windows.codes.astype(np.float32)
    power = (codes**2).mean(axis=(1, 2), keepdims=True)
    noise = np.random.default_rng(0).normal(0, 1, codes.shape) * np.sqrt(power)
    spoilt = np.rint((codes + noise) / np.sqrt(2)).clip(-128, 127).astype(np.int8)
    return replace(windows, codes=spoilt)


def test_it_tells_faulty_windows_from_clean_ones(windows, tmp_path):
    keras.utils.set_random_seed(0)
    model = build_detector(quality, SMALL, windows.shape)
    plan = TrainingPlan(epochs=15, batch_size=16, learning_rate=5e-3)
    trainer = Trainer(plan, 0, len(windows), Checkpoint(tmp_path, {}))
    scoring = quality.fit(SMALL, model, windows, trainer)
    losses = trainer.losses["main"]
    assert losses[-1] < 0.7 * losses[0]
    (part,) = scoring.constants["parts"]
    assert (scoring.rule, part["count"], part["function"]) == ("table_sum", 8, "softplus")
    before = untrained(quality, SMALL, windows)
    reached = auroc((model, scoring), windows, noisy(windows))
    assert reached > max(0.8, auroc(before, windows, noisy(windows)) + 0.2)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"blocks": ()}, "blocks must hold at least one block, got none"),
        ({"n_twins": 0}, "n_twins must be in 1 to 8, got 0"),
        ({"kind_weight": -1.0}, r"kind_weight must be in \[0, 10\], got -1.0"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        quality.Params(**fields)
