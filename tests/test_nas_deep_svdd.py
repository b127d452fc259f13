"""The hand-picked Deep SVDD: its size, its form, and that training does not collapse it."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from datasets.command_line import CheckFailed
from export.graph import Op
from export.quantize import quantize
from nas.blocks import Block
from nas.checkpoint import Checkpoint
from nas.detectors import deep_svdd
from nas.detectors.detector import Scoring, build_detector, outputs_of
from nas.filter import check_not_collapsed, output_spread
from nas.plan import TrainingPlan
from nas.train import Trainer
from nas.windows import TrainingWindows
from tests.anomalies import auroc, flipped, scattered, turned, untrained

LSB_MV = 1 / 64
SMALL = deep_svdd.Params(blocks=(Block(8, 5, stride=2), Block(8, 5, stride=5)))
LONG = TrainingPlan(epochs=60, batch_size=32, learning_rate=3e-3)
SPREAD_KEPT = 0.1  # of the untrained spread: 60 epochs leave 0.14-0.24, a collapse 0


def beats(n_windows, seed=0, window_len=200, height=1.0):
    """Return windows of spikes of random height and spacing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.03, (n_windows, window_len, 1))
    for window in x:
        window[:: rng.integers(30, 60)] += rng.uniform(0.5, 1.5)
    codes = np.rint(height * x / LSB_MV).clip(-128, 127).astype(np.int8)
    return TrainingWindows(codes, LSB_MV, np.ones((n_windows, 1), bool), ("NORM",))


def fitted(params, windows, plan, folder):
    """Return the trained network, its centre and each stage's objective and losses."""
    keras.utils.set_random_seed(0)
    model = build_detector(deep_svdd, params, windows.shape)
    trainer = Trainer(plan, 0, len(windows), Checkpoint(folder, {}))
    objectives = {}

    def train(objective, stage="main", epochs=None):
        objectives[stage] = objective
        trainer(objective, stage, epochs)

    scoring = deep_svdd.fit(params, model, windows, train)
    return model, np.array(scoring.constants["centre"]), objectives, trainer.losses


@pytest.fixture(scope="module")
def default_model():
    return build_detector(deep_svdd, deep_svdd.Params(), (1000, 1))


@pytest.fixture(scope="module")
def overtrained(tmp_path_factory):
    """Return SMALL trained far longer than the plan's default, and what it was before."""
    windows = beats(128)
    keras.utils.set_random_seed(0)
    untrained = outputs_of(build_detector(deep_svdd, SMALL, windows.shape), windows)
    model, centre, _, _ = fitted(SMALL, windows, LONG, tmp_path_factory.mktemp("long"))
    return model, centre, untrained


def distances(model, centre, windows):
    return ((outputs_of(model, windows) - centre) ** 2).sum(axis=1)


def test_nothing_but_bias_free_valid_convolutions_and_a_mean(default_model):
    convolutions = [x for x in default_model.layers if isinstance(x, keras.layers.Conv1D)]
    assert len(convolutions) == 5
    assert not any(layer.use_bias for layer in convolutions)
    assert {layer.padding for layer in convolutions} == {"valid"}
    last, mean = default_model.layers[-2:]
    assert last is convolutions[-1]  # no activation behind it
    assert isinstance(mean, keras.layers.GlobalAveragePooling1D)


def test_silence_is_mapped_to_zero(default_model):
    assert not default_model.predict(np.zeros((1, 1000, 1)), verbose=0).any()


def test_the_default_costs_what_the_docs_say(default_model, tmp_path):
    default_model.save(tmp_path / "filter.keras")
    codes = beats(8, window_len=1000).codes
    graph = quantize(tmp_path / "filter.keras", codes, LSB_MV, codes).graph
    assert default_model.count_params() == 29_296
    assert graph.macs == 1_798_256
    assert [layer.op for layer in graph.layers] == [Op.CONV] * 5 + [Op.MEAN]


def test_default_hops_of_a_second_stream_exactly():
    assert 100 % math.prod(block.stride for block in deep_svdd.Params().blocks) == 0


