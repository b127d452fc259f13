"""Where each activation lies in the network's memory, known before anything is flashed."""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from .layers import SCRATCH_TARGET, Graph, Layer, Op, Tensor

ALIGNMENT = 4

ELEMENTWISE = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.LOOKUP, Op.RESHAPE})
"""Operators that need byte i of an input of the output's size for byte i of the output alone."""

FOLLOWING = ELEMENTWISE | {
    Op.CONV,
    Op.DEPTHWISE_CONV,
    Op.FULLY_CONNECTED,
    Op.MEAN,
    Op.AVERAGE_POOL,
    Op.MAX_POOL,
    Op.STRIDED_SLICE,
}
"""Operators whose output may follow the input's columns as these are done with."""


N_SHUFFLES = 10


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [start, stop) of a block, in use from time `first` to time `last`, both included."""

    start: int
    stop: int
    first: int
    last: int


Block = tuple[Piece, ...]
"""What must lie in one run: the pieces of a block are in use at different times."""


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Where things lie in a network's memory, and the bytes of it all.

    Parameters
    ----------
    offsets : one a tensor of the graph, 0 for constants.
    scratch : one a layer, of its scratch memory.
    """

    offsets: tuple[int, ...]
    scratch: tuple[int, ...]
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets of blocks, and the bytes of them all."""

    offsets: tuple[int, ...]
    n_bytes: int


def plan_arena(graph: Graph) -> ArenaPlan:
    """Place every tensor and every layer's scratch so that nothing in use at once overlaps.

    An output takes the place of an input that dies there where the operator allows it. Time is the
    index of the layer; the network's input is written before the first and its output read after
    the last.
    """
    lives = lifetimes(graph)
    scratch = [
        (Piece(0, graph.scratch_bytes(index), index, index),) for index in range(len(graph.layers))
    ]
    apart = [{tensor: 0} for tensor in lives]
    plans = []
    shared = (_in_place_groups(graph, lives, operators) for operators in (FOLLOWING, ELEMENTWISE))
    for groups in (*shared, apart):
        placed = place([*(_merged(graph, lives, group) for group in groups), *scratch])
        offset_of = {
            tensor: offset + start
            for group, offset in zip(groups, placed.offsets, strict=False)
            for tensor, start in group.items()
        }
        offsets = tuple(offset_of.get(tensor, 0) for tensor in range(len(graph.tensors)))
        plans.append(ArenaPlan(offsets, placed.offsets[len(groups) :], placed.n_bytes))
    return min(plans, key=lambda plan: plan.n_bytes)


def fit_scratch(graph: Graph) -> Graph:
    """Return `graph` with convolutions that work on as many columns at a time as memory allows.

    Scratch is worth having where activations leave room for it: it shrinks until the network needs
    no more memory than its activations alone, one beside the other as TFLite Micro has them.
    """
    lives = lifetimes(graph)
    bound = place([_merged(graph, lives, {tensor: 0}) for tensor in lives]).n_bytes
    fitted = graph
    for target in (SCRATCH_TARGET, 1024, 512, 256, 0):
        layers = (replace(layer, scratch_target=target) for layer in graph.layers)
        fitted = replace(graph, layers=tuple(layers))
        if plan_arena(fitted).n_bytes <= bound:
            break
    return fitted


def lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """Return for every tensor the first and last layer that needs it, -1 and n_layers outside.

    Constants have none: they lie in flash.
    """
    lives = {graph.input: (-1, -1)}
    for index, layer in enumerate(graph.layers):
        for tensor in (*layer.inputs, layer.output):
            if not graph.tensors[tensor].is_constant:
                first, _ = lives.get(tensor, (index, index))
                lives[tensor] = (first, index)
    lives[graph.output] = (lives[graph.output][0], len(graph.layers))
    return lives


def _in_place_groups(
    graph: Graph, lives: dict[int, tuple[int, int]], operators: frozenset[Op]
) -> list[dict[int, int]]:
    """Return the tensors that share memory, each with where it starts in its group's."""
    group_of = {tensor: {tensor: 0} for tensor in lives}
    for index, layer in enumerate(graph.layers):
        output = graph.tensors[layer.output]
        for source in layer.inputs:
            dies = layer.op in operators and source in lives and lives[source][1] == index
            distance = _distance_in_place(layer, graph.tensors[source], output) if dies else None
            if distance is not None:
                group = group_of[source]
                group[layer.output] = group[source] - distance
                group_of[layer.output] = group
                break
    groups = {id(group): group for group in group_of.values()}.values()
    return [
        {tensor: start - min(group.values()) for tensor, start in group.items()} for group in groups
    ]


