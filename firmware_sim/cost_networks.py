"""Networks to fit a cost model to, and others to hold it against.

The first are made of all operators in odd shapes, so that every loop of every kernel shows; the
second are of the forms that detectors and classifiers have. All follow from a seed.
"""

from collections.abc import Callable, Sequence

import numpy as np

from export.cost import PlannedNetwork, plan_network, untrained_score
from export.graph_builder import GraphBuilder
from export.layers import Graph
from export.score_rules import SCORE_RULES

N_FIT, N_TEST = 180, 50
RULES = tuple(SCORE_RULES)
TERMS_MAX = 1 << 14
"""Products of one sum, at most; `layer_check.c`."""

Rng = np.random.Generator
"""Where every draw comes from."""


def fitting_networks() -> list[PlannedNetwork]:
    """Return what a model is fitted to: every network on whole windows, and as it streams."""
    return in_both_forms([any_network(np.random.default_rng([1, i])) for i in range(N_FIT)])


def testing_networks() -> list[PlannedNetwork]:
    """Return what a model is held against: `N_TEST` networks, likewise."""
    graphs = []
    for i in range(N_TEST):
        family = FAMILIES[i % len(FAMILIES)]
        graphs.append(family(np.random.default_rng([2, i])))
    return in_both_forms(graphs)


def in_both_forms(graphs: Sequence[tuple[Graph, int]]) -> list[PlannedNetwork]:
    """Return networks, each with its hop, as gates on whole windows and along the stream."""
    networks: list[PlannedNetwork] = []
    for graph, hop_len in graphs:
        rule = RULES[len(networks) % len(RULES)]
        score = untrained_score(rule, graph.tensors[graph.output].n_bytes)
        streaming = plan_network(graph, hop_len, score)
        if streaming.stream is not None:
            networks.append(streaming)
        networks.append(plan_network(graph, hop_len, score, streams=False))
    return networks


def _draw(rng: Rng, *choices: int) -> int:
    return int(rng.choice(choices))


