"""Every kernel equals TFLite Micro's to the bit, over random shapes and scales, twice in a row."""

import contextlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.blob import write_blob
from export.graph import read_graph
from export.native import Role
from export.pipeline import run_network
from export.signal_chain import SignalChain
from tests.networks import run_tflm, small_network
from tests.tflite_writer import TfliteWriter

N_WINDOWS = 3
N_EXAMPLES = 50 if os.environ.get("BEATGATE_CFLAGS") else 400  # sanitizers are slow
ACTIVATIONS = (0, 1, 3)  # none, RELU, RELU6

scales = st.floats(1e-3, 1.0)
zero_points = st.integers(-128, 127)


def assert_equals_tflm(data, seed):
    """Run a .tflite in both; the C runs twice, to show that it keeps nothing."""
    graph = read_graph(data)
    window = graph.tensors[graph.input]
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (N_WINDOWS, window.width, window.channels), dtype=np.int8)
    x[0] = rng.choice(np.array([-128, 127], np.int8), x[0].shape)  # the rails
    blob = write_blob(graph, SignalChain(), 1, data, score=None)
    first, _ = run_network(blob, Role.CLASSIFIER, x)
    second, _ = run_network(blob, Role.CLASSIFIER, x)
    np.testing.assert_array_equal(first, run_tflm(data, x))
    np.testing.assert_array_equal(first, second)


def weights(writer, rng, in_scale, weight_scale, shape):
    channel_scales = weight_scale * rng.uniform(0.1, 1.0, shape[0])
    values = rng.integers(-127, 128, shape, dtype=np.int8)
    bias = rng.integers(-(2**20), 2**20, shape[0]).astype(np.int32)
    return writer.constant(values, channel_scales), writer.constant(bias, in_scale * channel_scales)


def pooled(writer, tensor, channels, scale):
    """End a network of any width in one row: a classifier has one output a class."""
    mean = writer.activation((1, channels), scale, 0)
    writer.mean(tensor, writer.constant(np.array([1, 2], np.int32)), mean)
    return mean


