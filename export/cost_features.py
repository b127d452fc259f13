"""What the firmware does of each kind when it decides, counted from a network's shapes alone.

Instructions are a sum over these counts, one coefficient each: `export/cost.py` has the sum,
`firmware_sim/cost_fit.py` finds the coefficients of a core. A count follows the loops of the C
kernel of its name in `export/firmware/kernels`; there are more than any one core's kernels have, as
kernels differ from core to core, and those that do not matter on a core get the coefficient 0.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .arena import ArenaPlan
from .layers import Graph, Layer, Op, padded
from .streaming import StreamPlan, StreamTensor, reach_of

CHANNELS_AT_ONCE = 16  # of kernels/weighted.c
SUMS_AT_ONCE = 8  # of kernels/mean_s8.c
DEPTHWISE_COLUMNS = 12  # of kernels/depthwise.h
VECTOR = 16  # bytes of a Helium register
LANES = (4, 8, 16)
"""Values that a vector instruction takes at once, as int32, int16 and int8."""

Counts = Counter[str]
"""How often each kind of work is done."""
Shape = tuple[int, int]
"""(width, channels)."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a kernel: over a window's columns, or over a few new ones of the stream.

    Parameters
    ----------
    layer : its parameters; inputs, out : shapes of what it reads and writes here.
    tile : columns of a convolution at a time.
    pad_left : columns of padding in front, none along the stream.
    in_place : whether it writes where it reads.
    """

    layer: Layer
    inputs: tuple[Shape, ...]
    out: Shape
    tile: int
    pad_left: int = 0
    in_place: bool = False

    @property
    def n_out(self) -> int:
        """Values written."""
        return self.out[0] * self.out[1]


def window_counts(graph: Graph, arena: ArenaPlan) -> list[Counts]:
    """Return what each layer does when a network runs on a whole window.

    The first one's include fetching the window from the ring.
    """
    counts = []
    for layer in graph.layers:
        run = Run(
            layer=layer,
            inputs=tuple((graph.tensors[i].width, graph.tensors[i].channels) for i in layer.inputs),
            out=(graph.tensors[layer.output].width, graph.tensors[layer.output].channels),
            tile=layer.tile,
            pad_left=layer.pad_left,
            in_place=arena.offsets[layer.output] == arena.offsets[layer.inputs[0]],
        )
        counts.append(kernel_counts(run))
    counts[0]["window.fetches"] += 1
    counts[0]["window.bytes"] += graph.tensors[graph.input].n_bytes
    return counts


def stream_counts(graph: Graph, plan: StreamPlan, hop_len: int) -> list[Counts]:
    """Return what each layer does from one decision to the next when it runs along the stream."""
    return [_stream_layer(graph, plan, hop_len, index) for index in range(len(graph.layers))]


def decision_counts(graph: Graph, score_rule: int, streams: bool) -> Counts:
    """Return what a gate does for a decision beside its layers."""
    n_outputs = graph.tensors[graph.output].n_bytes
    kind = "stream.decisions" if streams else "window.decisions"
    return Counter({kind: 1, f"score{score_rule}.outputs": n_outputs})


def kernel_counts(run: Run) -> Counts:
    """Return what a kernel does in one run."""
    name = run.layer.op.name
    counts = Counter({f"{name}.runs": 1})
    counts.update(KERNELS[run.layer.op](run))
    return counts


def _times(counts: Counts, n: float) -> Counts:
    return Counter({name: count * n for name, count in counts.items()})


def _stream_layer(graph: Graph, plan: StreamPlan, hop_len: int, index: int) -> Counts:
    layer, rows = graph.layers[index], plan.tensors
    moving = [i for i in layer.inputs if rows[i].columns]
    if not moving:  # a vector, once a window
        run = _stream_run(graph, layer, rows, n_columns=graph.tensors[layer.output].width)
        return kernel_counts(run) + Counter({"stream.runs": 1})
    source = rows[moving[0]]
    n_runs = hop_len // plan.step // source.period
    if layer.op == Op.MEAN:
        counts = _pooled(graph, layer, rows, n_runs)
    else:
        n_columns = source.columns // reach_of(layer).stride
        run = _stream_run(graph, layer, rows, n_columns)
        counts = _times(kernel_counts(run) + Counter({"stream.runs": 1}), n_runs)
    for tensor in {i for i in moving if rows[i].last_reader == index}:
        pieces = -(-rows[tensor].carry // rows[tensor].columns)
        counts["stream.carry_pieces"] += n_runs * pieces
        counts["stream.carry_bytes"] += n_runs * rows[tensor].carry * graph.tensors[tensor].channels
    return counts


def _stream_run(graph: Graph, layer: Layer, rows: tuple[StreamTensor, ...], n_columns: int) -> Run:
    reach = reach_of(layer)

    def shape(tensor: int) -> Shape:
        span = (n_columns - 1) * reach.stride + reach.span
        moves = rows[tensor].columns > 0
        return (span if moves else graph.tensors[tensor].width, graph.tensors[tensor].channels)

    out = rows[layer.output]
    return Run(
        layer=layer,
        inputs=tuple(map(shape, layer.inputs)),
        out=(n_columns, graph.tensors[layer.output].channels),
        tile=out.tile,
        in_place=out.offset == rows[layer.inputs[0]].offset,
    )


def _pooled(graph: Graph, layer: Layer, rows: tuple[StreamTensor, ...], n_runs: int) -> Counts:
    """Return what a mean does: it sums blocks of columns and, once a window, their sums."""
    source, block = rows[layer.inputs[0]], rows[layer.output].block
    width, channels = graph.tensors[layer.inputs[0]].width, graph.tensors[layer.output].channels
    n_columns = n_runs * source.columns
    n_closed = n_columns / block
    return Counter(
        {
            "stream.pool_runs": n_runs,
            "stream.pool_columns": n_columns,
            "stream.pool_values": n_columns * channels,
            "stream.pool_blocks": n_closed,
            "stream.pool_block_bytes": n_closed * channels,
            "stream.pool_means": channels,
            "stream.pool_sums": -(-width // block) * channels,
        }
    )


# One function a kernel.


def _tiles(width: int, tile: int) -> Iterator[tuple[int, int]]:
    """Yield (columns, number of tiles of so many columns) of a convolution."""
    full, rest = divmod(width, tile)
    yield from ((n, times) for n, times in ((tile, full), (rest, 1)) if n and times)


def _convolution(run: Run) -> Counts:
    layer, (in_width, in_channels) = run.layer, run.inputs[0]
    counts: Counts = Counter()
    for n, times in _tiles(run.out[0], run.tile):
        columns = (n - 1) * layer.stride + layer.kernel
        calls = 1 if layer.dilation == 1 else n * layer.kernel
        widened = columns if layer.dilation == 1 else calls
        counts += _times(_weighted(layer.kernel * in_channels, run.out[1], n), times)
        counts["CONV.tiles"] += times
        counts["CONV.widen_calls"] += times * calls
        counts["CONV.widened"] += times * widened * in_channels
        counts["CONV.widened_fours"] += times * calls * (widened * in_channels // calls // 4)
    tile, overlap = _helium_tile(run, layer.kernel * in_channels)
    for n, times in _tiles(run.out[0], tile):
        counts["helium.tiles"] += times
        counts += _times(_helium(layer.kernel * in_channels, run.out[1], n), times)
        counts += _times(_helium_copies(run, n, overlap), times)
    taps = _taps_inside(layer, run.pad_left, in_width, run.out[0])
    if (padding := layer.kernel * run.out[0] - taps) > 0:
        counts["CONV.padded"] += 1
        counts["CONV.padding_taps"] += padding
        counts["CONV.padding_bytes"] += padding * in_channels
    return counts


def _fully_connected(run: Run) -> Counts:
    n_terms = run.inputs[0][0] * run.inputs[0][1]
    counts = _weighted(n_terms, run.out[1], 1) + _helium(n_terms, run.out[1], 1)
    widened = {"CONV.widened": n_terms, "CONV.widened_fours": n_terms // 4}
    return counts + Counter({**widened, "helium.ordered": -(-padded(n_terms) // VECTOR)})


def _weighted(n_terms: int, channels: int, n_columns: int) -> Counts:
    """Return what kernels/weighted.c does on one tile."""
    rows = n_columns - n_columns % 2 if n_columns > 2 else 0
    few = n_columns - rows
    fours, pairs, groups = -(-n_terms // 4), -(-channels // 2), -(-channels // CHANNELS_AT_ONCE)
    dots_4x1 = channels // 4 if few == 1 else 0
    dots_few = -(-(channels % 4) // 2) if few == 1 else pairs * (few > 0)
    counts = Counter(
        {
            "weighted.dots_2x2": rows // 2 * pairs,
            "weighted.fours_2x2": rows // 2 * pairs * fours,
            "weighted.rows": channels * (rows > 0),
            "weighted.row_values": rows * channels,
            "weighted.dots_4x1": dots_4x1,
            "weighted.fours_4x1": dots_4x1 * fours,
            "weighted.dots_few": dots_few,
            "weighted.fours_few": dots_few * fours,
            "weighted.column_groups": groups * (few > 0),
            "weighted.columns": few * groups,
            "weighted.column_values": few * channels,
            "weighted.odd_fours": (fours % 2) * (rows // 2 * pairs + dots_4x1 + dots_few),
        }
    )
    return counts


def _helium_tile(run: Run, n_terms: int) -> tuple[int, bool]:
    """Return the columns at a time of kernels/mve/conv_s8.c, and whether their windows overlap."""
    layer, taps = run.layer, padded(n_terms)
    overlap = layer.dilation == 1 and layer.stride * run.inputs[0][1] % 4 == 0
    fits = layer.scratch_bytes(min(run.tile, run.out[0])) // taps
    return (run.tile if overlap else min(run.tile, fits)), overlap


def _helium_copies(run: Run, n: int, overlap: bool) -> Counts:
    """Return how codes of `n` windows are laid out there."""
    layer, channels = run.layer, run.inputs[0][1]
    columns = (n - 1) * layer.stride + layer.kernel
    runs, size = (1, columns * channels) if overlap else (n, layer.kernel * channels)
    counts = Counter({"helium.runs": runs, "helium.ordered": runs * -(-padded(size) // VECTOR)})
    if layer.dilation > 1:
        pieces = n * layer.kernel
        counts["helium.pieces"] = pieces
        counts["helium.copied"] = pieces * -(-channels // VECTOR)
    return counts


def _helium(n_terms: int, channels: int, n: int) -> Counts:
    """Return what kernels/mve/weighted_s8.c does on one tile of `n` columns."""
    groups = -(-channels // 4)
    vectors, last = padded(n_terms) // VECTOR, padded(n_terms) % VECTOR > 0
    if n == 1:
        return Counter(
            {
                "helium.single_groups": groups,
                "helium.single_vectors": groups * vectors,
                "helium.single_last": groups * last,
            }
        )
    return Counter(
        {
            "helium.groups": groups,
            "helium.vectors": groups * vectors,
            "helium.last": groups * last,
            "helium.columns": groups * n,
            "helium.column_vectors": groups * n * vectors,
            "helium.column_last": groups * n * last,
        }
    )


def _depthwise(run: Run) -> Counts:
    """Return what depthwise_conv_s8.c does, block by block of columns, and its Helium form."""
    layer, (in_width, in_channels) = run.layer, run.inputs[0]
    columns, channels = run.out
    taps = _taps_inside(layer, run.pad_left, in_width, columns)
    multiplied = channels != in_channels
    fours, groups = 0 if multiplied else channels // 4, -(-channels // 4)
    singles, blocks = channels - 4 * fours, -(-columns // DEPTHWISE_COLUMNS)
    counts = {
        "columns": columns,
        "fours": columns * fours,
        "four_taps": taps * fours,
        "singles": columns * singles,
        "single_taps": taps * singles,
        "divided": columns * channels * multiplied,
        "values": run.n_out,
        "blocks": blocks,
        "block_groups": blocks * groups,
        "block_rows": blocks * channels,
        "groups": groups,
        "columns_of_groups": columns * groups,
        "taps_of_groups": taps * groups,
        "taps_gathered": taps * groups * multiplied,
    }
    return Counter({f"DEPTHWISE_CONV.{name}": n for name, n in counts.items()})


def _elementwise(run: Run) -> Counts:
    """Return the work on both inputs whole, in one loop, or in a loop a column."""
    name = run.layer.op.name
    a, b = run.inputs
    if a == b == run.out:
        return Counter({f"{name}.whole": 1}) + _lanes(f"{name}.values", run.n_out)
    stepped = (a[1] == 1 or b[1] == 1) and run.out[1] > 1
    kind = f"{name}.stepped" if stepped else f"{name}.broadcast"
    columns = _times(_lanes(f"{kind}_values", run.out[1]), run.out[0])
    return Counter({f"{name}.columns": run.out[0]}) + columns


def _lanes(name: str, n: int) -> Counts:
    """Return `n` values, and how many vectors they fill."""
    return Counter({f"{name}{lanes}": -(-n // lanes) for lanes in (1, *LANES)})


def _mean(run: Run) -> Counts:
    width, channels = run.inputs[0]
    groups, rest = divmod(channels, SUMS_AT_ONCE)
    return Counter(
        {
            "MEAN.values": channels,
            "MEAN.groups": groups,
            "MEAN.group_columns": groups * width,
            "MEAN.single_columns": rest * width,
        }
    ) + _times(_lanes("MEAN.channels", channels), width)


def _pool(run: Run) -> Counts:
    name, layer = run.layer.op.name, run.layer
    columns, channels = run.out
    taps = _taps_inside(layer, run.pad_left, run.inputs[0][0], columns)
    counts = Counter({f"{name}.columns": columns, f"{name}.values": run.n_out})
    counts += _times(_lanes(f"{name}.taps", channels), taps)
    counts += _times(_lanes(f"{name}.channels", channels), columns)
    return counts


def _concatenation(run: Run) -> Counts:
    along_channels = run.out[0] == run.inputs[0][0]
    calls = len(run.inputs) * (run.out[0] if along_channels else 1)
    return Counter({"CONCATENATION.calls": calls, "CONCATENATION.bytes": run.n_out})


def _strided_slice(run: Run) -> Counts:
    return Counter({"STRIDED_SLICE.columns": run.out[0], "STRIDED_SLICE.values": run.n_out})


def _reshape(run: Run) -> Counts:
    return Counter({"RESHAPE.bytes": 0 if run.in_place else run.n_out})


def _pad(run: Run) -> Counts:
    width, channels = run.inputs[0]
    return Counter({"PAD.bytes": run.n_out, "PAD.columns": width, "PAD.values": width * channels})


def _lookup(run: Run) -> Counts:
    return _lanes("LOOKUP.values", run.n_out)


KERNELS: dict[Op, Callable[[Run], Counts]] = {
    Op.CONV: _convolution,
    Op.FULLY_CONNECTED: _fully_connected,
    Op.ADD: _elementwise,
    Op.MEAN: _mean,
    Op.DEPTHWISE_CONV: _depthwise,
    Op.SUB: _elementwise,
    Op.MUL: _elementwise,
    Op.AVERAGE_POOL: _pool,
    Op.MAX_POOL: _pool,
    Op.CONCATENATION: _concatenation,
    Op.STRIDED_SLICE: _strided_slice,
    Op.RESHAPE: _reshape,
    Op.PAD: _pad,
    Op.LOOKUP: _lookup,
}


def _taps_inside(layer: Layer, pad_left: int, in_width: int, columns: int) -> int:
    """Return how many taps of all windows lie inside the input; `bg_taps_inside` in C."""
    left = np.arange(columns) * layer.stride - pad_left
    first = np.maximum(-(left // layer.dilation), 0)
    end = np.minimum(-((left - in_width) // layer.dilation), layer.kernel)
    return int((end - first).sum())


def all_names(counts: Iterable[Counts]) -> list[str]:
    """Return every kind of work that is done in any of `counts`, in order of name."""
    return sorted({name for each in counts for name, n in each.items() if n})
