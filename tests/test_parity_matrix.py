"""The parity matrix: what it compares, what it takes from an earlier run, what it says."""

from dataclasses import replace

import pytest

from datasets import open_dataset
from export.boards import board_names, load_board
from export.device.image import build_image
from firmware_sim.parity import flip_weight_bit
from nas.detectors import DETECTORS
from tests import parity_cells
from tests.bundles import ecg_like, make_bundle
from tests.parity_cells import HOST, Cell, Recordings, budget_refusal, measure_cells
from tests.parity_matrix import FAMILIES, Demand, Row, call, equality_table, filter_table
from tests.ptbxl_folder import database_row, write_record, write_tables

N_RECORDS = 8


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", dataset="ptbxl")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ptbxl")
    rows = [database_row(i, strat_fold=str(i)) for i in range(1, N_RECORDS + 1)]
    write_tables(folder, rows)
    for row in rows:
        write_record(folder, row, signal=ecg_like(row["ecg_id"], n_leads=12))
    return (Recordings(open_dataset("ptbxl", str(folder), 100.0), ("II",)),)


def test_every_family_is_in_it():
    assert tuple(DETECTORS) == FAMILIES


def test_the_winner_has_more_windows_on_this_machine_and_the_m4():
    demand = Demand(200, "flow", 2000)
    counts = {t: demand.of("flow", t) for t in (HOST, "qemu-m4", "qemu-m4-soft", "qemu-m0")}
    assert counts == {HOST: 2000, "qemu-m4": 2000, "qemu-m4-soft": 200, "qemu-m0": 200}
    assert demand.of("vae", HOST) == 200


def test_a_cell_is_measured_again_only_when_something_changed(
    bundle, recordings, tmp_path, monkeypatch
):
    kept = tmp_path / "cells.json"
    first = measure_cells(bundle, {HOST: N_RECORDS}, recordings, kept)
    assert (first[HOST].n_windows, first[HOST].n_golden) == (N_RECORDS, 12)
    assert first[HOST].is_equal
    assert 0 < first[HOST].n_rejected < N_RECORDS

    asked = []
    monkeypatch.setattr(
        parity_cells, "_measure", lambda *given: asked.append(given[1]) or {HOST: Cell()}
    )
    assert measure_cells(bundle, {HOST: N_RECORDS}, recordings, kept) == first
    assert asked == []
    measure_cells(bundle, {HOST: N_RECORDS - 1}, recordings, kept)
    other = make_bundle(tmp_path / "other", dataset="ptbxl", score_rule="table_sum")
    measure_cells(other, {HOST: N_RECORDS - 1}, recordings, kept)
    assert asked == [[HOST], [HOST]]


def test_a_board_too_small_for_both_networks_runs_the_filter(
    bundle, recordings, tmp_path, monkeypatch, toolchain
):
    board = load_board("qemu-m4")
    image = build_image(bundle.filter_blob, bundle.classifier_blob, board, tmp_path)
    alone = build_image(bundle.filter_blob, None, board, tmp_path)
    tight = replace(board, flash_bytes=image.flash_bytes - 64)
    monkeypatch.setattr(parity_cells, "load_board", lambda name: tight)
    cell = measure_cells(bundle, {"qemu-m4": 2}, recordings, tmp_path / "c.json")["qemu-m4"]
    assert str(cell) == "2 of 2, filter alone: 64 bytes of flash missing for both"

    tiny = replace(board, flash_bytes=alone.flash_bytes - 4, ram_bytes=alone.ram_bytes - 8)
    assert budget_refusal(bundle, tiny, False) == "4 bytes of flash and 8 bytes of RAM"
    monkeypatch.setattr(parity_cells, "load_board", lambda name: tiny)
    cell = measure_cells(bundle, {"qemu-m4": 2}, recordings, tmp_path / "d.json")["qemu-m4"]
    assert (cell.n_windows, cell.is_equal, len(cell.refusals)) == (0, True, 2)
    assert str(cell).startswith("refused: 4 bytes of flash and 8 bytes of RAM missing for the")


def test_an_unequal_window_is_seen(bundle, recordings, tmp_path):
    damaged = flip_weight_bit(bundle, 0)
    cell = measure_cells(damaged, {HOST: N_RECORDS}, recordings, tmp_path / "cells.json")[HOST]
    assert not cell.is_equal
    assert str(cell).startswith("**")
    assert "host differs from the reference first at golden" in cell.differences[0]


def test_the_tables_say_why_a_family_has_no_bundle(bundle):
    manifest = {"filter": {"cost": {"n_parameters": 29512, "blob_bytes": 32272}}}
    manifest["filter"] |= {"execution": "on whole windows", "spearman_int8_float": 0.99}
    cells = dict.fromkeys([HOST, *board_names()], Cell(400, 400, 12, 12, instructions=314_159.0))
    rows = [Row("deep_svdd", manifest, cells), Row("flow", no_bundle="Spearman 0.9")]
    equal, filters = equality_table(rows).splitlines(), filter_table(rows).splitlines()
    assert equal[2] == "| `deep_svdd` |" + " 400 of 400 |" * len(cells)
    assert equal[3] == "| `flow` |" + " no bundle |" * len(cells)
    assert filters[2].startswith(
        "| `deep_svdd` | 29,512 | 32,272 | on whole windows | 0.990 | 314 |"
    )
    assert filters[3].startswith("| `flow` | Spearman 0.9 |")
    assert {line.count("|") for line in equal} == {len(cells) + 2}
    assert len({line.count("|") for line in filters}) == 1


def test_the_error_of_a_step_is_passed_on(tmp_path):
    with pytest.raises(ValueError, match=r"filter\.json must exist, it does not"):
        call("export", "bundle", str(tmp_path / "run"), "--out", str(tmp_path / "out"))
