"""Every board of `export/boards/`: builds without a warning, fits, decides as the host does."""

import re
import subprocess
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from datasets import open_dataset
from export.boards import SOFT, board_names, load_board
from export.device import image as images
from export.device.image import FLASH_SECTIONS, OverBudget, build_image
from firmware_sim.engines import ENGINES, open_engine
from firmware_sim.front_end import fit_front_ends
from firmware_sim.parity import check_parity, check_programme
from firmware_sim.replay import spread_evenly
from tests.bundles import ecg_like, make_bundle

CORES = {"cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("board") / "b")


@pytest.fixture(params=board_names())
def board(request):
    return load_board(request.param)


def build(bundle, board, folder):
    return build_image(bundle.filter_blob, bundle.classifier_blob, board, folder)


def abi(elf):
    """Return how the functions of an image pass floats."""
    attributes = subprocess.run(
        ["arm-none-eabi-readelf", "-A", str(elf)], capture_output=True, text=True, check=True
    ).stdout
    return "FPU registers" if "Tag_ABI_VFP_args" in attributes else "core registers"


def test_all_cores_are_there_with_and_without_their_fpu():
    boards = [load_board(name) for name in board_names()]
    assert {board.cpu for board in boards} == CORES
    with_fpu = {board.name for board in boards if board.float_flags and SOFT not in board.name}
    assert with_fpu == {"qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"}
    assert {board.name for board in boards if SOFT in board.name} == {n + SOFT for n in with_fpu}


def test_it_builds_and_fits(bundle, board, tmp_path, toolchain):
    image = build(bundle, board, tmp_path)
    assert 0 < image.flash_bytes <= board.flash_bytes
    assert bundle.manifest["arena_bytes"] < image.ram_bytes <= board.ram_bytes
    hard = board.float_flags and not board.name.endswith(SOFT)
    assert abi(image.elf) == ("FPU registers" if hard else "core registers")
    by_section = Counter()
    for piece in image.pieces:
        by_section[piece.section] += piece.n_bytes
    for name in (".text", ".models"):
        assert by_section[name] == image.sections[name]


def test_it_decides_and_counts(bundle, board, toolchain):
    counts = np.concatenate([ecg_like(seed) for seed in range(3)])
    with ENGINES["host"](bundle) as host:
        expected = host.push(counts)
    assert {d.accepted for d in expected} == {True, False}
    counted = []
    for _ in range(2):
        with open_engine("qemu", board.name)(bundle) as engine:
            assert engine.push(counts) == expected
            counted.append((engine.instructions(), engine.profile()))
    assert counted[0] == counted[1]
    spent, profile = counted[0]
    layers = sum(map(sum, profile.layers.values()))
    assert layers == pytest.approx(sum(spent.gate) + sum(spent.classifier), rel=0.01)
    assert 0 < 50 * spent.n_chain_frames < spent.chain_total < 1000 * spent.n_chain_frames
    assert 200 < profile.stack_bytes < board.stack_bytes


@pytest.mark.slow
def test_parity_on_200_recorded_windows(ptbxl_dir, tmp_path, toolchain):
    """The whole matrix of boards, on real recordings, against TFLite Micro."""
    bundle = make_bundle(tmp_path / "b", dataset="ptbxl")
    dataset = open_dataset("ptbxl", str(ptbxl_dir), bundle.data.fs)
    programme = fit_front_ends(bundle, dataset.open, spread_evenly(dataset.record_ids(), 200))
    engines = {"tflm": ENGINES["tflm"]}
    engines |= {name: open_engine("qemu", name) for name in board_names()}
    result = check_programme(programme, dataset.open, engines, 200)
    assert result.n_equal == dict.fromkeys(board_names(), 200)
    assert result.differences == ()
    assert 0 < result.n_rejected < 200


def test_the_filter_alone_fits_where_both_networks_do_not(bundle, tmp_path, toolchain):
    both = build(bundle, load_board("qemu-m0"), tmp_path)
    alone = build_image(bundle.filter_blob, None, load_board("qemu-m0"), tmp_path)
    assert both.flash_bytes - alone.flash_bytes > len(bundle.classifier_blob) - 64
    tight = replace(load_board("qemu-m0"), flash_bytes=alone.flash_bytes)
    build_image(bundle.filter_blob, None, tight, tmp_path)
    with pytest.raises(OverBudget):
        build(bundle, tight, tmp_path)


def test_what_is_missing_is_said_to_the_byte(bundle, tmp_path, toolchain):
    board = load_board("qemu-m4")
    image = build(bundle, board, tmp_path)
    exact = replace(board, flash_bytes=image.flash_bytes, ram_bytes=image.ram_bytes)
    build(bundle, exact, tmp_path)
    for memory, field in (("flash", "flash_bytes"), ("RAM", "ram_bytes")):
        with pytest.raises(OverBudget, match=rf"of {memory}, .* 64 are missing \(\.") as error:
            build(bundle, replace(exact, **{field: getattr(exact, field) - 64}), tmp_path)
        assert (error.value.missing_bytes, error.value.exact) == (64, True)
    assert set(FLASH_SECTIONS) <= set(image.sections)


def test_what_cannot_fit_is_refused_before_anything_is_compiled(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "COMPILER", "no-such-compiler")
    small = replace(load_board("qemu-m0"), ram_bytes=8_000)
    needed = bundle.manifest["arena_bytes"] + small.stack_bytes
    with pytest.raises(OverBudget, match=f"at least {needed - 8000:,} are missing") as error:
        build(bundle, small, tmp_path)
    assert not error.value.exact
    assert re.search(r"\(\.arena [\d,]+, \.stack 3,072\)", str(error.value))


def test_parity_names_the_boards_that_are_too_small(bundle, toolchain):
    def too_small(bundle, with_filter=True, with_classifier=True):
        board = replace(load_board("qemu-m0"), ram_bytes=4_096)
        return ENGINES["qemu"](bundle, with_filter, with_classifier, board)

    recordings = [("a", ecg_like(0))]
    engines = {name: ENGINES[name] for name in ("tflm", "host")}
    result = check_parity(bundle, iter(recordings), {**engines, "tiny": too_small}, 1)
    assert result.n_equal == {"host": 1}
    assert "are missing" in result.refused["tiny"]
    with pytest.raises(OverBudget):
        check_parity(bundle, iter(recordings), {"tflm": ENGINES["tflm"], "tiny": too_small}, 1)


def test_a_board_that_is_not_there_or_not_one_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"board must be one of qemu-m0, .*, got qemu-m0-soft"):
        load_board("qemu-m0-soft")
    (tmp_path / "x.toml").write_text('name = "x"\nflags = []\nfloat_flags = []\n')
    monkeypatch.setattr("export.boards.BOARDS", tmp_path)
    with pytest.raises(ValueError, match=r"x\.toml must describe a board"):
        load_board("x")
