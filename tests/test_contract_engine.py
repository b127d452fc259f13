"""Every engine of `ENGINES` gives the same decisions, whatever the chunks, also after a reset."""

from dataclasses import replace

import numpy as np
import pytest

from firmware_sim.engines import ENGINES, open_engine
from firmware_sim.engines.qemu import Machine
from firmware_sim.parity import check_golden, check_parity, flip_weight_bit, golden_recordings
from tests.bundles import ecg_like, make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("engine") / "b", n_leads=2)


@pytest.fixture(params=ENGINES)
def engine_name(request):
    if request.param == "qemu":
        request.getfixturevalue("toolchain")
    return request.param


def signal():
    """Return 40 s, 31 windows, of which some are rejected."""
    return np.concatenate([ecg_like(seed, n_leads=2) for seed in range(4)])


def play(bundle, name, chunks, **networks):
    counts = signal()
    with ENGINES[name](bundle, **networks) as engine:
        decisions, start = [], 0
        for size in [*chunks, len(counts)]:
            decisions += engine.push(counts[start : start + size])
            start += size
        return decisions


@pytest.mark.parametrize("without", [None, "with_filter", "with_classifier"])
def test_decisions_equal_the_host_engines(bundle, engine_name, without):
    networks = {without: False} if without else {}
    decisions = play(bundle, engine_name, [], **networks)
    assert decisions == play(bundle, "host", [], **networks)
    assert [d.window_start for d in decisions] == list(range(0, 3001, 100))
    assert any(not d.accepted for d in decisions) == (without != "with_filter")
    assert any(d.label is not None for d in decisions) == (without != "with_classifier")


def test_decisions_by_tables_equal_the_host_engines(engine_name, tmp_path):
    bundle = make_bundle(tmp_path / "b", n_leads=2, score_rule="table_sum")
    decisions = play(bundle, engine_name, [])
    assert decisions == play(bundle, "host", [])
    assert len({d.scores for d in decisions}) == 31
    assert {d.accepted for d in decisions} == {True, False}


def test_chunks_do_not_matter(bundle, engine_name):
    assert play(bundle, engine_name, [1, 63, 64, 65, 0, 999]) == play(bundle, engine_name, [])


def test_a_reset_forgets(bundle, engine_name):
    with ENGINES[engine_name](bundle) as engine:
        first = engine.push(signal())
        engine.push(signal()[:777] * 2)
        engine.reset()
        assert engine.push(signal()) == first


@pytest.mark.parametrize("network", ["filter", "classifier"])
def test_traces_agree(bundle, engine_name, network):
    window = np.random.default_rng(0).integers(-128, 128, (1000, 2), dtype=np.int8)
    with ENGINES[engine_name](bundle) as engine, ENGINES["host"](bundle) as host:
        np.testing.assert_array_equal(engine.trace(network, window), host.trace(network, window))


def test_golden_windows_give_the_golden_decisions(bundle, engine_name):
    with ENGINES[engine_name](bundle) as engine:
        for index, counts in enumerate(bundle.golden.adc_counts):
            engine.reset()
            (decision,) = engine.push(counts)
            assert decision.scores == (bundle.golden.scores[index],)
            assert decision.accepted == bundle.golden.accepted[index]


def test_instruction_counts_repeat_exactly(bundle, toolchain):
    counts = []
    for _ in range(2):
        with ENGINES["qemu"](bundle) as engine:
            engine.push(signal())
            counts.append(engine.instructions())
    assert counts[0] == counts[1]
    assert len(counts[0].gate) == 31
    # Behind the first window every one costs the gate the same but for data-dependent rounding.
    assert min(counts[0].gate[1:]) > 0.98 * max(counts[0].gate[1:]) > 10_000


def test_a_dead_machine_is_an_error_not_a_hang(bundle, toolchain):
    with ENGINES["qemu"](bundle) as engine:
        engine._machine._process.kill()
        with pytest.raises(RuntimeError, match="qemu-system-arm ended with exit code -9"):
            engine.push(signal())


def test_parity_holds_and_finds_one_flipped_bit(bundle):
    engines = {name: ENGINES[name] for name in ("tflm", "host")}
    recordings = [("a", signal()), ("b", ecg_like(9, 1500, n_leads=2))]
    whole = check_parity(bundle, iter(recordings), engines, 33)
    assert (whole.n_windows, whole.n_equal, whole.differences) == (33, {"host": 33}, ())
    broken = check_parity(flip_weight_bit(bundle, 0), iter(recordings), engines, 33)
    assert broken.n_equal["host"] < 33
    assert broken.differences[0].window.startswith("a from sample")
    assert broken.differences[0].layer.startswith("filter layer 0 CONV")


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_layers_show_a_flip_that_the_score_hides(bundle, layer):
    engines = {name: ENGINES[name] for name in ("tflm", "host")}
    broken = flip_weight_bit(bundle, layer)
    result = check_parity(broken, golden_recordings(bundle), engines, 12, layers=True)
    assert result.n_equal["host"] < 12
    assert result.differences[0].layer.startswith(f"filter layer {layer} CONV")


def test_a_wrong_golden_decision_is_found(bundle):
    assert check_golden(bundle, ENGINES["tflm"]) is None
    wrong = replace(bundle.golden, scores=bundle.golden.scores + np.array([0] * 11 + [1]))
    difference = check_golden(replace(bundle, golden=wrong), ENGINES["tflm"])
    assert difference.window == "golden 11"


def test_no_machine_outlives_a_failed_start(bundle, toolchain, monkeypatch):
    machines = []
    receive = Machine.receive

    def interrupted(machine, *arguments):
        machines.append(machine)
        raise KeyboardInterrupt

    monkeypatch.setattr(Machine, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ENGINES["qemu"](bundle)
    monkeypatch.setattr(Machine, "receive", receive)
    assert machines[0]._process.poll() is not None


def test_parity_needs_the_reference(bundle):
    with pytest.raises(ValueError, match="needs the reference tflm"):
        check_parity(bundle, iter([]), {"host": ENGINES["host"]}, 1)


def test_an_engine_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="engine must be one of tflm, host, qemu, got gpu"):
        open_engine("gpu")
