"""How a network runs along the stream instead of window by window: nothing is computed twice.

Windows overlap - 10 s long, one a second - and a valid convolution does not know where its window
began: its output columns are the same in every window they lie in. So every `step` frames each
layer runs once, on the few new columns, and the mean over time is kept as sums of blocks of
columns. What follows the mean runs once a window. The scores are those of the whole window, to the
bit. docs/streaming.md has the reasoning, `export/firmware/stream.c` the execution.

Vocabulary: a tensor's columns *pass* in the order in which the stream makes them. The first `delay`
that pass were made, in part, of what came before the first sample, and count for nothing; the next
one is the first column of window 0. `carry` columns of the past are kept in front of the new ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .arena import Block, Piece, fit_scratch, lifetimes, most_at_once, place, plan_arena
from .layers import Graph, Layer, Op

SLIDING = frozenset({Op.CONV, Op.DEPTHWISE_CONV, Op.AVERAGE_POOL, Op.MAX_POOL, Op.STRIDED_SLICE})
"""Operators whose output column i sees a run of input columns that begins at i * stride + begin."""

COLUMNWISE = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.LOOKUP, Op.CONCATENATION, Op.RESHAPE, Op.PAD})
"""Operators whose output column i may see column i of each input and nothing else of it."""

BLOCK_MAX = 255
"""Columns in a block of a mean: 255 * 128 still fits the int16 sum of a channel."""

POOL_HEADER_BYTES = 12
"""`bg_stream_pool` in C, in front of the sums."""

SUM_BYTES = 2  # int16

MEMORY_MAX = 0.25
"""Part of the whole window's memory within which a plan may save instructions."""

N_SHUFFLES = 150
"""Orders tried to place a plan: carried columns make the memory hard to fill."""

SCRATCH_TARGETS = (2048, 1024, 512, 256)
"""Bytes up to which tiles may grow, as candidates: a step has few columns at a time."""

PAIR_COST, SINGLE_COST = 1.15, 1.4
"""Instructions a multiply-accumulate where two columns share the weights, and of one alone."""

RUN_COST, TILE_COST = 600, 200
"""Instructions of a layer's run and of a tile beside its columns; all measured on a Cortex-M4."""


class NotStreamableError(ValueError):
    """The network has to run on whole windows; the text says why."""


