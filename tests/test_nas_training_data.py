"""What a run trains on: windows at the model's rate, whatever the rate of the recordings."""

import numpy as np
import pytest

from datasets import leave_one_out, open_dataset
from nas.training_data import describe_data, familiar_windows


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return leave_one_out(open_dataset("synthetic", "n_subjects=20,seed=1", 500.0, cache), None)


@pytest.mark.parametrize(("fs_target", "mains_hz"), [(100.0, 50.0), (250.0, None), (500.0, None)])
def test_recordings_of_500_hz_train_a_model_of_any_rate(protocol, fs_target, mains_hz):
    settings = describe_data(protocol, None, ("I",), fs_target, 0.5, mains_hz)
    batch = familiar_windows(protocol, settings, "train")
    assert (batch.fs, settings.fs, settings.chain.mains_hz) == (fs_target, 500.0, mains_hz)
    assert batch.x.shape[1:] == (10 * fs_target, 1) == (settings.window_len, 1)
    record = protocol.open(batch.record_ids[0], "train", ("I",)).whole()
    np.testing.assert_array_equal(batch.x[0], settings.chain.apply(record.adc_counts))


def test_a_notch_the_recordings_are_too_slow_for_is_refused(tmp_path):
    dataset = open_dataset("synthetic", "n_subjects=20,seed=1", 100.0, tmp_path)
    with pytest.raises(ValueError, match="mains_hz 50 needs a sensor above 102 Hz"):
        describe_data(leave_one_out(dataset, None), None, ("I",), 100.0, 0.5, 50.0)
