"""The blob: Python writes what C reads, and C refuses everything else with its own code."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export import blob as blobs
from export.graph import Graph, Op, Tensor, read_graph
from export.native import STATUS_TEXT, FirmwareError, Role, aligned_blob, native
from export.pipeline import run_network
from export.score_rules import SCORE_RULES
from export.signal_chain import SETTINGS_DTYPE, SignalChain
from export.streaming import POOL_HEADER_BYTES
from tests.networks import run_tflm, small_network
from tests.streamable import Builder, example_score, gate_blob

RULE = SCORE_RULES["squared_distance"]


def make_blob(
    seed=0,
    classifier=False,
    threshold=blobs.REJECT_NOTHING,
    n_leads=1,
    rule="squared_distance",
):
    data = small_network(seed, n_leads=n_leads, classifier=classifier)
    graph = read_graph(data)
    score = example_score(rule, graph.tensors[graph.output], threshold)
    return blobs.write_blob(graph, SignalChain(), 50, data, None if classifier else score)


def status_of(blob, role=Role.GATE):
    data = aligned_blob(blob)
    return native().lib.bgh_blob_check(native().pointer(data, "void"), data.size, role)


def changed(blob, field, value, sealed=True):
    """Return `blob` with one header field changed."""
    data = bytearray(blob)
    np.frombuffer(data, blobs.HEADER_DTYPE, 1)[field] = value
    if not sealed:
        return bytes(data)
    length = int(np.frombuffer(data, blobs.HEADER_DTYPE, 1)["length"][0])
    sealed_blob = bytearray(blobs.seal(bytes(data)))
    if field == "length":
        np.frombuffer(sealed_blob, blobs.HEADER_DTYPE, 1)["length"] = length
    return bytes(sealed_blob)


def changed_row(blob, table, index, field, value):
    """Return `blob`, sealed, with one field of one tensor or layer changed."""
    data = bytearray(blob)
    header = np.frombuffer(data, blobs.HEADER_DTYPE, 1)[0]
    dtype = {"tensors": blobs.TENSOR_DTYPE, "layers": blobs.LAYER_DTYPE}[table]
    np.frombuffer(data, dtype, header[f"n_{table}"], header[table])[field][index] = value
    return blobs.seal(bytes(data))


def test_python_and_c_lay_structures_out_alike():
    sizes = native().struct_sizes()
    assert sizes["header"] == blobs.HEADER_DTYPE.itemsize
    assert sizes["tensor"] == blobs.TENSOR_DTYPE.itemsize
    assert sizes["layer"] == blobs.LAYER_DTYPE.itemsize
    assert sizes["chain"] == SETTINGS_DTYPE.itemsize
    assert sizes["stream_tensor"] == blobs.STREAM_DTYPE.itemsize
    assert sizes["stream_pool"] == POOL_HEADER_BYTES


@pytest.mark.parametrize("classifier", [False, True])
@pytest.mark.parametrize("n_leads", [1, 12])
def test_a_whole_network_equals_tflm(classifier, n_leads):
    data = small_network(3, n_leads=n_leads, classifier=classifier)
    x = np.random.default_rng(0).integers(-128, 128, (50, 100, n_leads), dtype=np.int8)
    role = Role.CLASSIFIER if classifier else Role.GATE
    outputs, _ = run_network(make_blob(3, classifier, n_leads=n_leads), role, x)
    np.testing.assert_array_equal(outputs, run_tflm(data, x))


def test_the_same_network_gives_the_same_bytes():
    assert make_blob() == make_blob()


@pytest.mark.parametrize(
    ("status", "make"),
    [
        (2, lambda b: b[:100]),
        (2, lambda b: b[:-1]),
        (2, lambda b: changed(b, "length", 8)),
        (3, lambda b: b"\x00" * 64 + b[64:]),
        (21, lambda b: b[3::-1] + b[4:]),
        (4, lambda b: changed(b, "version", 2)),
        (5, lambda b: b[:-20] + bytes([b[-20] ^ 1]) + b[-19:]),
        (6, lambda b: make_blob(classifier=True)),
        (7, lambda b: changed(b, "n_layers", 0)),
        (7, lambda b: changed(b, "layers", 2**32 - 16)),
        (7, lambda b: changed(b, "score_constants", len(b))),
        (7, lambda b: changed(b, "score_constants", len(b) - 3)),
        (7, lambda b: changed(b, "score_constants", 0)),
        (11, lambda b: changed(b, "score_constants", len(b) - 4)),
        (7, lambda b: changed_row(b, "layers", 0, "weights", len(b) - 1)),
        (7, lambda b: changed_row(b, "layers", 0, "bias", 0)),
        (7, lambda b: changed_row(b, "layers", 0, "multipliers", 2**31)),
        (8, lambda b: changed(b, "input", 99)),
        (8, lambda b: changed_row(b, "tensors", 1, "offset", 2**31 - 1)),
        (7, lambda b: changed_row(b, "tensors", 1, "offset", blobs.CONSTANT | len(b))),
        (9, lambda b: changed_row(b, "tensors", 1, "offset", blobs.CONSTANT | 160)),  # written to
        (8, lambda b: changed_row(b, "tensors", 0, "offset", blobs.CONSTANT | 160)),  # the input
        (8, lambda b: changed_row(b, "tensors", 1, "width", 0)),
        (8, lambda b: changed_row(b, "tensors", 1, "width", 60_000)),
        (8, lambda b: changed_row(b, "tensors", 1, "zero_point", 128)),
        (9, lambda b: changed_row(b, "layers", 0, "output", 99)),
        (9, lambda b: changed_row(b, "layers", 1, "inputs", (3, 0, 0, 0))),  # written later
        (9, lambda b: changed_row(b, "layers", 0, "reserved", 1)),
        (9, lambda b: changed_row(b, "layers", 0, "stride", 0)),
        (9, lambda b: changed_row(b, "layers", 0, "stride", 500)),
        (9, lambda b: changed_row(b, "layers", 0, "kernel", 0)),
        (9, lambda b: changed_row(b, "layers", 2, "inputs", (1, 99, 0, 0))),
        (9, lambda b: changed_row(b, "layers", 2, "n_inputs", 1)),
        (9, lambda b: changed_row(b, "layers", 0, "n_inputs", 5)),
        (9, lambda b: changed_row(b, "layers", 0, "tile", 0)),
        (9, lambda b: changed_row(b, "layers", 0, "tile", 17)),
        (8, lambda b: changed_row(b, "layers", 0, "scratch", 2**32 - 4)),
        (8, lambda b: changed_row(b, "layers", 0, "scratch", 2)),
        (10, lambda b: changed_row(b, "layers", 0, "op", 77)),
        (11, lambda b: changed(b, "score_rule", 9)),
        (12, lambda b: changed(b, "hop_len", 0)),
        (12, lambda b: changed(b, "window_len", 101)),
    ],
)
def test_a_bad_blob_is_refused_with_its_own_code(status, make):
    blob = make(make_blob())
    assert status_of(blob) == status
    with pytest.raises(FirmwareError, match=rf"x.bgm .*\(status {status}\)"):
        native().check_blob(aligned_blob(blob), Role.GATE, "x.bgm")


def test_a_misaligned_blob_is_refused():
    data = aligned_blob(b"\0" + make_blob())[1:]
    assert native().lib.bgh_blob_check(native().pointer(data, "void"), data.size, Role.GATE) == 1


@pytest.mark.parametrize("field", ["up", "n_leads", "b0_q30", "a1_q30", "a2_q30", "scale_shift"])
def test_signal_chain_settings_that_cannot_run_are_refused(field):
    data = bytearray(make_blob())
    np.frombuffer(data, blobs.HEADER_DTYPE, 1)["chain"][field] = 2**15 - 1 if field == "up" else 0
    if field.startswith("a"):
        np.frombuffer(data, blobs.HEADER_DTYPE, 1)["chain"][field] = 2**31 - 1
    assert status_of(blobs.seal(bytes(data))) == 12


SENSOR = SignalChain(fs=360.0, mains_hz=60.0)  # 5/18, 73 taps a phase


def with_settings(blob, **fields):
    """Return `blob`, sealed, with fields of its signal chain's settings changed."""
    data = bytearray(blob)
    for name, value in fields.items():
        np.frombuffer(data, blobs.HEADER_DTYPE, 1)["chain"][name] = value
    return blobs.seal(bytes(data))


def with_tap(blob, index, change):
    data = bytearray(blob)
    offset = int(np.frombuffer(data, blobs.HEADER_DTYPE, 1)["taps"][0])
    np.frombuffer(data, "<i2", index + 1, offset)[index] += change
    return blobs.seal(bytes(data))


@pytest.mark.parametrize(
    ("status", "make"),
    [
        (12, lambda b: with_tap(b, 0, 1)),  # a phase that does not sum to one
        (12, lambda b: with_tap(b, 5 * 73 - 1, -1)),
        (12, lambda b: with_settings(b, up=0)),
        (12, lambda b: with_settings(b, down=0)),
        (7, lambda b: with_settings(b, up=10, down=36)),
        (12, lambda b: with_settings(b, up=1, down=1, fs_sensor_mhz=100_000)),  # yet there are taps
        (12, lambda b: with_settings(b, fs_sensor_mhz=361_000)),
        (12, lambda b: with_settings(b, taps_per_phase=0)),
        (12, lambda b: with_settings(b, taps_shift=14)),
        (12, lambda b: with_settings(b, taps_shift=0)),
        (12, lambda b: with_settings(b, taps_shift=40)),
        (12, lambda b: with_settings(b, notch_b0_q30=-1)),
        (12, lambda b: with_settings(b, notch_b0_q30=0)),
        (12, lambda b: with_settings(b, notch_b0_q30=2**30)),
        (12, lambda b: with_settings(b, notch_a1_q30=2**31 - 1)),
        (7, lambda b: with_settings(b, taps_per_phase=65_535)),
        (7, lambda b: with_settings(b, up=257)),
        (7, lambda b: changed(b, "taps", len(b) - 16)),
        (7, lambda b: changed(b, "taps", 8)),
        (7, lambda b: changed(b, "taps", 2**32 - 16)),
        (12, lambda b: changed(b, "taps", 0)),
        (12, lambda b: blobs.seal(with_settings(b, up=257) + bytes(2**16))),
        (12, lambda b: changed(make_blob(), "taps", len(make_blob()) - 16)),
    ],
)
def test_a_resampler_that_cannot_run_is_refused(status, make):
    assert status_of(make(blobs.with_chain(make_blob(), SENSOR))) == status


