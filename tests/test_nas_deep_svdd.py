"""The hand-picked Deep SVDD: its size, its form, and that training does not collapse it."""

import math

import keras
import numpy as np
import pytest

from datasets.command_line import CheckFailed
from export.graph import Op
from export.quantize import quantize
from nas.detectors import deep_svdd
from nas.filter import check_not_collapsed, output_spread
from nas.train import outputs_of

SMALL = deep_svdd.Params(widths=(8, 8), kernels=(5, 5), strides=(2, 5))
SPREAD_KEPT = 0.1  # of the untrained spread: 60 epochs leave 0.14-0.24, a collapse 0


def beats(n_windows, seed=0, window_len=200):
    """Return spikes of random height and spacing, float32 (n_windows, window_len, 1) in mV."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.03, (n_windows, window_len, 1))
    for window in x:
        window[:: rng.integers(30, 60)] += rng.uniform(0.5, 1.5)
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def default_model():
    return deep_svdd.build(deep_svdd.Params(), (1000, 1))


@pytest.fixture(scope="module")
def overtrained():
    """Return SMALL trained far longer than the plan's default, with what it was before."""
    keras.utils.set_random_seed(0)
    x = beats(128)
    model = deep_svdd.build(SMALL, x.shape[1:])
    untrained = outputs_of(model, x)
    constants = deep_svdd.score_constants(untrained)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=deep_svdd.loss)
    model.fit(x, deep_svdd.targets(constants, x), epochs=60, batch_size=32, verbose=0)
    return model, constants, untrained


def distances(model, constants, x):
    return ((outputs_of(model, x) - constants["centre"]) ** 2).sum(axis=1)


def test_nothing_but_bias_free_valid_convolutions_and_a_mean(default_model):
    _, *convolutions, mean = default_model.layers
    assert isinstance(mean, keras.layers.GlobalAveragePooling1D)
    for layer in convolutions:
        assert isinstance(layer, keras.layers.Conv1D)
        assert not layer.use_bias
        assert layer.padding == "valid"
    assert {layer.activation.__name__ for layer in convolutions[:-1]} == {"relu"}
    assert convolutions[-1].activation.__name__ == "linear"


def test_silence_is_mapped_to_zero(default_model):
    assert not outputs_of(default_model, np.zeros((1, 1000, 1), np.float32)).any()


def test_the_default_costs_what_the_docs_say(default_model, tmp_path):
    default_model.save(tmp_path / "filter.keras")
    codes = np.rint(beats(8, window_len=1000) * 64).astype(np.int8)
    graph = quantize(tmp_path / "filter.keras", codes, 1 / 64, codes).graph
    assert default_model.count_params() == 29_296
    assert graph.macs == 1_798_256
    assert [layer.op for layer in graph.layers] == [Op.CONV] * 5 + [Op.MEAN]


def test_default_hops_of_a_second_stream_exactly():
    params = deep_svdd.Params()
    assert 100 % math.prod(params.strides) == 0
    assert params.receptive_field == 111


def test_receptive_field_is_the_shortest_window():
    field = SMALL.receptive_field
    assert deep_svdd.build(SMALL, (field, 1)).output_shape == (None, 8)
    with pytest.raises(ValueError, match=rf"must hold {field} samples .* got {field - 1}"):
        deep_svdd.build(SMALL, (field - 1, 1))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"widths": (8,)}, "one entry a convolution, got 1, 5 and 5"),
        ({"widths": (), "kernels": (), "strides": ()}, "one entry a convolution"),
        ({"strides": (2, 2, 5, 1, 0)}, "at least 1"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        deep_svdd.Params(**fields)


def test_centre_is_the_mean_with_no_coordinate_near_zero():
    outputs = np.array([[4, 0.01, -0.01], [6, 0.01, -0.01]], np.float32)
    centre = deep_svdd.score_constants(outputs)["centre"]
    nearest = deep_svdd.CENTRE_MIN * outputs.std()
    assert centre == pytest.approx([5, nearest, -nearest])


def test_training_pulls_the_windows_to_the_centre(overtrained):
    model, constants, untrained = overtrained
    before = ((untrained - constants["centre"]) ** 2).sum(axis=1)
    assert distances(model, constants, beats(128)).mean() < 0.5 * before.mean()


def test_embeddings_still_vary_after_overtraining(overtrained):
    model, _, untrained = overtrained
    outputs = outputs_of(model, beats(128))
    assert output_spread(outputs) > SPREAD_KEPT * output_spread(untrained)
    check_not_collapsed(outputs)


def test_scores_still_spread_and_rank_an_anomaly_last(overtrained):
    model, constants, _ = overtrained
    normal = distances(model, constants, beats(128, seed=1))
    strange = distances(model, constants, 3 * beats(128, seed=1))
    assert np.percentile(normal, 95) > 2 * np.percentile(normal, 5)
    assert np.median(strange) > np.percentile(normal, 95)


def test_a_collapsed_network_is_found(overtrained):
    model, _, untrained = overtrained
    collapsed = deep_svdd.build(SMALL, (200, 1))
    collapsed.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    outputs = outputs_of(collapsed, beats(128))
    assert not output_spread(outputs) > SPREAD_KEPT * output_spread(untrained)
    with pytest.raises(CheckFailed, match="collapsed"):
        check_not_collapsed(outputs)


def test_a_network_that_always_answers_the_centre_is_found():
    with pytest.raises(CheckFailed, match="collapsed"):
        check_not_collapsed(np.full((100, 8), 0.7, np.float32))
