"""Every kernel equals TFLite Micro's to the bit, over random shapes and scales, twice in a row.

BEATGATE_CASES sets how many networks a kernel meets: `BEATGATE_CASES=10000 pytest -k kernel`.
"""

import contextlib
import os
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_micro import runtime

from export.blob import write_blob
from export.graph import read_graph
from export.layers import Op
from export.native import FirmwareError, Role
from export.pipeline import trace_network
from export.signal_chain import SignalChain
from tests.kernel_cases import CASES, Case
from tests.networks import ARENA_BYTES, small_network
from tests.tflite_writer import TfliteWriter

N_CASES = int(os.environ.get("BEATGATE_CASES", 30 if os.environ.get("BEATGATE_CFLAGS") else 150))


def tflm_trace(data, graph, window):
    """Return the CRC-32 of every layer's output in TFLite Micro."""
    keep = runtime.InterpreterConfig.kPreserveAllTensors
    interpreter = runtime.Interpreter.from_bytes(
        data, arena_size=ARENA_BYTES, intrepreter_config=keep
    )
    interpreter.set_input(window.reshape(interpreter.get_input_details(0)["shape"]), 0)
    interpreter.invoke()
    tensors = (interpreter.GetTensor(layer.tflite_tensor, 0) for layer in graph.layers)
    return [zlib.crc32(tensor["tensor_data"].tobytes()) for tensor in tensors]


