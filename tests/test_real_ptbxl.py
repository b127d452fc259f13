"""The whole way on real recordings: train, bundle, prove parity, replay on the emulated board."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
N_WINDOWS, N_RECORDS = 1000, 500


def run(module, *arguments, exit_code=0):
    """Run a command as a user does; return what it printed."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == exit_code, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def bundle(ptbxl_dir, tmp_path_factory):
    """A bundle trained for two epochs: enough for every check but detection quality."""
    folder = tmp_path_factory.mktemp("real")
    options = ["--run", folder / "run", "--dataset", "ptbxl", "--data", ptbxl_dir, "--leads", "I"]
    options += ["--hold-out", "HYP", "--rehearsal", "--epochs", "2"]
    run("nas", "train", *options)
    run("nas", "classifier", *options)
    run("export", "bundle", folder / "run", "--out", folder / "bundle")
    return folder / "bundle"


@pytest.mark.slow
def test_a_thousand_real_windows_are_equal_on_every_engine(bundle, ptbxl_dir, toolchain):
    data = ["--dataset", "ptbxl", "--data", ptbxl_dir]
    result = run("firmware_sim", "parity", bundle, *data, "--windows", N_WINDOWS, "--json")
    compared = json.loads(result.stdout)["ptbxl"]
    assert compared["n_windows"] == N_WINDOWS
    assert compared["n_equal"] == {"host": N_WINDOWS, "qemu-m4": N_WINDOWS}
    assert 0 < compared["n_rejected"] < N_WINDOWS


@pytest.mark.slow
def test_one_flipped_bit_is_found_and_located(bundle, ptbxl_dir):
    result = run(
        "firmware_sim", "parity", bundle, "--damage", 2, "--engines", "tflm,host", exit_code=1
    )
    assert "filter layer 2 CONV" in result.stderr


@pytest.mark.slow
def test_a_replay_on_the_board_reports_every_figure(bundle, ptbxl_dir, tmp_path, toolchain):
    options = ["--data", ptbxl_dir, "--split", "test", "--records", N_RECORDS]
    run("firmware_sim", "replay", bundle, *options, "--engine", "qemu", "--out", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["mix"]["n_windows"] == N_RECORDS
    assert report["mix"]["n_unseen"] > 0
    assert report["instructions"]["gate_per_decision"] > 200_000
    assert report["coverage"]["low"] <= report["coverage"]["value"] <= report["coverage"]["high"]
    # Calibrated on other patients of the same fold; far outside only if something is broken.
    false_rejects = report["rejects"]["multi_label"]["false_rejects_clean"]["value"]
    assert 0.005 < false_rejects < 0.15
