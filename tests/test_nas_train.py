"""The training loop: seeded, killed and resumed, and what it refuses."""

import json

import keras
import numpy as np
import pytest

from datasets.command_line import CheckFailed
from nas.checkpoint import Checkpoint, differences
from nas.plan import TrainingPlan
from nas.train import alone, train

PLAN = TrainingPlan(epochs=3, batch_size=16, learning_rate=1e-2)


class Killed(BaseException):
    """Stands for Ctrl-C."""


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(0).normal(size=(70, 20, 1)).astype(np.float32)


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "filter.checkpoint", {"seed": 0, "leads": ("I",)})


def tiny_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((20, 1))
    x = keras.layers.Conv1D(4, 5, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x), name="tiny")


def run(windows, checkpoint, plan=PLAN, seed=0):
    model = tiny_model()
    targets = np.ones((len(windows), 4), np.float32)
    losses = train(model, windows, targets, keras.losses.MeanSquaredError(), plan, seed, checkpoint)
    return model.get_weights(), losses


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def kill_during_epoch(monkeypatch, number):
    """Make the `number`-th call of `fit` stop in the middle."""
    fit, calls = keras.Model.fit, []

    def interrupted(self, *args, callbacks, **options):
        calls.append(None)
        if len(calls) == number:
            kill = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: stop())
            callbacks = [*callbacks, kill]
        return fit(self, *args, callbacks=callbacks, **options)

    def stop():
        raise Killed

    monkeypatch.setattr(keras.Model, "fit", interrupted)


def test_same_seed_same_weights(windows, tmp_path):
    runs = [run(windows, Checkpoint(tmp_path / str(i), {}), seed=i % 2) for i in range(3)]
    assert equal(runs[0][0], runs[2][0])
    assert runs[0][1] == runs[2][1]
    assert not equal(runs[0][0], runs[1][0])


def test_loss_falls(windows, checkpoint):
    _, losses = run(windows, checkpoint)
    assert len(losses) == PLAN.epochs
    assert losses[-1] < losses[0]


def test_a_killed_training_goes_on_to_the_same_weights(windows, tmp_path, monkeypatch, capfd):
    whole_weights, whole_losses = run(windows, Checkpoint(tmp_path / "whole", {}))
    killed = Checkpoint(tmp_path / "killed", {})
    with monkeypatch.context() as patch:
        kill_during_epoch(patch, 2)
        with pytest.raises(Killed):
            run(windows, killed)
    assert killed.losses() == whole_losses[:1]
    weights, losses = run(windows, killed)
    assert "going on after epoch 1/3" in capfd.readouterr().err
    assert losses == whole_losses
    assert equal(weights, whole_weights)


def test_killed_while_writing_a_checkpoint_keeps_the_epoch_before(windows, checkpoint, monkeypatch):
    save_weights, calls = keras.Model.save_weights, []

    def half_written(self, path, **options):
        calls.append(None)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise Killed
        save_weights(self, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "save_weights", half_written)
        with pytest.raises(Killed):
            run(windows, checkpoint)
    assert len(checkpoint.losses()) == 1
    assert len(run(windows, checkpoint)[1]) == PLAN.epochs


def test_only_the_last_epoch_is_kept(windows, checkpoint):
    run(windows, checkpoint)
    names = sorted(path.name for path in checkpoint.folder.iterdir())
    assert names == ["epoch-3.weights.h5", "state.json"]
    checkpoint.remove()
    assert not checkpoint.folder.exists()
    checkpoint.remove()


def test_a_checkpoint_of_other_settings_is_refused(windows, checkpoint):
    run(windows, checkpoint)
    other = Checkpoint(checkpoint.folder, {"seed": 1, "leads": ("I",)})
    assert checkpoint.fits()
    assert not other.fits()
    with pytest.raises(ValueError, match=r"but seed was 0 and is 1: .* --overwrite"):
        run(windows, other)


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"subject": {}}'])
def test_a_damaged_checkpoint_is_refused(windows, checkpoint, state):
    run(windows, checkpoint)
    checkpoint.state_path.write_text(state)
    with pytest.raises(ValueError, match="must be an unfinished training"):
        run(windows, checkpoint)


def test_damaged_weights_are_refused(windows, checkpoint):
    run(windows, checkpoint)
    name = json.loads(checkpoint.state_path.read_text())["weights"]
    (checkpoint.folder / name).write_bytes(b"not weights")
    with pytest.raises(ValueError, match="got a damaged one"):
        run(windows, checkpoint)


def test_a_loss_that_is_not_finite_stops_the_training(windows, checkpoint):
    with pytest.raises(CheckFailed, match="loss must stay finite, got nan in epoch 1/3"):
        run(np.full_like(windows, np.nan), checkpoint)
    assert checkpoint.losses() == []


def test_differences_name_what_is_new_and_what_is_gone():
    assert differences({"a": 1, "b": (2,)}, {"b": [2], "c": 3}) == (
        "a was 1 and is None, c was None and is 3"
    )


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"weight_decay": 1.5}, r"weight_decay must be in \[0, 1\), got 1.5"),
    ],
)
def test_impossible_plans_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        TrainingPlan(**{"epochs": 1, **fields})


@pytest.mark.parametrize(
    ("n_windows", "batch_size"), [(1, 1), (96, 12), (1024, 128), (20_000, 128)]
)
def test_a_small_data_set_still_gets_eight_steps(n_windows, batch_size):
    assert TrainingPlan(epochs=1, batch_size=128).batch_size_for(n_windows) == batch_size


def test_the_saved_model_is_the_network_alone():
    model = tiny_model()
    model.compile(optimizer="adam", loss="mse")
    saved = alone(model)
    assert not saved.compiled
    assert equal(saved.get_weights(), model.get_weights())
