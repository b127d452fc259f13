"""The training loop: seeded, killed and resumed, and what it refuses."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from datasets.command_line import CheckFailed
from nas.checkpoint import Checkpoint, differences
from nas.detectors.detector import Objective
from nas.plan import TrainingPlan
from nas.train import Trainer

PLAN = TrainingPlan(epochs=3, batch_size=16, learning_rate=1e-2)


N_STEPS = 8  # an epoch of 70 windows


class Killed(BaseException):
    """Stands for Ctrl-C."""


def kill(*arguments):
    raise Killed


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(0).normal(size=(70, 20, 1)).astype(np.float32)


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "filter.checkpoint", {"seed": 0, "leads": ("I",)})


def tiny_model(width=4):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((20, 1))
    x = keras.layers.Conv1D(width, 5, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x), name="tiny")


def objective(windows, model):
    """Return a mean squared error to 1 of windows with noise, drawn as a family's would be."""
    loss = keras.ops.mean(keras.ops.square(model.output - 1.0), axis=-1)

    def inputs(index, rng):
        return (windows[index] + rng.normal(0, 0.1, windows[index].shape).astype(np.float32),)

    return Objective(keras.Model(model.input, loss), inputs)


def run(windows, checkpoint, plan=PLAN, seed=0):
    model = tiny_model()
    trainer = Trainer(plan, seed, len(windows), checkpoint)
    trainer(objective(windows, model))
    return model.get_weights(), trainer.losses["main"]


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def spoil_step(monkeypatch, number, spoil):
    """Let `spoil` stand for the `number`-th step of the optimizer."""
    step, calls = keras.Model.train_on_batch, []

    def spoiled(self, *args):
        calls.append(None)
        return (spoil if len(calls) == number else step)(self, *args)

    monkeypatch.setattr(keras.Model, "train_on_batch", spoiled)


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
        spoil_step(patch, N_STEPS + 3, kill)
        with pytest.raises(Killed):
            run(windows, killed)
    assert killed.stage("main").losses() == whole_losses[:1]
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
    assert len(checkpoint.stage("main").losses()) == 1
    assert len(run(windows, checkpoint)[1]) == PLAN.epochs


def test_only_the_last_epoch_is_kept(windows, checkpoint):
    run(windows, checkpoint)
    names = sorted(path.name for path in (checkpoint.folder / "main").iterdir())
    assert names == ["epoch-3.weights.h5", "state.json"]
    checkpoint.remove()
    assert not checkpoint.folder.exists()
    checkpoint.remove()


def test_a_checkpoint_of_other_settings_is_refused(windows, checkpoint):
    run(windows, checkpoint)
    other = Checkpoint(checkpoint.folder, {"seed": 1, "leads": ("I",)})
    assert checkpoint.fits()
    assert not other.fits()
    complaint = rf"but seed was 0 and is 1: .* delete {checkpoint.folder} to start again"
    with pytest.raises(ValueError, match=complaint):
        run(windows, other)


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"subject": {}}'])
def test_a_damaged_checkpoint_is_refused(windows, checkpoint, state):
    run(windows, checkpoint)
    checkpoint.stage("main").state_path.write_text(state)
    with pytest.raises(ValueError, match="must be an unfinished training"):
        run(windows, checkpoint)
    assert not checkpoint.fits()


def flip_a_byte(weights):
    content = bytearray(weights.read_bytes())
    content[-10] ^= 1
    weights.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda weights: weights.write_bytes(b"not weights"),
        lambda weights: weights.write_bytes(weights.read_bytes()[:-100]),
        flip_a_byte,
        lambda weights: weights.unlink(),
    ],
)
def test_damaged_weights_are_refused(windows, checkpoint, damage):
    run(windows, checkpoint)
    main = checkpoint.stage("main")
    damage(main.folder / json.loads(main.state_path.read_text())["weights"])
    complaint = rf"got a damaged one .*: delete {checkpoint.folder} to start again"
    with pytest.raises(ValueError, match=complaint):
        run(windows, checkpoint)
    assert not checkpoint.fits()


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")  # Keras says so too
def test_weights_of_another_network_are_refused(windows, checkpoint):
    run(windows, checkpoint)
    trainer = Trainer(PLAN, 0, len(windows), checkpoint)
    with pytest.raises(ValueError, match=rf"(?s)damaged one .*: delete {checkpoint.folder}"):
        trainer(objective(windows, tiny_model(width=5)))