def _between(rng: Rng, low: int, high: int) -> int:
    """Return an integer in [low, high], small ones as often as large ones."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


# All operators in odd shapes.


def any_network(rng: Rng) -> tuple[Graph, int]:
    """Return up to eight operators, of any that there are, and a hop that their strides divide."""
    b = GraphBuilder(_between(rng, 30, 400), _between(rng, 1, 12), seed=int(rng.integers(2**31)))
    same, total = bool(rng.integers(2)), 1
    x = 0
    for _ in range(rng.integers(3, 9)):
        if b.shape(x)[0] < 24 or b.shape(x)[1] > 200:
            break
        stride = _draw(rng, 1, 1, 1, 2, 3)
        step = STEPS[rng.integers(len(STEPS))]
        width = b.shape(x)[0]
        x = step(b, x, rng, stride, same)
        total *= -(-width // b.shape(x)[0]) if step in STRIDED else 1
    x = _end(b, x, rng)
    return b.graph(x), total * max(1, _between(rng, 10, 120) // total)


def _activated(b: GraphBuilder, x: int, rng: Rng) -> int:
    return b.relu(x) if rng.integers(2) else x


def _convolve(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    dilation = _draw(rng, 1, 1, 2, 3) if stride == 1 else 1
    kernel = _draw(rng, 1, 2, 3, 4, 5, 7)
    return _activated(b, b.conv(x, _between(rng, 1, 80), kernel, stride, dilation, same), rng)


def _separate(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    dilation = _draw(rng, 1, 1, 2, 3) if stride == 1 else 1
    kernel, multiplier = _draw(rng, 1, 3, 5, 7, 9), _draw(rng, 1, 1, 1, 2, 3)
    return _activated(b, b.depthwise(x, kernel, stride, dilation, same, multiplier), rng)


def _pool(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    pool = b.average_pool if rng.integers(2) else b.max_pool
    return pool(x, _draw(rng, 2, 3, 4), stride, same)


def _combine(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    """Combine with a value a channel or, on whole windows, with any other that is broadcast."""
    (width, channels), combine = b.shape(x), (b.add, b.subtract, b.multiply)[rng.integers(3)]
    shapes = [(1, channels), (1, 1), (width, channels), (width, 1)] if same else [(1, channels)]
    other = b.constant(rng.normal(size=shapes[rng.integers(len(shapes))]))
    if same and rng.integers(2):
        other = b.mean(x) if rng.integers(2) else b.conv(x, 1, 1)
    return combine(x, other) if rng.integers(2) else combine(other, x)


def _residual(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    channels, kernel = b.shape(x)[1], _draw(rng, 1, 3, 5)
    inner = b.conv(x, channels, kernel, same=same)
    missing = b.shape(x)[0] - b.shape(inner)[0]
    shortcut = b.crop(x, missing // 2, missing - missing // 2) if missing else x
    combine = (b.add, b.subtract, b.multiply)[rng.integers(3)]
    return _activated(b, combine(inner, shortcut), rng)


def _join(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    other = b.conv(x, _between(rng, 1, 30), 1)
    if same and b.shape(x)[1] == b.shape(other)[1]:
        return b.concatenate(x, other, along_time=True)
    return b.concatenate(x, other, x) if rng.integers(2) else b.concatenate(other, x)


def _move(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    width, channels = b.shape(x)
    if rng.integers(3) == 0:
        return b.pad(x, (2, 1) if same else (0, 0), (int(rng.integers(3)), 1))
    if same and width % 2 == 0 and rng.integers(2):
        return b.reshape(x, width // 2, channels * 2)
    first = int(rng.integers(channels))
    return b.slice(x, (_draw(rng, 0, 1, 3), width - 2), (first, channels))


def _look_up(b: GraphBuilder, x: int, rng: Rng, stride: int, same: bool) -> int:
    return b.lookup(x)


STRIDED = (_convolve, _separate, _pool)
STEPS = (*STRIDED, _convolve, _separate, _combine, _residual, _join, _move, _look_up)


def _end(b: GraphBuilder, x: int, rng: Rng) -> int:
    """End in the mean, in a layer behind it or over the whole window, or in the signal itself."""
    kind = rng.integers(6)
    width, channels = b.shape(x)
    if kind == 0 and width * channels <= TERMS_MAX // 4:
        return b.fully_connected(x, _between(rng, 1, 60))
    if kind == 1 and width * channels <= TERMS_MAX:
        return b.conv(x, 1, 1)
    x = b.mean(x)
    return _activated(b, b.fully_connected(x, _between(rng, 1, 200)), rng) if kind < 4 else x


# The forms that detectors and classifiers have.


def _window(rng: Rng) -> GraphBuilder:
    width = _draw(rng, 250, 500, 1000)
    return GraphBuilder(width, _draw(rng, 1, 1, 2, 8, 12), seed=int(rng.integers(2**31)))


def _encoder(rng: Rng) -> tuple[Graph, int]:
    """Return valid convolutions, some separable, some with a cropped shortcut, then the mean."""
    b, x, strides = _window(rng), 0, [2, _draw(rng, 2, 5), _draw(rng, 1, 5)]
    for i in range(rng.integers(3, 7)):
        stride = strides[i] if i < len(strides) else 1
        channels, kernel = _draw(rng, 8, 16, 24, 32, 48, 64, 96), _draw(rng, 3, 5, 7)
        if b.shape(x)[0] < 2 * kernel:
            break
        if i and rng.integers(3) == 0:
            x = b.relu(b.conv(b.depthwise(x, kernel, stride), channels, 1))
        elif stride == 1 and rng.integers(2):
            inner = b.conv(x, b.shape(x)[1], kernel)
            x = b.relu(b.add(inner, b.crop(x, kernel // 2, kernel - 1 - kernel // 2)))
        else:
            x = b.relu(b.conv(x, channels, kernel, stride))
    return b.graph(b.mean(x)), 100


def _classifier(rng: Rng) -> tuple[Graph, int]:
    """Return a strided stem, residual blocks with padding, the mean, logits."""
    b = _window(rng)
    x = b.relu(b.conv(0, _draw(rng, 12, 16, 24), 7, 2, same=True))
    for stride in (2, 2, _draw(rng, 1, 5)):
        channels, kernel = _draw(rng, 16, 24, 32, 48, 64), _draw(rng, 3, 5, 7)
        inner = b.relu(b.conv(x, channels, kernel, stride, same=True))
        inner = b.conv(inner, channels, 3, same=True)
        x = b.relu(b.add(inner, b.conv(x, channels, 1, stride, same=True)))
    return b.graph(b.fully_connected(b.mean(x), 4)), 100


def _separable(rng: Rng) -> tuple[Graph, int]:
    """Return depthwise and pointwise convolutions with tabulated activations."""
    b, same = _window(rng), bool(rng.integers(2))
    x = b.relu(b.conv(0, _draw(rng, 16, 24, 32), 5, 2, same=same))
    for i in range(rng.integers(2, 5)):
        x = b.depthwise(x, _draw(rng, 3, 5, 9), (1, 2, 1, 5)[i], same=same)
        x = b.lookup(b.conv(x, _draw(rng, 16, 32, 48, 64), 1))
    return b.graph(b.fully_connected(b.mean(x), _draw(rng, 4, 16, 32))), 100


def _autoencoder(rng: Rng) -> tuple[Graph, int]:
    """Return strided convolutions down, then up by reading channels as columns."""
    b = _window(rng)
    leads, channels = b.shape(0)[1], _draw(rng, 8, 16, 24)
    x = b.relu(b.conv(0, channels, 7, 2, same=True))
    x = b.relu(b.conv(x, 2 * channels, 5, 5, same=True))
    x = b.conv(x, _draw(rng, 4, 8, 16), 3, same=True)
    x = b.conv(x, 5 * channels, 3, same=True)
    x = b.lookup(b.reshape(x, 5 * b.shape(x)[0], channels))
    x = b.conv(x, 2 * leads, 5, same=True)
    x = b.reshape(x, 2 * b.shape(x)[0], leads)
    return b.graph(b.subtract(x, 0) if b.shape(x) == b.shape(0) else x), 100


def _dense(rng: Rng) -> tuple[Graph, int]:
    """Return fully connected layers, narrow in the middle, on the pooled signal."""
    b = _window(rng)
    x = b.average_pool(0, 5, 5)
    outer, inner = _draw(rng, 64, 128), _draw(rng, 8, 16)
    for n in (outer, inner, outer):
        x = b.relu(b.fully_connected(x, n))
    return b.graph(b.fully_connected(x, 200)), 100


def _coupling(rng: Rng) -> tuple[Graph, int]:
    """Return layers that scale and shift half of the channels by a network of the other half."""
    b, half = _window(rng), _draw(rng, 4, 8)
    x = b.conv(0, 2 * half, 5, 5, same=True)
    hidden = _draw(rng, 16, 32)
    for _ in range(rng.integers(2, 5)):
        width = b.shape(x)[0]
        kept, changed = (b.slice(x, (0, width), (i * half, i * half + half)) for i in range(2))
        inner = b.relu(b.conv(kept, hidden, 3, same=True))
        scale = b.lookup(b.conv(inner, half, 3, same=True))
        changed = b.add(b.multiply(changed, scale), b.conv(inner, half, 3, same=True))
        x = b.concatenate(changed, kept)
    return b.graph(x), 100


FAMILIES: tuple[Callable[[Rng], tuple[Graph, int]], ...] = (
    _encoder,
    _classifier,
    _separable,
    _encoder,
    _autoencoder,
    _coupling,
    _dense,
)
"""What the networks a model is held against are drawn from, in turn."""
