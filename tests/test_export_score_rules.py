"""Score rules: numpy and C to the bit, tables within their rounding of the float functions."""

import json
import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export import blob as blobs
from export.layers import Graph, Layer, Op, Tensor
from export.native import FirmwareError, Role
from export.pipeline import run_network
from export.score_rules import FUNCTIONS, SCORE_RULES, TablePart
from export.signal_chain import SignalChain
from export.training_run import DataSettings, TrainedPart, load_part, save_part
from tests.streamable import EXAMPLE_CONSTANTS

RULE = SCORE_RULES["table_sum"]
OUTPUTS_MAX = 2**16


def identity_gate(output, constants, rule=RULE):
    """Return the blob of a gate whose output codes are the window's, read with `rule`."""
    window = Tensor(output.width, output.channels, 1 / 64, 0)
    codes = np.arange(-128, 128).astype(np.int8)
    graph = Graph((window, output), (Layer(Op.LOOKUP, (0,), 1, 0, weights=codes),), 0, 1)
    return blobs.write_blob(graph, SignalChain(), 1, b"", blobs.Score(rule.code, constants))


def random_codes(rng, n_windows, output):
    return rng.integers(-128, 128, (n_windows, output.width, output.channels), dtype=np.int8)


def real(codes, output):
    """Return what int8 codes stand for, float64 (n_windows, n_outputs)."""
    return (codes.reshape(len(codes), -1).astype(float) - output.zero_point) * output.scale


@st.composite
def tensors(draw):
    """Return an output tensor of up to 600 values."""
    scale = float(np.float32(draw(st.floats(1e-4, 0.5))))
    width, channels = draw(st.integers(1, 50)), draw(st.integers(1, 12))
    return Tensor(width, channels, scale, draw(st.integers(-128, 127)))


@st.composite
def tables(draw, n_outputs):
    """Return trained constants of up to eight parts, not all of weight 0."""
    n_parts = draw(st.integers(1, min(8, n_outputs)))
    cuts = draw(
        st.lists(
            st.integers(1, n_outputs - 1), min_size=n_parts - 1, max_size=n_parts - 1, unique=True
        )
        if n_parts > 1
        else st.just([])
    )
    edges = [0, *sorted(cuts), n_outputs]
    magnitude = st.floats(1e-3, 100)
    return {
        "parts": [
            asdict(
                TablePart(
                    count=end - start,
                    function=draw(st.sampled_from(sorted(FUNCTIONS))),
                    weight=draw(magnitude) * draw(st.sampled_from([1, -1])),
                    gain=draw(magnitude) * draw(st.sampled_from([1, -1])),
                )
            )
            for start, end in pairwise(edges)
        ]
    }


@settings(max_examples=150)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_tables_in_c_equal_numpy(data, seed):
    output = data.draw(tensors())
    constants = RULE.quantize_constants(data.draw(tables(output.n_bytes)), output)
    blob = identity_gate(output, constants)
    codes = random_codes(np.random.default_rng(seed), 4, output)
    outputs, scores = run_network(blob, Role.GATE, codes)
    np.testing.assert_array_equal(outputs, codes.reshape(4, -1))
    np.testing.assert_array_equal(scores, RULE.score(codes, output, constants))
    assert blobs.read_header(blob).score_constants == tuple(constants.tolist())


@settings(max_examples=150)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_tables_rank_as_the_float_function_but_for_rounding(data, seed):
    output = data.draw(tensors())
    trained = data.draw(tables(output.n_bytes))
    constants = RULE.quantize_constants(trained, output)
    codes = random_codes(np.random.default_rng(seed), 20, output)
    expected = RULE.score_float(real(codes, output), trained)
    scores = RULE.score(codes, output, constants) / 2.0 ** constants[1]
    largest = 2.0 ** (30 - constants[1]) * output.n_bytes  # no score is above, float64 adds its own
    error = output.n_bytes / 2.0 ** (constants[1] + 1) + 1e-14 * largest
    np.testing.assert_allclose(scores, expected, rtol=0, atol=error)
    order = np.argsort(expected)
    apart = np.diff(expected[order]) > 2 * error
    assert (np.diff(scores[order])[apart] > 0).all()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("weight", [1e-6, -1.0, 3e5])