@pytest.fixture
def stopped(windows, tmp_path, monkeypatch):
    """Train until `spoil` takes the place of a step and raises `error`; return the weights."""

    def train(number, spoil, error, complaint=None):
        checkpoint, model = Checkpoint(tmp_path / f"{number}-{error.__name__}", {}), tiny_model()
        trainer, aim = Trainer(PLAN, 0, len(windows), checkpoint), objective(windows, model)
        with monkeypatch.context() as patch:
            spoil_step(patch, number, spoil)
            with pytest.raises(error, match=complaint):
                trainer(aim)
        return model.get_weights(), checkpoint.stage("main").losses()

    return train


def test_a_loss_that_is_not_finite_stops_the_training(stopped):
    complaint = "must stay finite, got nan in epoch 2/3, step 3; the weights of the last good epoch"
    weights, losses = stopped(N_STEPS + 3, lambda *step: np.nan, CheckFailed, complaint)
    assert len(losses) == 1
    assert equal(weights, stopped(N_STEPS + 1, kill, Killed)[0])


def test_weights_that_are_not_finite_after_the_last_step_stop_it_too(stopped):
    def explode(model, *step):
        model.set_weights([np.full_like(weights, np.inf) for weights in model.get_weights()])
        return 1.0

    complaint = "weights must stay finite, got others after epoch 3/3, step 8"
    weights, losses = stopped(3 * N_STEPS, explode, CheckFailed, complaint)
    assert len(losses) == 2
    assert equal(weights, stopped(2 * N_STEPS + 1, kill, Killed)[0])


def test_an_absurd_learning_rate_is_found(windows, tmp_path):
    wild, model = TrainingPlan(epochs=3, batch_size=16, learning_rate=1e30), tiny_model()
    before = model.get_weights()
    with pytest.raises(CheckFailed, match=r"must stay finite, got .* in epoch 1/3, step"):
        Trainer(wild, 0, len(windows), Checkpoint(tmp_path, {}))(objective(windows, model))
    assert equal(model.get_weights(), before)


def test_stages_have_orders_and_checkpoints_of_their_own(windows, checkpoint):
    model, seen = tiny_model(), {}
    trainer = Trainer(PLAN, 0, len(windows), checkpoint)
    for stage, n_epochs in (("pretraining", 2), ("main", None)):
        order = seen[stage] = []

        def inputs(index, rng, order=order):
            order.append(index)
            return (windows[index],)

        trainer(replace(objective(windows, model), inputs=inputs), stage, n_epochs)
    assert [len(trainer.losses[stage]) for stage in seen] == [2, 3]
    assert not np.array_equal(seen["pretraining"][0], seen["main"][0])
    assert not np.array_equal(seen["main"][0], seen["main"][N_STEPS])
    assert len(np.unique(np.concatenate(seen["main"][:N_STEPS]))) == 8 * N_STEPS
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == ["main", "pretraining"]


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


def test_the_saved_model_is_the_network_alone(windows, tmp_path):
    model = tiny_model()
    names = [layer.name for layer in model.layers]
    Trainer(PLAN, 0, len(windows), Checkpoint(tmp_path, {}))(objective(windows, model))
    model.save(tmp_path / "tiny.keras")
    saved = keras.models.load_model(tmp_path / "tiny.keras")
    assert not saved.compiled
    assert [layer.name for layer in saved.layers] == names
    assert equal(saved.get_weights(), model.get_weights())