@dataclass(frozen=True, slots=True)
class StreamTensor:
    """How one tensor lives in the stream's memory; `bg_stream_tensor` in C.

    Parameters
    ----------
    columns : new ones that its readers wait for; 0 = a vector, made once a window.
    period : steps in which they come; its readers run that often.
    delay : columns that pass before the first of window 0.
    carry : columns of the past in front of the new ones.
    offset : of the carried columns, or of the vector.
    scratch, tile : of the layer that writes it: offset of its scratch memory, columns at a time.
    last_reader : the layer after which the carried columns are renewed.
    block, pool : of the output of a mean over time: columns in a block, and where the sums are.
    """

    columns: int = 0
    period: int = 0
    delay: int = 0
    carry: int = 0
    offset: int = 0
    scratch: int = 0
    last_reader: int = 0
    block: int = 0
    pool: int = 0
    tile: int = 1


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The streaming form of a network.

    Parameters
    ----------
    step : frames from one execution to the next; divides the hop.
    instructions : a rough count for a hop, to choose among plans.
    tensors : one a tensor of the graph.
    n_bytes : exact size of the stream's memory, which lives as long as the pipeline.
    """

    step: int
    tensors: tuple[StreamTensor, ...]
    n_bytes: int
    instructions: float


def plan_stream(graph: Graph, hop_len: int, step: int | None = None) -> StreamPlan:
    """Return how `graph` runs along the stream.

    Parameters
    ----------
    graph : the network; its input is one window.
    hop_len : frames between two windows.
    step : a divisor of `hop_len` and multiple of the total stride; None tries all.

    Returns
    -------
    The plan of fewest instructions among those within `MEMORY_MAX` of the whole window's memory, or
    else that of least memory. Few columns at a time mean little memory, many mean fewer
    instructions a column; the last layers may wait until a whole hop of columns is there.

    Raises
    ------
    NotStreamableError : the network, the hop or the step does not allow it.
    """
    graph = fit_scratch(graph)
    strides = _strides(graph)
    total = math.lcm(*strides.values())
    if hop_len % total:
        raise NotStreamableError(
            f"the hop must be a multiple of the total stride {total}, is {hop_len} frames"
        )
    steps = [n for n in range(total, hop_len + 1, total) if hop_len % n == 0]
    if step is not None and step not in steps:
        raise NotStreamableError(f"the step must be one of {steps}, is {step} frames")
    paces = (
        _Pace(n, late, hop_len // n, target)
        for n in (steps if step is None else [step])
        for late in (range(len(graph.layers)) if n < hop_len else [0])
        for target in SCRATCH_TARGETS
    )
    drafts = [_draft(graph, strides, hop_len, pace) for pace in paces if _agrees(graph, pace)]
    drafts.sort(key=lambda draft: draft.instructions)
    whole = plan_arena(graph).n_bytes + graph.tensors[graph.input].n_bytes  # with the ring
    least = {id(draft): most_at_once(draft.blocks.values()) for draft in drafts}
    for draft in drafts:
        if least[id(draft)] <= MEMORY_MAX * whole:
            plan = draft.placed(graph)
            if plan.n_bytes <= MEMORY_MAX * whole:
                return plan
    return min(drafts, key=lambda draft: least[id(draft)]).placed(graph)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How often layers run, and how much scratch memory a convolution takes.

    Every `step` frames; what reads the outputs of layer `late` and of the following ones, every
    `period` steps.
    """

    step: int
    late: int
    period: int
    scratch_target: int

    def of(self, writer: int) -> int:
        """Return the period of what layer `writer` writes, -1 for the network's input."""
        return self.period if writer >= self.late and writer >= 0 else 1


@dataclass(frozen=True, slots=True)
class _Draft:
    """A plan before its memory is laid out."""

    step: int
    rows: Mapping[int, StreamTensor]
    blocks: Mapping[tuple[str, int], Block]
    instructions: float

    def placed(self, graph: Graph) -> StreamPlan:
        """Return the plan with every offset."""
        placement = place(list(self.blocks.values()), N_SHUFFLES)
        rows = {n: self.rows.get(n, StreamTensor()) for n in range(len(graph.tensors))}
        for (name, number), offset in zip(self.blocks, placement.offsets, strict=True):
            rows[number] = replace(rows[number], **{name: offset})
        return StreamPlan(self.step, tuple(rows.values()), placement.n_bytes, self.instructions)


def _writers(graph: Graph) -> dict[int, int]:
    return {graph.input: -1} | {layer.output: i for i, layer in enumerate(graph.layers)}