def test_every_entry_is_the_float_function_to_the_nearest_step(function, weight):
    output = Tensor(1, 1, 0.03125, 17)
    trained = {"parts": [asdict(TablePart(1, function, weight, -1.5))]}
    constants = RULE.quantize_constants(trained, output)
    assert constants.dtype == np.int32
    assert constants[[0, 2]].tolist() == [1, 1]
    codes = np.arange(-128, 128).astype(np.int8)[:, np.newaxis]
    expected = RULE.score_float(real(codes, output), trained)
    steps = np.ldexp(expected, constants[1])
    np.testing.assert_allclose(constants[3:], steps, rtol=1e-14, atol=0.5)
    assert 2**28 <= np.abs(constants[3:]).max() <= 2**29
    np.testing.assert_array_equal(RULE.score(codes, output, constants), constants[3:])


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        ("square", lambda v: v * v),
        ("softplus", lambda v: math.log1p(math.exp(v))),
        ("softplus_of_negative", lambda v: math.log1p(math.exp(-v))),
        ("identity", lambda v: v),
        ("absolute", abs),
        ("gaussian_kl_log_variance", lambda v: math.exp(v) - v - 1),
    ],
)
def test_a_function_is_what_its_name_says(function, formula):
    values = np.linspace(-8, 8, 41)
    expected = [formula(v) for v in values.tolist()]
    np.testing.assert_allclose(FUNCTIONS[function](values), expected, rtol=1e-9, atol=1e-12)
    assert np.isfinite(FUNCTIONS[function](np.array([-1e6, 1e6]))).all()


def test_the_divergence_of_a_gaussian_needs_a_square_and_a_log_variance():
    """As in a variational autoencoder: mean 0.5 and log-variance -0.7, by the closed form."""
    trained = {
        "parts": [
            asdict(TablePart(1, "square", 0.5, 1.0)),
            asdict(TablePart(1, "gaussian_kl_log_variance", 0.5, 1.0)),
        ]
    }
    found = RULE.score_float(np.array([[0.5, -0.7]]), trained)
    assert found[0] == pytest.approx(0.5 * (0.25 + math.exp(-0.7) + 0.7 - 1))


def test_parts_go_through_the_outputs_in_order():
    trained = {
        "parts": [
            asdict(TablePart(2, "identity", 1.0, 1.0)),
            asdict(TablePart(3, "identity", -10.0, 1.0)),
            asdict(TablePart(1, "identity", 100.0, 1.0)),
        ]
    }
    output = Tensor(3, 2, 1.0, 0)
    codes = np.arange(1, 7, dtype=np.int8).reshape(1, 3, 2)
    assert RULE.score_float(real(codes, output), trained)[0] == 1 + 2 - 10 * (3 + 4 + 5) + 600
    constants = RULE.quantize_constants(trained, output)
    assert RULE.score(codes, output, constants)[0] / 2 ** constants[1] == 483