def test_a_sample_that_completes_two_windows_is_refused():
    """Ports count on one decision a sample at most."""
    blob = blobs.with_chain(make_blob(), SignalChain(fs=100.0, fs_target=250.0))
    assert status_of(changed(blob, "hop_len", 3)) == 0
    assert status_of(changed(blob, "hop_len", 2)) == 12


def test_another_chain_changes_nothing_else():
    """And a chain put on a second time leaves no trace of the first."""
    blob = make_blob()
    sensor = blobs.with_chain(blob, SENSOR)
    assert blobs.with_chain(blob, SignalChain()) == blob
    assert blobs.with_chain(sensor, SignalChain()) == blob
    other = blobs.with_chain(sensor, SignalChain(fs=512.0))
    assert other == blobs.with_chain(blob, SignalChain(fs=512.0))
    assert blobs.read_header(sensor).chain == SENSOR.blob_bytes(1)
    x = np.random.default_rng(0).integers(-128, 128, (5, 100, 1), dtype=np.int8)
    np.testing.assert_array_equal(
        run_network(blob, Role.GATE, x)[1], run_network(sensor, Role.GATE, x)[1]
    )


@settings(max_examples=150)
@given(data=st.data())
def test_no_altered_chain_faults(data):
    """Random bytes of the settings changed: refused, or it runs at the rails. Under ASan too."""
    raw, taps = bytearray(SENSOR.settings(1).tobytes()), SENSOR.taps
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    altered = np.frombuffer(raw, SETTINGS_DTYPE).reshape(())
    if int(altered["up"]) * int(altered["taps_per_phase"]) > taps.size:
        altered["taps_per_phase"] = 0  # bg_blob_check has seen that they lie inside the blob
    ffi, lib = native().ffi, native().lib
    status = ffi.new("int *")
    handle = lib.bgh_chain_open(
        native().pointer(altered, "void"), native().pointer(taps, "int16_t"), status
    )
    assert status[0] in (0, 12)
    if status[0] == 0:
        n_leads = int(altered["n_leads"])
        counts = np.where(np.arange(400 * n_leads) % 7 < 3, 32767, -32768).astype(np.int16)
        codes = np.empty(lib.bgh_chain_frames(handle, 400) * n_leads, np.int8)
        pushed = (native().pointer(counts, "int16_t"), 400, native().pointer(codes, "int8_t"))
        lib.bgh_chain_push(handle, *pushed, ffi.NULL)
        lib.bgh_chain_close(handle)


@settings(max_examples=300)
@given(data=st.data())
def test_no_altered_blob_faults(data):
    """Random bytes of a sealed blob changed: refused, or run - never a crash. Also under ASan."""
    original = make_blob()
    draw = data.draw
    altered = bytearray(original)
    for _ in range(draw(st.integers(1, 8))):
        altered[draw(st.integers(0, 600))] = draw(st.integers(0, 255))
    blob = blobs.seal(bytes(altered))
    status = status_of(blob)
    assert status in (0, *STATUS_TEXT)
    if status == 0 and blobs.read_header(blob).window_len <= 4096:
        header = blobs.read_header(blob)
        run_network(blob, Role.GATE, np.full((1, header.window_len, header.n_leads), 127, np.int8))


