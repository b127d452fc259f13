"""An image links the operators of its networks; a blob that needs another is refused."""

import re

import numpy as np
import pytest

from export.blob import read_header
from export.boards import load_board
from export.device.image import build_image
from export.device.operators import ALL_OPERATORS, operator_table
from export.layers import Op
from export.native import (
    FIRMWARE,
    HOST_PORT,
    FirmwareError,
    Native,
    Role,
    aligned_blob,
    build_shared_library,
    firmware_sources,
)
from firmware_sim.engines import ENGINES
from firmware_sim.engines.qemu import QemuEngine
from tests.bundles import ecg_like, make_bundle
from tests.test_export_blob import make_blob


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("operators") / "b")


def rows(text):
    return re.findall(r"\[BG_OP_\w+\] = \w+,", text)


def native_with(operators, folder):
    """Return the host's library as an image for networks of these operators would be linked."""
    table = folder / "operators.c"
    table.write_text(operator_table(operators).replace("kernels/", f"{FIRMWARE}/kernels/"))
    sources = [path for path in firmware_sources() if path != FIRMWARE / ALL_OPERATORS]
    library = build_shared_library("beatgate-few", [*sources, table, HOST_PORT / "host.c"])
    return Native(library)


def test_the_table_of_all_operators_has_all():
    assert sorted(rows((FIRMWARE / ALL_OPERATORS).read_text())) == sorted(rows(operator_table(Op)))
    assert len(rows(operator_table(Op))) == len(Op)
    assert rows(operator_table([Op.MEAN, Op.ADD, Op.MEAN])) == [
        "[BG_OP_ADD] = bg_add_s8,",
        "[BG_OP_MEAN] = bg_mean_s8,",
    ]


def test_a_blob_whose_operator_is_not_linked_is_refused(tmp_path):
    blob = make_blob()
    used = set(read_header(blob).operators)
    data = aligned_blob(blob)
    native_with(used, tmp_path).check_blob(data, Role.GATE, "the blob")
    for missing in used:
        few = native_with(used - {missing}, tmp_path)
        with pytest.raises(FirmwareError, match="was left out of this image") as error:
            few.check_blob(data, Role.GATE, "the blob")
        assert error.value.status == 22


@pytest.mark.parametrize("board", ["qemu-m0", "qemu-m4", "qemu-m55"])
def test_what_is_not_used_takes_no_flash(bundle, board, tmp_path, toolchain):
    blobs = (bundle.filter_blob, bundle.classifier_blob)
    used = {op for blob in blobs for op in read_header(blob).operators}
    images = [build_image(*blobs, load_board(board), tmp_path, every) for every in (False, True)]
    sources = [{piece.source for piece in image.pieces} for image in images]
    for op in set(Op) - used - {Op.SUB}:  # whose kernel lies in ADD's file
        file = "pool" if op in (Op.AVERAGE_POOL, Op.MAX_POOL) else op.name.lower()
        missing = {source for source in sources[1] if source.endswith(f"/{file}_s8.o")}
        assert missing
        assert not missing & sources[0]
    assert images[1].flash_bytes - images[0].flash_bytes > 1500


def test_an_image_of_all_operators_decides_alike(bundle, toolchain):
    counts = np.concatenate([ecg_like(seed) for seed in range(2)])
    with ENGINES["host"](bundle) as host, QemuEngine(bundle, all_operators=True) as board:
        assert board.push(counts) == host.push(counts)