def assert_equals_tflm(data, seed):
    """Compare every layer's output; the C runs twice, to show that it keeps nothing."""
    graph = read_graph(data)
    window = graph.tensors[graph.input]
    rng = np.random.default_rng(seed)
    shape = (window.width, window.channels)
    x = rng.integers(-128, 128, shape, dtype=np.int8)
    if seed % 4 == 0:
        x = rng.choice(np.array([-128, 127], np.int8), shape)  # the rails
    blob = write_blob(graph, SignalChain(), 1, data, score=None)
    first = trace_network(blob, Role.CLASSIFIER, x).tolist()
    assert first == tflm_trace(data, graph, x)
    assert first == trace_network(blob, Role.CLASSIFIER, x).tolist()


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_tflm(name):
    @settings(max_examples=N_CASES, database=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def equal(seed):
        assert_equals_tflm(CASES[name](np.random.default_rng(seed)), seed)

    equal()


def test_every_operator_has_cases():
    reached = {
        layer.op
        for name, draw in CASES.items()
        for seed in range(5)
        for layer in read_graph(draw(np.random.default_rng(seed))).layers
    }
    assert reached == set(Op)


def test_an_operator_the_runtime_lacks_is_named():
    w = TfliteWriter()
    source = w.activation((1, 8), 0.1, 0)
    out = w.activation((1, 8), 0.1, 0)
    w.unary("EXP", source, out)
    with pytest.raises(ValueError, match="got EXP"):
        read_graph(w.finish([source], out))


@pytest.mark.parametrize("scale", [0.8, 0.1, 6 / 255])
def test_relu6_clamps_where_tflite_does(scale):
    """6 / 0.8 is 7.5 in float32: half away from zero, not to even."""
    case = Case(np.random.default_rng(0), 10, 3, 0.5, 0)
    kernel, bias = case.weights((4, 1, 2, 3))
    out = case.activation(9, 4, scale, 0)
    case.writer.conv(case.source, kernel, bias, out, stride=1, dilation=1, same=False, activation=3)
    assert_equals_tflm(case.finish(out, 4), 0)


@pytest.mark.parametrize(("terms", "fits"), [(16384, True), (16385, False)])
def test_weighted_sums_have_a_limit(terms, fits):
    """Beyond it a sum could leave the range in which the kernels are exact."""
    case = Case(np.random.default_rng(0), terms, 1)
    kernel, bias = case.weights((2, terms))
    out = case.writer.activation((1, 2), 1.0, 0)
    case.writer.fully_connected(case.input, kernel, bias, out)
    data = case.writer.finish([case.input], out)
    if fits:
        assert_equals_tflm(data, 0)
        return
    with pytest.raises(FirmwareError, match="status 9"):
        assert_equals_tflm(data, 0)


def test_sums_at_their_limit_are_exact():
    """All products at the rails and the largest bias: just below 2^30."""
    w = TfliteWriter()
    source = w.activation((1, 1, 16384, 1), 0.001, 127)
    signs = np.array([[127], [-127], [-128], [127]], np.int8)
    bias = np.array([-(2**29), 2**29, 2**29, -(2**29)], np.int32)
    k = w.constant(np.repeat(signs, 16384, axis=1), [0.001])
    out = w.activation((1, 4), 1.0, 3)
    w.fully_connected(source, k, w.constant(bias, [1e-6]), out)
    data = w.finish([source], out)
    graph = read_graph(data)
    x = np.full((16384, 1), -128, np.int8)
    blob = write_blob(graph, SignalChain(), 1, data, score=None)
    assert trace_network(blob, Role.CLASSIFIER, x).tolist() == tflm_trace(data, graph, x)


def test_what_only_looks_one_dimensional_is_refused():
    case = Case(np.random.default_rng(0), 20, 4)
    k, b = case.weights((4, 1, 3, 2))  # two groups
    out = case.activation(18, 4)
    case.writer.conv(case.source, k, b, out, stride=1, dilation=1, same=False)
    with pytest.raises(ValueError, match="must not be grouped, got 2 of 4 channels"):
        read_graph(case.finish(out, 4))
    case = Case(np.random.default_rng(0), 20, 4)
    source = case.writer.activation((8, 16), 0.5, 0)
    k, b = case.weights((4, 16))
    out = case.writer.activation((8, 4), 0.5, 0)
    case.writer.fully_connected(source, k, b, out)
    with pytest.raises(ValueError, match=r"batch 1 and height 1, got shape \[8, 16\]"):
        read_graph(case.writer.finish([source], out))


def joined(writer_call, out_shape, *quantized):
    case = Case(np.random.default_rng(0), 8, 4, 0.5, 0)
    out = case.activation(*out_shape, *(quantized or (0.5, 0)))
    writer_call(case, out)
    return case.finish(out, out_shape[1])


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            "CONCATENATION must have one scale and zero point throughout",
            lambda: joined(
                lambda c, out: c.writer.concatenation([c.source, c.source], out, axis=3),
                (8, 8),
                0.25,
                0,
            ),
        ),
        (
            "CONCATENATION must have 1 to 4 inputs, got 5",
            lambda: joined(
                lambda c, out: c.writer.concatenation([c.source] * 5, out, axis=3), (8, 20)
            ),
        ),
        (
            "STRIDED_SLICE must go forwards, got strides",
            lambda: joined(
                lambda c, out: c.writer.strided_slice(
                    c.source, [0, 0, 7, 0], [1, 1, 0, 4], [1, 1, -1, 1], out
                ),
                (7, 4),
            ),
        ),
        (
            "MAX_POOL must have one scale",
            lambda: joined(
                lambda c, out: c.writer.pool(
                    "MAX_POOL_2D", c.source, out, kernel=2, stride=2, same=False
                ),
                (4, 4),
                0.5,
                1,
            ),
        ),
        (
            "TANH must have output scale 0.0078125 and zero point 0",
            lambda: joined(lambda c, out: c.writer.unary("TANH", c.source, out), (8, 4)),
        ),
        (
            "RELU6 must have one scale",
            lambda: joined(lambda c, out: c.writer.unary("RELU6", c.source, out), (8, 4), 0.1, 0),
        ),
    ],
)
def test_what_would_change_the_value_is_refused(message, data):
    with pytest.raises(ValueError, match=message):
        read_graph(data())


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