def test_a_flipped_weight_bit_changes_the_output():
    blob = make_blob()
    x = np.random.default_rng(0).integers(-128, 128, (20, 100, 1), dtype=np.int8)
    flipped = blobs.flip_weight_bit(blob, 0)
    assert sum(a != b for a, b in zip(blob[16:], flipped[16:], strict=True)) == 1
    assert (run_network(blob, Role.GATE, x)[1] != run_network(flipped, Role.GATE, x)[1]).any()


def twice_convolved(shares):
    """Return a blob of two convolutions, and one of each of them alone."""
    b = Builder(np.random.default_rng(0), 40, 3)
    b.conv(b.conv(0, 3, 5), 3, 5)
    middle, end = (replace(t, zero_point=0) for t in b.tensors[1:])
    first, second = b.layers
    if shares:
        second = replace(first, inputs=second.inputs, output=second.output)
    whole = Graph((b.tensors[0], middle, end), (first, second), 0, 2)
    alone = [
        Graph((a, c), (replace(layer, inputs=(0,), output=1),), 0, 1)
        for a, c, layer in ((b.tensors[0], middle, first), (middle, end, second))
    ]
    return [gate_blob(graph, 10) for graph in (whole, *alone)]


def test_equal_weights_are_stored_once():
    shared, apart = twice_convolved(True)[0], twice_convolved(False)[0]
    layers = [
        np.frombuffer(b, blobs.LAYER_DTYPE, 2, np.frombuffer(b, blobs.HEADER_DTYPE, 1)[0]["layers"])
        for b in (shared, apart)
    ]
    assert layers[0]["weights"][0] == layers[0]["weights"][1]
    assert layers[1]["weights"][0] != layers[1]["weights"][1]
    # Biases and multipliers may be equal by chance: the size must not depend on it.
    assert layers[0]["bias"][0] != layers[0]["bias"][1]
    assert len(shared) == len(apart) - 64  # 4 x 16 weights


def test_shared_weights_give_what_two_networks_in_a_row_give():
    whole, first, second = twice_convolved(True)
    x = np.random.default_rng(1).integers(-128, 128, (9, 40, 3), dtype=np.int8)
    middle, _ = run_network(first, Role.GATE, x)
    end, _ = run_network(second, Role.GATE, middle.reshape(9, 36, 3))
    outputs, _ = run_network(whole, Role.GATE, x)
    assert len(np.unique(outputs)) > 50
    np.testing.assert_array_equal(outputs, end)


def test_taps_equal_to_an_array_of_the_network_stay_the_last():
    """Another chain cuts the blob where the taps begin."""
    b = Builder(np.random.default_rng(0), 40, 1)
    taps = SENSOR.taps.ravel()
    data = np.frombuffer(taps.astype("<i2").tobytes(), np.int8)[np.newaxis]
    b.tensors.append(Tensor(1, data.size, 1 / 64, 0, data))
    b.add(Op.LOOKUP, (0,), 40, 1, weights=np.arange(-128, 128).astype(np.int8))
    blob = gate_blob(b.finish(2), 10)
    assert blobs.with_chain(blobs.with_chain(blob, SENSOR), SignalChain()) == blob


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_score_rule_in_c_equals_numpy(seed):
    rng = np.random.default_rng(seed)
    data = small_network(seed, n_outputs=int(rng.integers(1, 20)))
    graph = read_graph(data)
    output = graph.tensors[graph.output]
    constants = {"centre": (rng.normal(0, 100, output.n_bytes) * output.scale).tolist()}
    quantized = RULE.quantize_constants(constants, output)
    blob = blobs.write_blob(graph, SignalChain(), 50, data, blobs.Score(RULE.code, quantized))
    x = rng.integers(-128, 128, (4, 100, 1), dtype=np.int8)
    outputs, scores = run_network(blob, Role.GATE, x)
    np.testing.assert_array_equal(scores, RULE.score(outputs, output, quantized))
    real = (outputs.astype(float) - output.zero_point) * output.scale
    unit = (output.scale / 256) ** 2
    np.testing.assert_allclose(
        scores * unit, RULE.score_float(real, constants), rtol=0.02, atol=output.scale**2
    )