@settings(max_examples=N_EXAMPLES)
@given(data=st.data())
def test_conv_equals_tflm(data):
    draw = data.draw
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    c_in, c_out = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    kernel, stride, dilation = (
        draw(st.integers(1, 9)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 3)),
    )
    same = draw(st.booleans()) and (stride == 1 or dilation == 1)
    reach = (kernel - 1) * dilation + 1
    width = draw(st.integers(reach, reach + 30))
    out_width = -(-width // stride) if same else (width - reach) // stride + 1
    in_scale, out_scale = draw(scales), draw(scales)
    w = TfliteWriter()
    source = w.activation((1, 1, width, c_in), in_scale, draw(zero_points))
    k, b = weights(w, rng, in_scale, draw(scales), (c_out, 1, kernel, c_in))
    out = w.activation((1, 1, out_width, c_out), out_scale, draw(zero_points))
    activation = draw(st.sampled_from(ACTIVATIONS))
    w.conv(source, k, b, out, stride=stride, dilation=dilation, same=same, activation=activation)
    assert_equals_tflm(w.finish([source], pooled(w, out, c_out, out_scale)), seed)


@settings(max_examples=N_EXAMPLES)
@given(data=st.data())
def test_fully_connected_equals_tflm(data):
    draw = data.draw
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n_in, n_out = draw(st.integers(1, 80)), draw(st.integers(1, 40))
    in_scale = draw(scales)
    w = TfliteWriter()
    source = w.activation((1, 1, n_in, 1), in_scale, draw(zero_points))
    k, b = weights(w, rng, in_scale, draw(scales), (n_out, n_in))
    out = w.activation((1, n_out), draw(scales), draw(zero_points))
    w.fully_connected(source, k, b, out, activation=draw(st.sampled_from(ACTIVATIONS)))
    assert_equals_tflm(w.finish([source], out), seed)


@settings(max_examples=N_EXAMPLES)
@given(data=st.data())
def test_add_equals_tflm(data):
    """Both inputs come from one window, through two convolutions of different scale."""
    draw = data.draw
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    width, channels = draw(st.integers(1, 20)), draw(st.integers(1, 8))
    in_scale = draw(scales)
    w = TfliteWriter()
    source = w.activation((1, 1, width, channels), in_scale, draw(zero_points))
    sides = []
    for _ in range(2):
        k, b = weights(w, rng, in_scale, draw(scales), (channels, 1, 1, channels))
        side = w.activation((1, 1, width, channels), draw(scales), draw(zero_points))
        w.conv(source, k, b, side, stride=1, dilation=1, same=False)
        sides.append(side)
    out_scale = draw(scales)
    out = w.activation((1, 1, width, channels), out_scale, draw(zero_points))
    w.add(*sides, out, activation=draw(st.sampled_from(ACTIVATIONS)))
    assert_equals_tflm(w.finish([source], pooled(w, out, channels, out_scale)), seed)


@settings(max_examples=N_EXAMPLES)
@given(data=st.data())
def test_mean_equals_tflm(data):
    draw = data.draw
    seed = draw(st.integers(0, 2**32 - 1))
    width, channels = draw(st.integers(1, 1500)), draw(st.integers(1, 12))
    w = TfliteWriter()
    source = w.activation((1, 1, width, channels), draw(scales), draw(zero_points))
    out = w.activation((1, channels), draw(scales), draw(zero_points))
    w.mean(source, w.constant(np.array([1, 2], np.int32)), out)
    assert_equals_tflm(w.finish([source], out), seed)


def test_an_operator_the_runtime_lacks_is_named():
    w = TfliteWriter()
    source = w.activation((1, 8), 0.1, 0)
    out = w.activation((1, 8), 1 / 128, 0)
    w.tanh(source, out)
    with pytest.raises(ValueError, match="got TANH"):
        read_graph(w.finish([source], out))


@pytest.mark.parametrize("scale", [0.8, 0.1, 6 / 255])
def test_relu6_clamps_where_tflite_does(scale):
    """6 / 0.8 is 7.5 in float32: half away from zero, not to even."""
    rng = np.random.default_rng(0)
    w = TfliteWriter()
    source = w.activation((1, 1, 10, 3), 0.5, 0)
    k, b = weights(w, rng, 0.5, 1.0, (4, 1, 2, 3))
    out = w.activation((1, 1, 9, 4), scale, 0)
    w.conv(source, k, b, out, stride=1, dilation=1, same=False, activation=3)
    assert_equals_tflm(w.finish([source], pooled(w, out, 4, scale / 4)), 0)


def test_what_only_looks_one_dimensional_is_refused():
    rng = np.random.default_rng(0)
    w = TfliteWriter()
    source = w.activation((1, 1, 20, 4), 0.5, 0)
    k, b = weights(w, rng, 0.5, 1.0, (4, 1, 3, 2))  # two groups
    out = w.activation((1, 1, 18, 4), 0.5, 0)
    w.conv(source, k, b, out, stride=1, dilation=1, same=False)
    with pytest.raises(ValueError, match="must not be grouped, got 2 of 4 channels"):
        read_graph(w.finish([source], out))
    w = TfliteWriter()
    source = w.activation((8, 16), 0.5, 0)
    k, b = weights(w, rng, 0.5, 1.0, (4, 16))
    out = w.activation((8, 4), 0.5, 0)
    w.fully_connected(source, k, b, out)
    with pytest.raises(ValueError, match=r"batch 1 and height 1, got shape \[8, 16\]"):
        read_graph(w.finish([source], out))


def test_a_reshape_that_moves_columns_is_refused():
    w = TfliteWriter()
    source = w.activation((1, 1, 50, 4), 0.5, 0)
    out = w.activation((1, 1, 25, 8), 0.5, 0)
    w.reshape(source, out)
    with pytest.raises(ValueError, match="RESHAPE must keep columns or flatten, got 50x4 to 25x8"):
        read_graph(w.finish([source], out))


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_tflite_is_refused_or_read(data):
    original = small_network(0)
    altered = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(altered[: data.draw(st.integers(4, len(altered)))])
    with contextlib.suppress(ValueError):
        read_graph(whole)