def _distance_in_place(layer: Layer, source: Tensor, output: Tensor) -> int | None:
    """Return how far in front of its input `source` a layer's output may begin; None: no sharing.

    Kernels go through time, so the output may follow the input's columns as these are done with.
    A convolution that makes more bytes than it takes needs a lead. `overlap.c` has the same rules.
    """
    if layer.op in ELEMENTWISE:
        return 0 if source.n_bytes == output.n_bytes else None
    if layer.op in (Op.FULLY_CONNECTED, Op.MEAN, Op.STRIDED_SLICE):
        return 0
    if layer.op in (Op.DEPTHWISE_CONV, Op.AVERAGE_POOL, Op.MAX_POOL):
        return 0 if source.channels == output.channels and not layer.pad_left else None
    if layer.op == Op.CONV:
        growth = output.channels - layer.stride * source.channels  # bytes a column
        lead = max(growth, (output.width - 1) * growth) + layer.pad_left * source.channels
        return _aligned(max(0, lead))
    return None


def _merged(graph: Graph, lives: dict[int, tuple[int, int]], group: dict[int, int]) -> Block:
    return tuple(
        Piece(start, start + graph.tensors[tensor].n_bytes, *lives[tensor])
        for tensor, start in group.items()
    )


def place(blocks: Sequence[Block], n_shuffles: int = N_SHUFFLES) -> Placement:
    """Return offsets, multiples of `ALIGNMENT`, at which no pieces in use at once overlap.

    Blocks are placed one after another at the lowest place that is free, in a few orders, of which
    the one that needs least memory is taken: by size, as in the reference, by life, by time and,
    where none of these reaches the least possible, some at random from a fixed seed.

    References
    ----------
    Pisarchyk, Lee, *Efficient memory management for deep neural net inference*, 2020,
    arXiv:2001.03288 ("greedy by size"); TFLite Micro's planner is of this kind.
    """

    def size(block: Block) -> int:
        return max(piece.stop for piece in block)

    def first(block: Block) -> int:
        return min(piece.first for piece in block)

    def life(block: Block) -> int:
        return max(piece.last for piece in block) - first(block)

    orders: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda i: (-size(blocks[i]), i),
        lambda i: (-size(blocks[i]), -i),
        lambda i: (-size(blocks[i]), -life(blocks[i]), i),
        lambda i: (-life(blocks[i]), -size(blocks[i]), i),
        lambda i: (first(blocks[i]), -size(blocks[i]), i),
    )
    numbers = list(range(len(blocks)))
    best = min(
        (_place_in_order(blocks, sorted(numbers, key=order)) for order in orders),
        key=lambda placement: placement.n_bytes,
    )
    rng, least = random.Random(0), most_at_once(blocks)
    for _ in range(n_shuffles):
        if best.n_bytes <= least:
            break
        rng.shuffle(numbers)
        best = min(best, _place_in_order(blocks, numbers), key=lambda placement: placement.n_bytes)
    return best


def most_at_once(blocks: Collection[Block]) -> int:
    """Return a bound from below: the most bytes in use at one time; what is shared counts once."""
    times = {piece.first for block in blocks for piece in block}
    return _aligned(
        max(
            sum(
                max((p.stop - p.start for p in block if p.first <= time <= p.last), default=0)
                for block in blocks
            )
            for time in times
        )
    )


def _place_in_order(blocks: Sequence[Block], order: Iterable[int]) -> Placement:
    offsets: dict[int, int] = {}
    for number in order:
        taken = [
            (piece, other, offsets[i])
            for i in offsets
            for other in blocks[i]
            for piece in blocks[number]
            if other.first <= piece.last and piece.first <= other.last
            if other.start < other.stop and piece.start < piece.stop
        ]
        # A lowest place begins at 0 or where one of our pieces meets the end of another's.
        ends = (_aligned(max(at + other.stop - piece.start, 0)) for piece, other, at in taken)
        candidates = sorted({0, *ends})
        offsets[number] = next(offset for offset in candidates if _is_free(offset, taken))
    return Placement(
        offsets=tuple(offsets[i] for i in range(len(blocks))),
        n_bytes=_aligned(max(offsets[i] + p.stop for i in offsets for p in blocks[i])),
    )


def _is_free(offset: int, taken: Iterable[tuple[Piece, Piece, int]]) -> bool:
    return all(
        offset + piece.stop <= at + other.start or at + other.stop <= offset + piece.start
        for piece, other, at in taken
    )


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT
