"""Blobs nobody should run: each kind of damage has its own code, whatever the draw."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export import blob as blobs
from export.graph import read_graph
from export.layers import Op, Tensor
from export.native import STATUS_TEXT, FirmwareError, Role
from export.pipeline import Pipeline, run_network, trace_network
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from tests.kernel_cases import CASES
from tests.streamable import Builder
from tests.test_export_blob import changed, changed_row, make_blob, status_of

GOOD = make_blob()
HEADER = blobs.HEADER_DTYPE


def truncated(draw):
    return GOOD[: draw(st.integers(0, len(GOOD) - 1))]


def bit_flipped(draw):
    data = bytearray(GOOD)
    data[draw(st.integers(blobs.CRC_START, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def byte_swapped(draw):
    """Return what a big-endian writer would write, at least of the header."""
    n_fields = draw(st.integers(1, 4))
    swapped = np.frombuffer(GOOD, HEADER, 1).byteswap().tobytes()
    end = HEADER.fields[HEADER.names[n_fields]][1]
    return swapped[:end] + GOOD[end:]


def of_another_version(draw):
    version = draw(st.integers(0, 2**16 - 1).filter(lambda v: v != blobs.VERSION))
    return changed(GOOD, "version", version)


def oversize(draw):
    """Return a blob with a tensor beyond its memory, or more memory than any may have."""
    if draw(st.booleans()):
        return changed(GOOD, "activation_bytes", draw(st.integers(2**24 + 1, 2**32 - 1)))
    field, least = draw(st.sampled_from([("width", 2**12), ("offset", 2**20)]))
    most = 2**16 - 1 if field == "width" else 2**31 - 1
    return changed_row(GOOD, "tensors", 1, field, draw(st.integers(least, most)))


def overlapping(draw):
    """Return a blob whose first layer writes over what it still reads."""
    offset = int(np.frombuffer(GOOD, HEADER, 1)["tensors"][0])
    tensors = np.frombuffer(GOOD, blobs.TENSOR_DTYPE, 2, offset)
    first, n_bytes = int(tensors["offset"][0]), int(tensors["width"][0]) * tensors["channels"][0]
    inside = draw(st.integers(0, int(n_bytes) // 4 - 1)) * 4
    return changed_row(GOOD, "tensors", 1, "offset", first + inside)


KINDS = {
    truncated: 2,
    bit_flipped: 5,
    byte_swapped: 21,
    of_another_version: 4,
    oversize: 8,
    overlapping: 18,
}


@pytest.mark.parametrize("make", KINDS)
def test_each_kind_of_damage_has_its_own_code(make):
    @settings(max_examples=150)
    @given(data=st.data())
    def refused(data):
        assert status_of(make(data.draw)) == KINDS[make]

    refused()
    assert len(set(KINDS.values())) == len(KINDS)


@pytest.mark.parametrize("make", KINDS)
def test_a_pipeline_opens_none_of_them(make):
    @settings(max_examples=10)
    @given(data=st.data())
    def refused(data):
        with pytest.raises(FirmwareError, match=STATUS_TEXT[KINDS[make]][:20]):
            Pipeline([make(data.draw)], None)

    refused()


def test_a_slice_that_does_not_advance_is_refused():
    """The streaming check divided by its stride: a processor trap, found by the fuzzer."""
    data = CASES["strided_slice"](np.random.default_rng(0))
    good = blobs.write_blob(read_graph(data), SignalChain(), 1, data, score=None)
    header = np.frombuffer(good, HEADER, 1)[0]
    layers = np.frombuffer(good, blobs.LAYER_DTYPE, header["n_layers"], header["layers"])
    (index,) = np.flatnonzero(layers["op"] == Op.STRIDED_SLICE)
    for field in ("stride", "dilation"):
        bad = changed_row(good, "layers", int(index), field, 0)
        assert status_of(bad, Role.CLASSIFIER) == 9


def test_an_output_that_is_a_constant_is_refused():
    """Its offset was taken for one in the arena: a wild read, found by the fuzzer."""
    for seed in range(20):
        data = CASES["add"](np.random.default_rng(seed))
        good = blobs.write_blob(read_graph(data), SignalChain(), 1, data, score=None)
        header = np.frombuffer(good, HEADER, 1)[0]
        tensors = np.frombuffer(good, blobs.TENSOR_DTYPE, header["n_tensors"], header["tensors"])
        constants = np.flatnonzero(tensors["offset"] & blobs.CONSTANT)
        for index in constants:
            assert status_of(changed(good, "output", int(index)), Role.CLASSIFIER) == 8
        if len(constants):
            return
    raise AssertionError("no draw has a constant")


def test_a_bias_behind_the_last_channel_is_held_to_the_same_bound():
    """Kernels sum channels in pairs, so an odd last one has a partner: found by the fuzzer."""
    for seed in range(20):
        data = CASES["conv"](np.random.default_rng(seed))
        good = blobs.write_blob(read_graph(data), SignalChain(), 1, data, score=None)
        header = np.frombuffer(good, HEADER, 1)[0]
        layers = np.frombuffer(good, blobs.LAYER_DTYPE, header["n_layers"], header["layers"])
        (index, *_) = np.flatnonzero(layers["op"] == Op.CONV)
        tensors = np.frombuffer(good, blobs.TENSOR_DTYPE, header["n_tensors"], header["tensors"])
        channels = int(tensors["channels"][layers["output"][index]])
        if channels % 2:
            bad = bytearray(good)
            partner = int(layers["bias"][index]) + 4 * channels
            bad[partner : partner + 4] = (-(2**31)).to_bytes(4, "little", signed=True)
            assert status_of(blobs.seal(bytes(bad)), Role.CLASSIFIER) == 9
            return
    raise AssertionError("no draw has an odd number of channels")


def convolution(**fields):
    """Return the blob of one convolution, 1 -> 3 channels of 3 taps, as a classifier."""
    b = Builder(np.random.default_rng(0), 40, 1)
    graph = b.finish(b.conv(0, 3, 3, **fields))
    tensors = (graph.tensors[0], replace(graph.tensors[1], width=1))
    graph = replace(graph, tensors=tensors)
    return blobs.write_blob(graph, SignalChain(), 1, b"", score=None)


def test_weights_that_are_not_aligned_are_refused():
    """The DSP kernels load them by double words, which fault on a Cortex-M where unaligned."""
    weights = int(first_layer(convolution())["weights"])
    for offset in (1, 2, 3):
        bad = changed_row(convolution(), "layers", 0, "weights", weights + offset)
        assert status_of(bad, Role.CLASSIFIER) == 7


@pytest.mark.parametrize("bias", [-(2**31), 2**29 + 1, 2**31 - 1])
@pytest.mark.parametrize("channel", [0, 3])
def test_a_bias_that_could_overflow_is_refused(bias, channel):
    """Channel 3 is what fills up an odd number of channels: it is summed as well."""
    blob = bytearray(convolution())
    np.frombuffer(blob, "<i4", 4, int(first_layer(blob)["bias"]))[channel] = bias
    assert status_of(blobs.seal(bytes(blob)), Role.CLASSIFIER) == 9


def test_weights_behind_the_last_tap_count_for_nothing():
    """A host's kernel read up to three bytes of its stack there, times weights that are 0."""
    good = convolution(dilation=2)
    blob, first = bytearray(good), int(first_layer(good)["weights"])
    for pad in (3, 7):  # the fourth tap of channels 0 and 1
        assert blob[first + pad] == 0
        blob[first + pad] = 127
    x = np.random.default_rng(0).integers(-128, 128, (40, 1), dtype=np.int8)
    traces = [trace_network(b, Role.CLASSIFIER, x) for b in (good, blobs.seal(bytes(blob)))]
    np.testing.assert_array_equal(*traces)