def test_the_longest_output_fits_and_one_more_is_refused():
    output = Tensor(2**13, 8, 1.0, -128)  # all codes 127: the largest entry, 65,536 times
    trained = {"parts": [asdict(TablePart(OUTPUTS_MAX, "square", 1.0, 1.0))]}
    constants = RULE.quantize_constants(trained, output)
    constants[3:] = 2**31 - 1  # the firmware allows any entry
    codes = np.full((1, 2**13, 8), 127, np.int8)
    _, scores = run_network(identity_gate(output, constants), Role.GATE, codes)
    assert scores[0] == OUTPUTS_MAX * (2**31 - 1) == RULE.score(codes, output, constants)[0]
    longer = Tensor(OUTPUTS_MAX // 4 + 1, 4, 1.0, 0)
    more = {"parts": [asdict(TablePart(longer.n_bytes, "square", 1.0, 1.0))]}
    with pytest.raises(FirmwareError, match="score rule"):
        identity_gate(longer, RULE.quantize_constants(more, longer))


def test_the_farthest_centre_does_not_overflow():
    rule = SCORE_RULES["squared_distance"]
    output = Tensor(2**13, 8, 1.0, -128)
    constants = rule.quantize_constants({"centre": [-1e9] * OUTPUTS_MAX}, output)
    codes = np.full((1, 2**13, 8), 127, np.int8)
    _, scores = run_network(identity_gate(output, constants, rule), Role.GATE, codes)
    assert scores[0] == OUTPUTS_MAX * (2**22 - 1 + 255 * 256) ** 2
    assert scores[0] == rule.score(codes, output, constants)[0]


@pytest.mark.parametrize("rule", SCORE_RULES)
def test_a_header_gives_the_constants_of_any_rule(rule):
    output = Tensor(1, 5, 0.1, 3)
    constants = SCORE_RULES[rule].quantize_constants(EXAMPLE_CONSTANTS[rule](output), output)
    assert constants.dtype == np.int32
    assert SCORE_RULES[rule].n_constants(constants, 5) == len(constants)
    blob = identity_gate(output, constants, SCORE_RULES[rule])
    for chain in (SignalChain(), SignalChain(fs=360.0)):  # the second puts taps behind them
        header = blobs.read_header(blobs.with_chain(blob, chain))
        assert header.score_constants == tuple(constants.tolist())


@pytest.mark.parametrize("rule", SCORE_RULES)
def test_constants_survive_the_run_folder(rule, tmp_path):
    trained = EXAMPLE_CONSTANTS[rule](Tensor(1, 5, 0.1, 3))
    data = DataSettings("synthetic", None, ("I",), "HYP")
    save_part(tmp_path, "filter", TrainedPart(data, 0, rule, trained))
    assert load_part(tmp_path, "filter").score_constants == trained
    assert json.loads((tmp_path / "filter.json").read_text())["score_constants"] == trained


GOOD = {"count": 4, "function": "square", "weight": 1.0, "gain": 1.0}


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({}, "must be parts of count, function, weight and gain: 'parts'"),
        ({"parts": 3}, "must be parts of"),
        ({"parts": [{**GOOD, "colour": 1}]}, "unexpected keyword argument 'colour'"),
        ({"parts": [{"count": 4}]}, "missing 3 required"),
        ({"parts": [{**GOOD, "weight": "much"}]}, "must be parts of"),
        ({"parts": []}, "must have 1 to 8 parts, got 0"),
        ({"parts": [{**GOOD, "count": 1}] * 9}, "must have 1 to 8 parts, got 9"),
        ({"parts": [{**GOOD, "count": 0}]}, "count of a score part must be an integer >= 1, got 0"),
        ({"parts": [{**GOOD, "count": 4.0}]}, "must be an integer >= 1, got 4.0"),
        ({"parts": [GOOD, GOOD]}, "must sum to the 4 outputs, got 8"),
        ({"parts": [{**GOOD, "function": "cube"}]}, "must be one of square, .* got cube"),
        ({"parts": [{**GOOD, "weight": math.nan}]}, "weight of a score part must be finite"),
        ({"parts": [{**GOOD, "gain": math.inf}]}, "gain of a score part must be finite, got inf"),
        ({"parts": [{**GOOD, "weight": 0.0}]}, "must be above 0 and below 2.91, got 0"),
        ({"parts": [{**GOOD, "gain": 1e100}]}, "must be above 0 and below 2.91, got 1.*e.204"),
    ],
)
def test_constants_that_make_no_tables_are_refused(constants, message):
    with pytest.raises(ValueError, match=message):
        RULE.quantize_constants(constants, Tensor(2, 2, 1.0, 0))