def _agrees(graph: Graph, pace: _Pace) -> bool:
    """Return whether every layer finds its inputs' columns at the same time."""
    writers = _writers(graph)
    return all(
        len({pace.of(writers[i]) for i in layer.inputs if not graph.tensors[i].is_constant}) <= 1
        for layer in graph.layers
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """Output column i sees the `span` input columns from begin + i * stride on; `bg_reach` in C."""

    span: int = 1
    stride: int = 1
    begin: int = 0


def reach_of(layer: Layer) -> Reach:
    """Return what a column of the layer's output sees."""
    if layer.op == Op.STRIDED_SLICE:
        return Reach(1, layer.stride, layer.pad_left)
    if layer.op in SLIDING:
        return Reach((layer.kernel - 1) * layer.dilation + 1, layer.stride)
    return Reach()


def _strides(graph: Graph) -> dict[int, int]:
    """Return for every tensor that has a time axis the frames from one column to the next."""
    strides = {graph.input: 1}
    for index, layer in enumerate(graph.layers):
        sources = [i for i in layer.inputs if i in strides]
        if not sources or layer.op == Op.MEAN:
            continue
        problem = _problem(graph, layer, strides)
        if problem:
            raise NotStreamableError(f"layer {graph.layer_name(index)} {problem}")
        strides[layer.output] = strides[sources[0]] * reach_of(layer).stride
    if graph.output in strides:
        raise NotStreamableError("no mean over time ends the network")
    return strides


def _problem(graph: Graph, layer: Layer, strides: Mapping[int, int]) -> str | None:
    """Return why a column of the output depends on where its window lies; None if it does not."""
    out = graph.tensors[layer.output]
    for source in layer.inputs:
        tensor = graph.tensors[source]
        if tensor.is_constant and tensor.width == 1 and layer.op != Op.CONCATENATION:
            continue
        if source not in strides:
            return "mixes columns with a constant or with what follows a mean"
        if layer.op in SLIDING:
            reach = reach_of(layer)
            padded = layer.op != Op.STRIDED_SLICE and layer.pad_left > 0
            if padded or reach.begin + (out.width - 1) * reach.stride + reach.span > tensor.width:
                return "pads the window's edges"
        elif layer.op not in COLUMNWISE or tensor.width != out.width:
            return "needs the whole window at once"
    if len({strides[source] for source in layer.inputs if source in strides}) > 1:
        return "joins tensors of different strides"
    return None


def _draft(graph: Graph, strides: Mapping[int, int], hop_len: int, pace: _Pace) -> _Draft:
    delays = _delays(graph, pace.step * max(pace.of(i) for i in range(-1, len(graph.layers))))
    writers = _writers(graph)
    rows = {}
    for tensor, stride in strides.items():
        period = pace.of(writers[tensor])
        columns = pace.step * period // stride
        rows[tensor] = StreamTensor(columns, period, delays[tensor])
    for index, layer in enumerate(graph.layers):
        for source in layer.inputs:
            if source not in strides:
                continue
            row = rows[source]
            if layer.op == Op.MEAN:
                per_hop = hop_len // strides[source]
                frames = graph.tensors[graph.input].width + delays[graph.input]
                # Behind by what is cropped from the window's end; `bg_stream_lag` in C.
                carry = frames // strides[source] - row.delay - graph.tensors[source].width
                rows[layer.output] = StreamTensor(block=_block(per_hop))
            else:
                carry = _reach_back(layer, delays, source)
            rows[source] = replace(row, last_reader=index, carry=max(row.carry, carry))
    for layer in graph.layers:
        target = min(layer.scratch_target, pace.scratch_target)
        tile = replace(layer, scratch_target=target).tile
        rows[layer.output] = replace(rows.get(layer.output, StreamTensor()), tile=tile)
    instructions = _instructions(graph, hop_len, strides, rows)
    return _Draft(pace.step, rows, _blocks(graph, rows), instructions)


def _instructions(
    graph: Graph, hop_len: int, strides: Mapping[int, int], rows: Mapping[int, StreamTensor]
) -> float:
    """Return about how many instructions a hop's columns take on a Cortex-M4."""
    total = 0.0
    for layer in graph.layers:
        if layer.output not in strides:
            continue
        n_columns = _source(layer, rows).columns // reach_of(layer).stride
        n_runs = hop_len // strides[layer.output] / n_columns
        column = layer.macs / graph.tensors[layer.output].width
        columns = n_columns * PAIR_COST + n_columns % 2 * (SINGLE_COST - PAIR_COST)
        n_tiles = -(-n_columns // rows[layer.output].tile)
        total += n_runs * (RUN_COST + n_tiles * TILE_COST + columns * column)
    return total


def _source(layer: Layer, rows: Mapping[int, StreamTensor]) -> StreamTensor:
    """Return what a layer waits for: its first input that moves; `bg_stream_source` in C."""
    return next(rows[i] for i in layer.inputs if i in rows and rows[i].columns)


def _delays(graph: Graph, beat: int) -> dict[int, int]:
    """Return for every tensor with a time axis how many columns pass before window 0's first.

    All layers run together every `beat` frames, and so on the last frame of every window: the
    stream begins with as many frames of nothing as the first window falls short of whole beats.
    """
    delays = {graph.input: -graph.tensors[graph.input].width % beat}
    for layer in graph.layers:
        sources = [delays[i] for i in layer.inputs if i in delays]
        if sources and layer.op != Op.MEAN:
            # The first column that has all it sees is made by the step that brings the last of it.
            reach = reach_of(layer)
            late = max(sources) + reach.begin + reach.span - reach.stride
            delays[layer.output] = -(-late // reach.stride)
    return delays


def _reach_back(layer: Layer, delays: Mapping[int, int], source: int) -> int:
    """Return how far before the new columns of `source` a layer begins to read; may be negative."""
    reach = reach_of(layer)
    return delays[layer.output] * reach.stride - delays[source] - reach.begin


def _block(columns_per_hop: int) -> int:
    """Return the length of a mean's blocks: windows begin at their borders."""
    return max(n for n in range(1, BLOCK_MAX + 1) if columns_per_hop % n == 0)


def _blocks(graph: Graph, rows: Mapping[int, StreamTensor]) -> dict[tuple[str, int], Block]:
    """Return what needs memory, by the field of `StreamTensor` and the tensor it belongs to."""
    blocks: dict[tuple[str, int], Block] = {}
    for number, life in lifetimes(graph).items():
        blocks["offset", number] = _tensor_block(graph, rows, number, life)
    for index, layer in enumerate(graph.layers):
        row = rows[layer.output]
        if row.block:
            blocks["pool", layer.output] = _pool_block(graph, layer, row.block)
        else:
            blocks["scratch", layer.output] = _scratch_block(graph, rows, index)
    return blocks


# Time 0 is when frames come in; layer i of a step runs at i + 1; those behind the mean run after
# all of these, at a window's end.


def _behind(graph: Graph) -> int:
    return len(graph.layers) + 1


def _for_ever(graph: Graph, n_bytes: int) -> Piece:
    return Piece(0, n_bytes, 0, 2 * _behind(graph))


def _tensor_block(
    graph: Graph, rows: Mapping[int, StreamTensor], number: int, life: tuple[int, int]
) -> Block:
    tensor, (first, last) = graph.tensors[number], life
    row = rows.get(number, StreamTensor())
    if not row.columns:
        behind = _behind(graph)
        begin = first + 1 if row.block else behind + first + 1
        return (Piece(0, tensor.n_bytes, begin, behind + last + 1),)
    kept = row.carry * tensor.channels
    stop = kept + row.columns * tensor.channels
    begin, end = first + 1, last + 1
    if first < 0 or _source(graph.layers[first], rows).period < row.period:
        # It fills up over several frames or steps, and is empty again once its readers have run,
        # unless a layer behind them runs while it fills.
        begin = 0
        later = graph.layers[last + 1 :]
        if any(_runs_between(rows, layer, row.period) for layer in later):
            end = 2 * _behind(graph)
    return (_for_ever(graph, kept), Piece(kept, stop, begin, end))


def _runs_between(rows: Mapping[int, StreamTensor], layer: Layer, period: int) -> bool:
    periods = [rows[i].period for i in layer.inputs if i in rows and rows[i].columns]
    return bool(periods) and periods[0] < period


def _pool_block(graph: Graph, mean: Layer, block: int) -> Block:
    source = graph.tensors[mean.inputs[0]]
    sums = -(-source.width // block) * source.channels * SUM_BYTES
    return (_for_ever(graph, POOL_HEADER_BYTES + sums),)


def _scratch_block(graph: Graph, rows: Mapping[int, StreamTensor], index: int) -> Block:
    layer = graph.layers[index]
    row = rows[layer.output]
    time, n_columns = _behind(graph) + index + 1, graph.tensors[layer.output].width
    if row.columns:
        time, n_columns = index + 1, _source(layer, rows).columns // reach_of(layer).stride
    return (Piece(0, layer.scratch_bytes(min(row.tile, n_columns)), time, time),)
