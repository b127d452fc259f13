"""Bytes said before anything is built equal those of the build; the fits are of these sources."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from export import core_fit
from export.__main__ import app
from export.blob import read_header
from export.boards import board_names, load_board
from export.core_fit import REFIT, core_of, load_core_fit, load_core_fits
from export.cost import load_cost_model, plan_network, untrained_score
from export.cost_features import KERNELS
from export.cost_report import plan_source
from export.device.image import build_image, link_code
from export.graph_builder import GraphBuilder
from export.layers import Op
from export.pipeline import Pipeline
from firmware_sim.cost_fit import MEDIAN_MAX, STREAM, WHOLE, WORST_MAX, error_table
from tests.bundles import make_bundle
from tests.conftest import ROOT
from tests.networks import small_network


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("cost") / "b")


def a_network(hop_len=100):
    b = GraphBuilder(300, 2)
    x = b.relu(b.conv(0, 12, 5, 2))
    x = b.relu(b.conv(b.depthwise(x, 5), 20, 1))
    graph = b.graph(b.fully_connected(b.mean(x), 7))
    return plan_network(graph, hop_len, untrained_score("squared_distance", 7))


@pytest.mark.parametrize("name", board_names())
def test_the_fit_of_every_board_is_of_these_sources(name):
    """After a change of the firmware: `python -m firmware_sim calibrate-cost`, some minutes."""
    model = load_cost_model(load_board(name))
    assert model.stale is None, f"{model.stale} --table docs/cost.md"


def test_every_core_is_as_good_as_it_must_be():
    for fit in load_core_fits():
        assert set(fit.errors) == {WHOLE, STREAM}
        assert fit.errors[WHOLE].n == 50
        for error in fit.errors.values():
            assert error.n > 10
            assert 0 < error.median <= error.p90 <= error.worst <= WORST_MAX
            assert error.median <= MEDIAN_MAX
    assert error_table(load_core_fits()) in (ROOT / "docs" / "cost.md").read_text()


@pytest.mark.parametrize("name", ["qemu-m0", "qemu-m4", "qemu-m4-soft", "qemu-m55"])
def test_bytes_are_those_of_the_build(name, bundle, tmp_path, toolchain):
    """A filter along the stream, and filter and classifier of a bundle, on whole windows."""
    board = load_board(name)
    model, planned = load_cost_model(board), plan_source(bundle.path)
    pairs = [([a_network()], None), (planned.gates, planned.classifier)]
    assert [gates[0].stream is not None for gates, _ in pairs] == [True, False]
    for gates, classifier in pairs:
        cost = model.cost(gates, classifier)
        head = None if classifier is None else classifier.blob
        image = build_image(gates[0].blob, head, board, tmp_path)
        assert cost.image_flash_bytes == image.flash_bytes
        assert cost.image_ram_bytes == image.ram_bytes
        with Pipeline([gate.blob for gate in gates], head) as pipeline:
            assert cost.arena_bytes == pipeline.arena_bytes


@pytest.mark.parametrize("name", ["qemu-m0", "qemu-m33"])
def test_code_of_any_operators_is_what_the_linker_makes_of_them(name, tmp_path, toolchain):
    board, rng = load_board(name), np.random.default_rng(0)
    code = load_core_fit(board).images[name].code
    for n in (1, 3, 5, 9, len(Op)):
        operators = [Op(i) for i in rng.choice(len(Op), n, replace=False)]
        image = link_code(operators, board, tmp_path)
        assert code.flash_bytes(set(operators)) == image.flash_bytes
        assert code.ram_bytes == image.ram_bytes


def test_a_bundle_is_planned_as_it_is(bundle):
    planned = plan_source(bundle.path)
    (gate,) = planned.gates
    assert len(gate.blob) == len(bundle.filter_blob)
    assert gate.arena.n_bytes == read_header(bundle.filter_blob).activation_bytes
    assert len(planned.classifier.blob) == len(bundle.classifier_blob)
    cost = load_cost_model(load_board("qemu-m4")).cost(planned.gates, planned.classifier)
    assert cost.arena_bytes == bundle.manifest["arena_bytes"]


def test_two_gates_and_a_classifier_share_a_pipeline():
    model, gate = load_cost_model(load_board("qemu-m4")), a_network()
    b = GraphBuilder(300, 2)
    head = plan_network(b.graph(b.fully_connected(b.mean(b.conv(0, 8, 3)), 4)), 100, None)
    one, two = model.cost([gate], head), model.cost([gate, gate], head)
    assert two.arena_bytes - one.arena_bytes == -(-gate.stream.n_bytes // 16) * 16
    assert two.image_flash_bytes - one.image_flash_bytes == len(gate.blob)
    assert two.per_window - one.per_window == pytest.approx(one.networks[0].per_window)
    assert [network.role for network in two.networks] == ["filter", "filter", "classifier"]
    assert one.hop_s == 1.0
    assert one.per_ecg_second == one.per_window


def test_hops_that_are_shorter_cost_more_a_second():
    model = load_cost_model(load_board("qemu-m4"))
    seconds = [model.cost([a_network(hop)]).per_ecg_second for hop in (20, 50, 100)]
    assert seconds == sorted(seconds, reverse=True)


def test_every_operator_has_counts():
    assert set(KERNELS) == set(Op)


def test_a_score_of_parts_has_its_size():
    sizes = [len(untrained_score("table_sum", 40, n).constants) for n in (1, 3)]
    assert sizes == [2 + 257, 2 + 3 * 257]
    with pytest.raises(ValueError, match="squared_distance must have one part, got 2"):
        untrained_score("squared_distance", 40, 2)


@pytest.fixture
def costs(tmp_path, monkeypatch):
    """The core fits, in a folder of the test's own."""
    for fit in (folder := core_fit.COSTS).glob("*.json"):
        (tmp_path / fit.name).write_bytes(fit.read_bytes())
    assert folder.exists()
    monkeypatch.setattr(core_fit, "COSTS", tmp_path)
    return tmp_path


