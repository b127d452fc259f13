"""`python -m firmware_sim profile`: exact counts, the same in every run, and pages of them."""

import json

import pytest
from typer.testing import CliRunner

from export.boards import BOARDS, load_board
from export.device.image import FLASH_SECTIONS, RAM_SECTIONS
from firmware_sim import profile as profiles
from firmware_sim.__main__ import app
from firmware_sim.profile import NO_PLUGINS, PORT, measure_profile
from firmware_sim.profile_page import write_profile
from tests.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, toolchain):
    return make_bundle(tmp_path_factory.mktemp("profile") / "b", n_leads=2)


@pytest.fixture(scope="module")
def profile(bundle):
    return measure_profile(bundle, load_board("qemu-m4"))


def call(*arguments):
    return CliRunner().invoke(app, ["profile", *map(str, arguments)])


def test_layers_add_up_to_their_network(profile):
    assert [network.name for network in profile.networks] == ["filter", "classifier"]
    for network in profile.networks:
        assert network.n_runs > 0
        layers = sum(layer.instructions for layer in network.layers)
        assert 0.98 * network.instructions < layers <= network.instructions
        assert sum(layer.macs for layer in network.layers) == network.macs
    assert profile.networks[0].n_runs == profile.n_decisions == profiles.N_HOPS
    assert profile.networks[1].n_runs == profile.n_accepted


def test_the_plugin_and_the_boards_own_counter_agree(profile):
    """Two independent counts of the same decisions; the counter's includes its own reading, which
    is part of what the port takes."""
    by_plugin = sum(f.instructions for f in profile.functions if "ports/" not in f.source)
    by_counter = sum(network.instructions * network.n_runs for network in profile.networks)
    by_counter += profile.chain * profile.n_decisions * profile.hop_s * profile.fs
    with_port = sum(f.instructions for f in profile.functions)
    assert by_plugin < by_counter < with_port < 1.03 * by_plugin


def test_functions_are_those_of_the_runtime(profile):
    by_name = {function.name: function for function in profile.functions}
    assert by_name["bg_chain_push"].source == "chain.o"
    assert profile.functions[0].instructions == max(f.instructions for f in profile.functions)
    # Boot and bg_open, which checks every byte of the blobs, are not part of any decision.
    assert not {"reset_handler", "bg_crc32", "bg_blob_check"} & set(by_name)


def test_every_byte_of_the_image_is_accounted_for(bundle, profile):
    memory = profile.memory
    assert memory.flash["filter.bgm"] == len(bundle.filter_blob)
    assert sum(memory.flash.values()) == sum(memory.sections[n] for n in FLASH_SECTIONS)
    assert sum(memory.ram.values()) == sum(memory.sections[n] for n in RAM_SECTIONS)
    assert memory.ram["arena"] == bundle.manifest["arena_bytes"]
    assert memory.product_flash == sum(memory.flash.values()) - memory.flash[PORT]
    assert 0 <= memory.flash["padding"] < 256
    assert 200 < memory.stack_used < memory.ram["stack"]
    assert profile.frame_max < 1.1 * sum(network.instructions for network in profile.networks)


def test_two_runs_give_the_same_bytes(bundle, profile, tmp_path):
    write_profile(profile, tmp_path / "a")
    write_profile(measure_profile(bundle, load_board("qemu-m4")), tmp_path / "b")
    for name in ("profile.html", "profile.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_page_stands_alone_and_says_what_is_an_estimate(profile, tmp_path):
    page = write_profile(profile, tmp_path).read_text()
    for outside in ("http://", "https://", "src=", "<script", "@import", "url("):
        assert outside not in page
    for layer in (layer for network in profile.networks for layer in network.layers):
        assert layer.name in page
    assert "estimate: 25 MHz, 1.0 cycles an instruction assumed" in page
    assert "No estimate of energy" in page


def test_energy_is_estimated_only_where_it_was_measured(bundle, tmp_path):
    result = call(bundle.path, "--board", "qemu-m0", "--filter-only", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert [network["name"] for network in values["networks"]] == ["filter"]
    estimates = values["estimates"]
    cycles = values["per_ecg_second"]["total"]
    assert estimates["uj_per_ecg_second"] == pytest.approx(cycles * 0.870 / 1e3)
    assert estimates["ms_per_ecg_second"] == pytest.approx(cycles / 16e3)
    assert "nRF51" in estimates["energy_source"]
    assert "classifier.bgm" not in values["memory"]["flash"]


def test_without_plugins_the_rest_is_there(bundle, profile, tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "plugins_supported", lambda: False)
    plain = measure_profile(bundle, load_board("qemu-m4"))
    assert (plain.functions, plain.functions_missing) == ((), NO_PLUGINS)
    assert plain.networks == profile.networks  # the plugin changes no count
    assert "built without TCG plugins" in write_profile(plain, tmp_path).read_text()


def test_the_command_prints_a_table(bundle, tmp_path):
    result = call(bundle.path, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "every window accepted" in result.stdout
    assert "stack, deepest" in result.stdout
    assert (tmp_path / "profile.json").exists()


def test_an_image_that_does_not_fit_exits_1(bundle, tmp_path, monkeypatch):
    boards = tmp_path / "boards"
    boards.mkdir()
    text = (BOARDS / "qemu-m0.toml").read_text()
    (boards / "qemu-m0.toml").write_text(text.replace("ram_bytes = 16_384", "ram_bytes = 4_096"))
    monkeypatch.setattr("export.boards.BOARDS", boards)
    result = call(bundle.path, "--board", "qemu-m0", "--out", tmp_path)
    assert result.exit_code == 1
    assert "qemu-m0 has 4,096 bytes of RAM" in result.stderr
    assert "are missing (.arena" in result.stderr