TABLES = make_blob(rule="table_sum")  # of two parts over four outputs
N_WORDS = 2 + 2 * 257


def with_constants(blob, change):
    """Return `blob`, sealed, after `change` of its score constants, int32."""
    data = bytearray(blob)
    offset = int(np.frombuffer(data, HEADER, 1)["score_constants"][0])
    change(np.frombuffer(data, "<i4", N_WORDS, offset))
    return blobs.seal(bytes(data))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        *((0, n_parts) for n_parts in (0, -1, 1, 3, 8, 9, 2**31 - 1, -(2**31))),
        *((1, bits) for bits in (63, -63, 2**31 - 1, -(2**31))),
        *((2, count) for count in (0, -1, 2, 4, 2**31 - 1, -(2**31))),
        *((2 + 257, count) for count in (0, -3, 2, 4, 2**31 - 1, -(2**31))),
    ],
)
def test_tables_that_do_not_fit_the_outputs_are_refused(index, value):
    assert status_of(TABLES) == 0

    def change(constants):
        constants[index] = value

    assert status_of(with_constants(TABLES, change)) == 11


def test_tables_that_end_behind_the_blob_are_refused():
    offset = int(np.frombuffer(TABLES, HEADER, 1)["score_constants"][0])
    end = offset + 4 * N_WORDS
    assert end <= len(TABLES) < end + blobs.ALIGN
    for length in range(offset + 4, end, 4):
        assert status_of(blobs.seal(TABLES[:length])) == 11
    assert status_of(blobs.seal(TABLES[:end])) == 0


def test_tables_that_begin_near_the_end_are_refused():
    for offset in range(len(TABLES) - 4 * 257, len(TABLES), 4):
        assert status_of(changed(TABLES, "score_constants", offset)) == 11


@settings(max_examples=300)
@given(data=st.data())
def test_altered_tables_are_refused_or_scored_as_in_numpy(data):
    edges = st.sampled_from([0, 1, 2, 3, 4, 2 + 257, N_WORDS - 1])
    words = st.one_of(edges, st.integers(0, N_WORDS - 1))
    values = st.one_of(st.integers(-4, 10), st.integers(-(2**31), 2**31 - 1))

    def change(constants):
        for index in data.draw(st.lists(words, min_size=1, max_size=4)):
            constants[index] = data.draw(values)

    blob = with_constants(TABLES, change)
    if status_of(blob) != 0:
        assert status_of(blob) == 11
        return
    window = np.random.default_rng(0).integers(-128, 128, (3, 100, 1), dtype=np.int8)
    outputs, scores = run_network(blob, Role.GATE, window)
    constants = np.array(blobs.read_header(blob).score_constants, np.int32)
    output = Tensor(1, 4, 1.0, 0)
    np.testing.assert_array_equal(
        scores, SCORE_RULES["table_sum"].score(outputs, output, constants)
    )


def first_layer(blob):
    header = np.frombuffer(blob, HEADER, 1)[0]
    return np.frombuffer(blob, blobs.LAYER_DTYPE, 1, header["layers"])[0]


def test_the_undamaged_blob_opens():
    assert status_of(GOOD) == 0