def change(costs, board, **fields):
    path = costs / f"{core_of(board)}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_fit_of_other_sources_is_called_stale(costs):
    board = load_board("qemu-m4")
    images = json.loads((costs / "cortex-m4.json").read_text())["images"]
    images["qemu-m4"]["objects_sha256"] = "0123456789abcdef"
    change(costs, board, images=images)
    assert load_cost_model(board).stale.endswith(f"{REFIT} --board qemu-m4")


def test_a_fit_that_is_absent_or_another_boards_is_refused(costs):
    board = load_board("qemu-m4")
    with pytest.raises(ValueError, match="must be fitted for other and its flags"):
        load_core_fit(replace(board, name="other"))
    with pytest.raises(ValueError, match="must be fitted for qemu-m4 and its flags"):
        load_core_fit(replace(board, flags=("-mcpu=cortex-m7",)))
    change(costs, board, format=0)
    with pytest.raises(ValueError, match=r"cortex-m4\.json must be a cost model of format 1"):
        load_core_fit(board)
    (costs / "cortex-m4.json").unlink()
    with pytest.raises(ValueError, match=r"cortex-m4\.json must exist for qemu-m4"):
        load_core_fit(board)


def call(*arguments):
    return CliRunner().invoke(app, ["cost", *map(str, arguments)])


def test_the_command_says_what_a_file_costs(tmp_path, costs):
    (tmp_path / "m.tflite").write_bytes(small_network(2, 400, 1, classifier=True))
    result = call(tmp_path / "m.tflite", "--board", "qemu-m0", "--classifier", "--json")
    found = json.loads(result.stdout)
    assert found["stale"] is None
    (network,) = found["networks"]
    assert network["role"] == "classifier"
    assert len(network["layers"]) == len(network["names"]) > 2
    assert found["per_window"] == pytest.approx(sum(network["layers"]))
    text = call(tmp_path / "m.tflite", "--board", "qemu-m0", "--classifier").stdout
    for value in (found["blob_bytes"][0], found["arena_bytes"], found["image_flash_bytes"]):
        assert f"{value:,}" in text


def test_the_command_warns_of_a_stale_fit_and_refuses_other_files(tmp_path, costs, bundle):
    images = json.loads((costs / "cortex-m4.json").read_text())["images"]
    images["qemu-m4"]["objects_sha256"] = "0"
    change(costs, load_board("qemu-m4"), images=images)
    result = call(bundle.path, "--board", "qemu-m4")
    assert result.exit_code == 0
    assert "warning: the cost model of qemu-m4 is of other firmware sources" in result.stderr
    (tmp_path / "m.txt").write_text("")
    result = call(tmp_path / "m.txt", "--board", "qemu-m4")
    assert result.exit_code == 2
    assert "must be a bundle, a .tflite or a .keras file" in result.stderr


def test_bytes_do_not_depend_on_the_weights():
    blobs = []
    for seed in range(3):
        b = GraphBuilder(120, 1, seed)
        x = b.relu(b.conv(0, 4, 3))
        x = b.multiply(b.conv(x, 1, 1), b.constant(np.ones((1, 1))))
        graph = b.graph(b.mean(x))
        blobs.append(plan_network(graph, 10, untrained_score("squared_distance", 1)).blob)
    assert len(set(map(len, blobs))) == 1
    assert len(set(blobs)) == 3
