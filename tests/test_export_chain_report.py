"""The signal chain of every sensor against scipy, with the bounds docs/signal-chain.md states."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

from export.__main__ import app
from export.chain_plot import draw_responses, response
from export.chain_report import (
    measure_chain,
    notch_response,
    resampler_response,
    sensor_chains,
)
from export.signal_chain import SENSOR_RATES, SignalChain, lowest_rate

STATE_ERROR_MAX = 0.006  # codes, before the rounding: fixed point against float64
CODE_ERROR_MAX = 0.5 + STATE_ERROR_MAX


@pytest.mark.parametrize("fs", SENSOR_RATES)
@pytest.mark.parametrize("fs_target", [100.0, 250.0])
def test_every_sensor_is_as_scipy_filters_it(fs, fs_target):
    figures = measure_chain(SignalChain(fs, fs_target))
    assert figures.state_error <= STATE_ERROR_MAX
    assert figures.code_error <= CODE_ERROR_MAX
    assert figures.ripple_db <= 0.01
    if fs != fs_target:
        assert figures.stop_db >= 60
        assert figures.delay_ms == pytest.approx(10_000 / min(fs, fs_target))


@pytest.mark.parametrize(
    ("fs", "mains_hz"),
    [(fs, hz) for fs in SENSOR_RATES for hz in (50.0, 60.0) if fs > lowest_rate(hz)],
)
def test_the_notch_takes_its_mains_out(fs, mains_hz):
    chain = SignalChain(fs, mains_hz=mains_hz)
    figures, without = measure_chain(chain), measure_chain(SignalChain(fs))
    assert figures.state_error <= STATE_ERROR_MAX
    assert figures.code_error <= CODE_ERROR_MAX
    index = int(mains_hz == 60)
    assert figures.mains_db[index] == pytest.approx(without.mains_db[index] + 20, abs=0.3)
    exact, edge, pass_band = notch_response(chain, np.array([mains_hz, mains_hz - 1, 40.0]))
    assert exact < -60
    assert edge == pytest.approx(-3.5, abs=1.5)
    assert pass_band > -0.07


def test_fifty_hertz_of_a_sensor_at_a_model_of_100_hz():
    """Half of it would stay at the end of the band; the notch leaves a twentieth."""
    hum = np.round(500 * np.sin(2 * np.pi * 50.05 * np.arange(20_000) / 500)).astype(np.int16)
    left = {}
    for mains_hz in (None, 50.0):
        chain = SignalChain(500.0, lsb_mv=1 / 200, mains_hz=mains_hz)
        left[mains_hz] = np.abs(chain.apply(hum[:, np.newaxis])[1000:]).max() / 200 / 0.5
    assert left[None] == pytest.approx(0.5, abs=0.02)
    assert left[50.0] < 0.05


@pytest.mark.parametrize("fs", [125.0, 360.0, 512.0, 1000.0])
def test_sines_through_the_c_have_the_computed_gain(fs):
    """The response of the coefficients is that of the code: pass-band, half, and stop-band."""
    chain = SignalChain(fs, lsb_mv=1 / 4000, adc_gain=10_000.0)
    frequencies_hz, gain_db = resampler_response(chain)
    time_s = np.arange(round(8 * fs)) / fs
    for frequency_hz in (5.0, 20.0, 40.0, 50.0 - 1, 61.3):
        sine = 300 * np.sin(2 * np.pi * frequency_hz * time_s)
        codes = chain.apply(np.round(sine).astype(np.int16)[:, np.newaxis])[400:, 0]
        amplitude = codes.std() * np.sqrt(2) / 4000 * 10_000 / 300
        expected = 10 ** (gain_db[np.searchsorted(frequencies_hz, frequency_hz)] / 20)
        assert amplitude == pytest.approx(expected, abs=0.008)


def test_the_command_prints_the_table():
    result = CliRunner().invoke(app, ["chain"])
    assert result.exit_code == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    assert [float(row[0]) for row in rows[2:]] == list(SENSOR_RATES)
    assert {len(row) for row in rows} == {12}
    (row,) = [row for row in rows if row[0] == "500"]
    figures = asdict(measure_chain(SignalChain(500.0)))
    assert row[1:7] == ["1/5", "101", "202", "424", "100", f"{figures['ripple_db']:.3f}"]


def test_the_command_says_it_in_json_too():
    result = CliRunner().invoke(app, ["chain", "--mains", "60", "--fs-target", "128", "--json"])
    sensors = json.loads(result.stdout)["sensors"]
    assert [row["fs"] for row in sensors] == [fs for fs in SENSOR_RATES if fs > 122]
    assert all(row["fs_target"] == 128 for row in sensors)


def test_a_notch_that_is_none_is_refused():
    result = CliRunner().invoke(app, ["chain", "--mains", "55"])
    assert result.exit_code == 2
    assert "mains_hz must be 50 or 60" in result.stderr


@pytest.mark.parametrize("fs", [100.0, 125.0, 360.0])
def test_the_drawn_response_is_that_of_the_code(fs):
    """Notch, resampler and high-pass together, on sines through the C."""
    chain = SignalChain(fs, lsb_mv=1 / 4000, adc_gain=10_000.0, mains_hz=50.0 if fs > 200 else None)
    frequencies_hz, gain_db = response(chain)
    assert frequencies_hz[-1] <= fs / 2
    time_s = np.arange(round(20 * fs)) / fs
    for frequency_hz in (0.5, 0.8, 5.0, 40.0, 48.5):
        sine = 300 * np.sin(2 * np.pi * frequency_hz * time_s)
        codes = chain.apply(np.round(sine).astype(np.int16)[:, np.newaxis])[1000:, 0]
        amplitude = codes.std() * np.sqrt(2) / 4000 * 10_000 / 300
        expected = 10 ** (gain_db[np.searchsorted(frequencies_hz, frequency_hz)] / 20)
        assert amplitude == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_the_picture_is_the_same_every_time(tmp_path, suffix):
    pictures = []
    for name in ("a", "b"):
        out = tmp_path / name / f"chain{suffix}"
        result = CliRunner().invoke(app, ["chain", "--fs-target", "250", "--plot", str(out)])
        assert result.exit_code == 0, result.output
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    begins = {".png": b"\x89PNG\r\n", ".html": b"<!doctype html>"}
    assert pictures[0].startswith(begins[suffix])


def test_the_picture_shows_the_chains():
    with_notch, without = (draw_responses(sensor_chains(100.0, hz)) for hz in (50.0, None))
    assert with_notch != without


def test_a_picture_in_another_format_is_refused_at_once(tmp_path):
    result = CliRunner().invoke(app, ["chain", "--plot", str(tmp_path / "chain.gif")])
    assert result.exit_code == 2
    assert "out must end in .png or .html" in result.stderr
