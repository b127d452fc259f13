"""The cost model against emulated boards, and the command that fits it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from export import core_fit
from export.boards import load_board
from export.cost import load_cost_model
from export.cost_report import plan_source
from export.layers import Op
from firmware_sim import cost_fit, cost_networks
from firmware_sim.__main__ import app
from firmware_sim.cost_board import measure
from firmware_sim.cost_fit import MEDIAN_MAX, WORST_MAX, put_table
from firmware_sim.profile import measure_profile
from tests.bundles import make_bundle


def unseen_networks(n):
    """Networks that neither the fit nor its errors are from."""
    graphs = [cost_networks.FAMILIES[i](np.random.default_rng([3, i])) for i in range(n)]
    return cost_networks.in_both_forms(graphs)


@pytest.mark.parametrize(
    "name", ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"]
)
def test_estimates_are_close_to_counts(name, toolchain):
    board, networks = load_board(name), unseen_networks(4)
    model = load_cost_model(board)
    estimates = np.array([model.estimate(network).per_window for network in networks])
    counted = np.array([took.decision for took in measure(networks, board)])
    errors = abs(estimates / counted - 1)
    assert len({network.stream is None for network in networks}) == 2
    assert np.median(errors) < MEDIAN_MAX
    assert errors.max() < WORST_MAX


@pytest.mark.parametrize("name", ["qemu-m0", "qemu-m4"])
def test_estimates_are_close_to_a_profile(name, tmp_path, toolchain):
    """On the board itself, with its own memory: the Cortex-M0 was fitted on a roomier machine."""
    bundle, board = make_bundle(tmp_path / "b"), load_board(name)
    profile = measure_profile(bundle, board)
    planned = plan_source(bundle.path)
    cost = load_cost_model(board).cost(planned.gates, planned.classifier)
    for network, found in zip(profile.networks, cost.networks, strict=True):
        assert found.streams == network.streams
        assert found.per_window == pytest.approx(network.instructions, rel=MEDIAN_MAX)


def test_every_operator_is_fitted():
    graphs = [cost_networks.any_network(np.random.default_rng([1, i])) for i in range(60)]
    assert {layer.op for graph, _ in graphs for layer in graph.layers} == set(Op)


@pytest.fixture
def small_fit(tmp_path, monkeypatch):
    """A fit of few networks, written into the test's own folder."""
    monkeypatch.setattr(core_fit, "COSTS", tmp_path)
    monkeypatch.setattr(cost_networks, "N_FIT", 25)
    monkeypatch.setattr(cost_networks, "N_TEST", 3)
    return tmp_path / "cortex-m4.json"


def call(*arguments):
    return CliRunner().invoke(app, ["calibrate-cost", *arguments])


def test_the_command_fits_a_core_to_the_same_bytes_twice(small_fit, monkeypatch, toolchain):
    monkeypatch.setattr(cost_fit, "MEDIAN_MAX", 1.0)
    monkeypatch.setattr(cost_fit, "WORST_MAX", 1.0)  # 25 networks do not hold every loop
    result = call("--board", "qemu-m4", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["cores"][0]["core"] == "cortex-m4"
    first = small_fit.read_bytes()
    assert call("--board", "qemu-m4").exit_code == 0
    assert small_fit.read_bytes() == first
    assert load_cost_model(load_board("qemu-m4")).stale is None


def test_a_fit_that_is_not_good_enough_is_not_written(small_fit, monkeypatch, toolchain):
    monkeypatch.setattr(cost_fit, "WORST_MAX", 1e-6)
    result = call("--board", "qemu-m4")
    assert result.exit_code == 1
    assert "the cost model of cortex-m4 must be off by" in result.stderr
    assert not small_fit.exists()


def test_a_table_is_replaced_where_it_stands(tmp_path):
    page = tmp_path / "cost.md"
    page.write_text("# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nAfter.\n")
    put_table(page, "| a | b |\n|---|---|\n| 3 | 4 |\n| 5 | 6 |")
    assert page.read_text() == "# A\n\n| a | b |\n|---|---|\n| 3 | 4 |\n| 5 | 6 |\n\nAfter.\n"
    with pytest.raises(ValueError, match="must have a table headed"):
        put_table(page, "| c |\n|---|\n| 1 |")
