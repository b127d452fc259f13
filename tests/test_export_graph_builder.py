"""A described network costs what the converted one does, to the byte."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.cost import plan_network, untrained_score
from export.graph_builder import GraphBuilder
from export.layers import Graph, Op, in_canonical_order
from export.quantize import untrained_graph
from export.signal_chain import SignalChain
from nas import classifier, layers
from nas.described import describe
from nas.detectors import DETECTORS, deep_svdd
from tests.streamable import random_network


def described_deep_svdd():
    params, b, x = deep_svdd.Params(), GraphBuilder(1000, 1), 0
    for i, block in enumerate(params.blocks):
        last = i == len(params.blocks) - 1
        x = b.conv(x, block.width, block.kernel, block.stride)
        x = x if last else b.relu(x)
    return b.graph(b.mean(x))


def described_classifier():
    params, b = classifier.Params(), GraphBuilder(1000, 1)
    x = b.relu(b.conv(0, params.stem_width, params.stem_kernel, params.stem_stride, same=True))
    for width, kernel, stride in zip(params.widths, params.kernels, params.strides, strict=True):
        inner = b.relu(b.conv(x, width, kernel, stride, same=True))
        inner = b.conv(inner, width, 3, same=True)
        x = b.relu(b.add(inner, b.conv(x, width, 1, stride, same=True)))
    return b.graph(b.fully_connected(b.mean(x), 4))


def separable(net, params, x):
    """Valid, with a table as activation and a shortcut that is cropped."""
    x = net.activation(net.conv(16, 5, stride=2, padding="valid")(x), "relu")
    inner = net.conv(16, 1)(net.depthwise(5, padding="valid", use_bias=False)(x))
    x = net.activation(net.add(inner, net.crop(x, 2, 2)), "leaky_relu")
    return net.mean(net.norm()(net.conv(24, 3, dilation=2, padding="valid")(x)))


def described_separable():
    b = GraphBuilder(400, 2)
    x = b.relu(b.conv(0, 16, 5, 2))
    inner = b.conv(b.depthwise(x, 5), 16, 1)
    x = b.lookup(b.add(inner, b.crop(x, 2, 2)))
    return b.graph(b.mean(b.conv(x, 24, 3, dilation=2)))


NETWORKS = {
    "deep_svdd": (
        lambda: layers.build(deep_svdd.network, deep_svdd.Params(), (1000, 1), "d"),
        described_deep_svdd,
    ),
    "classifier": (
        lambda: classifier.build(classifier.Params(), (1000, 1), 4),
        described_classifier,
    ),
    "separable": (lambda: layers.build(separable, None, (400, 2), "s"), described_separable),
}


def assert_costs_alike(a, b, hop_len=100):
    """Both have the same blob, whatever their role, the same memory, the same work."""
    n_outputs = a.tensors[a.output].n_bytes
    scores = ["squared_distance", "table_sum", *([None] if n_outputs < 128 else [])]
    for name in scores:
        score = name and untrained_score(name, n_outputs)
        one, other = (plan_network(graph, hop_len, score, SignalChain(fs=360)) for graph in (a, b))
        assert len(one.blob) == len(other.blob)
        assert one.arena == other.arena
        assert one.stream == other.stream
        assert one.work == other.work


def converted(model, folder):
    model.save(folder / "m.keras")
    return untrained_graph(folder / "m.keras", 1 / 64)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_described_network_costs_what_the_converted_one_does(name, tmp_path):
    build, describe_it = NETWORKS[name]
    keras.utils.set_random_seed(0)
    assert_costs_alike(converted(build(), tmp_path), describe_it())


@pytest.mark.parametrize("name", DETECTORS)
def test_so_does_every_family(name, tmp_path):
    """Among them are networks that apply layers several times, and reshapes."""
    detector, shape = DETECTORS[name], (500, 2)
    keras.utils.set_random_seed(0)
    model = layers.build(detector.network, detector.Params(), shape, name)
    found = describe(detector.network, detector.Params(), shape)
    assert_costs_alike(converted(model, tmp_path), found)


def everything(net, params, x):
    """Activations behind reshapes, a scale that is fixed, constants that are equal."""
    row = np.array([0.5, -1.0], np.float32)
    a = net.reshape(net.conv(6, 3, stride=2)(net.add_to(net.multiply_by(x, row), row)), (300, 2))
    b = net.reshape(net.depthwise(3)(net.average_pool(x, 2)), (100, 2))
    a, b = net.activation(a, "tanh"), net.activation(net.max_pool(b, 4), "relu")
    c = net.multiply(net.channels(a, 0, 1), net.activation(net.channels(a, 1, 2), "sigmoid"))
    joined = net.concatenate([net.mean(a), net.mean(b), net.reshape(c, (300,))])
    return net.activation(net.dense(20)(joined), "relu6")


def test_so_does_a_network_of_everything(tmp_path):
    keras.utils.set_random_seed(0)
    model = layers.build(everything, None, (200, 2), "e")
    assert_costs_alike(converted(model, tmp_path), describe(everything, None, (200, 2)))


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_layers_does_not_depend_on_who_lists_them(seed):
    graph = in_canonical_order(random_network(seed)[0])
    rng = np.random.default_rng(seed)
    number = rng.permutation(len(graph.tensors)).tolist()
    known = {graph.input} | {i for i, t in enumerate(graph.tensors) if t.is_constant}
    waiting, shuffled = list(graph.layers), []
    while waiting:
        ready = [layer for layer in waiting if set(layer.inputs) <= known]
        shuffled.append(ready[rng.integers(len(ready))])
        waiting.remove(shuffled[-1])
        known.add(shuffled[-1].output)
    assert in_canonical_order(renumbered(graph, shuffled, number)) == graph


def renumbered(graph, graph_layers, number):
    """Return a graph of these layers whose tensor i has become tensor number[i]."""
    tensors = [None] * len(number)
    for i, tensor in enumerate(graph.tensors):
        tensors[number[i]] = tensor
    return Graph(
        tuple(tensors),
        tuple(
            replace(la, inputs=tuple(number[i] for i in la.inputs), output=number[la.output])
            for la in graph_layers
        ),
        number[graph.input],
        number[graph.output],
    )


def test_a_cycle_is_refused():
    b = GraphBuilder(40, 1)
    x = b.conv(0, 4, 3)
    b.conv(x, 4, 3, same=True)
    graph = b.graph(2)
    first, second = graph.layers
    cyclic = Graph(graph.tensors, (renumber_inputs(first, (2,)), second), 0, 2)
    with pytest.raises(ValueError, match="a network must have no cycle"):
        in_canonical_order(cyclic)


def renumber_inputs(layer, inputs):
    return replace(layer, inputs=inputs)


def test_layers_that_do_not_fit_are_refused():
    b = GraphBuilder(40, 2)
    other = b.conv(0, 3, 5)
    for wrong, text in (
        (lambda: b.conv(0, 4, kernel=41), "a kernel over 41 columns must find them, got 40"),
        (lambda: b.conv(0, 4, kernel=3, stride=0), "kernel, stride and dilation must be at least"),
        (lambda: b.add(0, other), r"ADD must have inputs of one shape, or 1"),
        (lambda: b.concatenate(0, other), "tensors that are joined must agree"),
        (lambda: b.crop(0, 20, 20), "a slice must lie in 40 x 2"),
        (lambda: b.reshape(0, 39, 2), "a reshape must keep 80 values, got 39 x 2"),
        (lambda: b.conv(0, 4, 5, weights_of=other), r"shared weights must be \(4, 5, 2\) here"),
        (lambda: b.fully_connected(0, 0), "tensors must not be empty, got 1 x 0"),
        (lambda: GraphBuilder(0, 1), "a window must have samples and leads, got 0 x 1"),
    ):
        with pytest.raises(ValueError, match=text):
            wrong()


def test_a_relu_is_part_of_the_layer_that_nobody_else_reads():
    b = GraphBuilder(40, 2)
    x = b.conv(0, 4, 3)
    y = b.relu(x)
    assert [layer.op for layer in b.graph(y).layers] == [Op.CONV]
    y = b.add(y, x)
    assert [layer.op for layer in b.graph(y).layers] == [Op.CONV, Op.LOOKUP, Op.ADD]
    y = b.relu(b.crop(0, 2, 2))
    assert [layer.op for layer in b.graph(y).layers] == [Op.STRIDED_SLICE, Op.LOOKUP]


def test_a_reshape_to_the_same_shape_is_no_layer():
    b = GraphBuilder(40, 2)
    assert b.reshape(0, 40, 2) == 0
    assert b.shape(b.slice(0, (1, 40), (1, 2), column_step=2)) == (20, 1)
    assert b.shape(b.pad(0, (1, 2), (0, 3))) == (43, 5)
    assert b.shape(b.multiply(0, b.constant(np.ones((1, 2))))) == (40, 2)
    assert b.shape(b.average_pool(0, 3, 2, same=True)) == (20, 2)
    assert b.shape(b.max_pool(0, 3, 2)) == (19, 2)
    assert b.shape(b.depthwise(0, 3, multiplier=3)) == (38, 6)