def test_receptive_field_is_the_shortest_window():
    field = 1 + 4 + 4 * 2
    assert build_detector(deep_svdd, SMALL, (field, 1)).output_shape == (None, 8)
    with pytest.raises(ValueError, match=rf"must fit a window of {field - 1} samples"):
        build_detector(deep_svdd, SMALL, (field - 1, 1))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"blocks": ()}, "at least one block, got none"),
        ({"activation": "tanh"}, r"must be unbounded \(relu, leaky_relu\), got tanh"),
        ({"objective": "two_class"}, "must be one of one_class, soft_boundary, got two_class"),
        ({"nu": 1.0}, r"nu must be in \(0, 1\), got 1.0"),
        ({"pretrain_epochs": -1}, "at least 0, got -1"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        deep_svdd.Params(**fields)


def test_centre_is_the_mean_with_no_coordinate_near_zero():
    outputs = np.array([[4, 0.01, -0.01], [6, 0.01, -0.01]], np.float32)
    nearest = deep_svdd.CENTRE_MIN * outputs.std()
    assert deep_svdd.centre_of(outputs) == pytest.approx([5, nearest, -nearest])


def test_training_pulls_the_windows_to_the_centre(overtrained):
    model, centre, untrained = overtrained
    before = ((untrained - centre) ** 2).sum(axis=1)
    assert distances(model, centre, beats(128)).mean() < 0.5 * before.mean()


def test_embeddings_still_vary_after_overtraining(overtrained):
    model, _, untrained = overtrained
    outputs = outputs_of(model, beats(128))
    assert output_spread(outputs) > SPREAD_KEPT * output_spread(untrained)
    check_not_collapsed(outputs)


def test_scores_of_normal_windows_still_spread(overtrained):
    model, centre, _ = overtrained
    normal = distances(model, centre, beats(128, seed=1))
    assert np.percentile(normal, 95) > 2 * np.percentile(normal, 5)


@pytest.mark.parametrize("strange", [flipped, turned, scattered])
def test_training_is_what_ranks_strange_windows_last(overtrained, strange):
    model, centre, _ = overtrained
    trained = model, Scoring("squared_distance", {"centre": centre.tolist()})
    before, others = untrained(deep_svdd, SMALL, beats(128)), beats(128, seed=1)
    reached = auroc(trained, others, strange(others))
    assert reached > max(0.75, auroc(before, others, strange(others)) + 0.1)


@pytest.mark.parametrize(("nu", "height"), [(0.05, 0.1), (0.2, 1.5)])
def test_the_soft_boundary_leaves_a_fraction_nu_outside(tmp_path, nu, height):
    params = replace(SMALL, objective="soft_boundary", nu=nu)
    windows = beats(512, height=height)
    decaying = replace(LONG, epochs=40, weight_decay=1e-2)  # the strongest a search may draw
    model, centre, objectives, _ = fitted(params, windows, decaying, tmp_path)
    (log_radius,) = objectives["main"].network.get_layer("log_radius").get_weights()
    keras.utils.set_random_seed(0)
    untrained = outputs_of(build_detector(deep_svdd, params, windows.shape), windows)
    start = np.quantile(((untrained - centre) ** 2).sum(axis=1), 1 - nu)
    radius = start * np.exp(deep_svdd.RADIUS_RATE * log_radius.item())
    outside = (distances(model, centre, windows) > radius).mean()
    assert radius < 0.8 * start
    assert outside == pytest.approx(nu, rel=0.3)


def test_pretraining_learns_to_rebuild_the_windows(tmp_path):
    params = replace(SMALL, pretrain_epochs=20)
    windows = beats(128, window_len=203)  # no multiple of the stride
    model, _, objectives, losses = fitted(params, windows, replace(LONG, epochs=1), tmp_path)
    assert len(losses["pretraining"]) == 20
    assert losses["pretraining"][-1] < 0.5 * losses["pretraining"][0]
    assert objectives["pretraining"].network.output_shape == (None,)
    assert model.count_params() == build_detector(deep_svdd, SMALL, (203, 1)).count_params()


def test_pretraining_sees_every_sample_of_a_window(tmp_path):
    params = replace(SMALL, pretrain_epochs=1)
    windows = beats(8, window_len=203)
    _, _, objectives, _ = fitted(params, windows, replace(LONG, epochs=1), tmp_path)
    x = windows.x_mv()[:1]
    network = objectives["pretraining"].network
    error = network.predict(x, verbose=0)
    for sample in (0, 1, 101, 201, 202):
        changed = x.copy()
        changed[0, sample] += 1.0
        assert network.predict(changed, verbose=0) != error


def test_a_collapsed_network_is_found(overtrained):
    model, _, untrained = overtrained
    collapsed = build_detector(deep_svdd, SMALL, (200, 1))
    collapsed.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    outputs = outputs_of(collapsed, beats(128))
    assert not output_spread(outputs) > SPREAD_KEPT * output_spread(untrained)
    with pytest.raises(CheckFailed, match="collapsed"):
        check_not_collapsed(outputs)


def test_a_network_that_always_answers_the_centre_is_found():
    with pytest.raises(CheckFailed, match="collapsed"):
        check_not_collapsed(np.full((100, 8), 0.7, np.float32))
