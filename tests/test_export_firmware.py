"""The C itself: strict C99 without a warning, nothing from libc, clean under the sanitizers."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from export.boards import load_board
from export.device.image import build_image
from export.native import FIRMWARE, WARNINGS, firmware_sources
from tests.bundles import make_bundle

CORTEX_M4 = ["-mcpu=cortex-m4", "-mthumb", "--specs=nano.specs"]
ALLOWED_FROM_LIBC = {"memcpy", "memset", "memcmp"}
SANITIZED_TESTS = [
    "test_contract_kernel.py",
    "test_export_pipeline.py",
    "test_export_blob.py",
    "test_export_signal_chain.py",
]


def compile_objects(compiler, flags, folder):
    command = [compiler, "-std=c99", "-O2", *WARNINGS, *flags, "-c", *map(str, firmware_sources())]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_the_runtime_is_c99_without_a_warning(tmp_path):
    assert compile_objects("cc", ["-Wundef", "-Wvla", "-Wdouble-promotion"], tmp_path) == ""


def test_the_board_needs_nothing_but_memory_functions(tmp_path, toolchain):
    compile_objects("arm-none-eabi-gcc", CORTEX_M4, tmp_path)
    names = subprocess.run(
        ["arm-none-eabi-nm", *map(str, tmp_path.glob("*.o"))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split() for line in names.splitlines() if line.strip()]
    undefined = {row[1] for row in rows if len(row) == 2 and row[0] == "U"}
    defined = {row[2] for row in rows if len(row) == 3}
    assert undefined - defined <= ALLOWED_FROM_LIBC


def test_no_function_calls_itself_or_allocates():
    text = "".join(path.read_text() for path in firmware_sources())
    for name in ("malloc", "calloc", "realloc", "alloca", "printf", "setjmp"):
        assert f"{name}(" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", SANITIZED_TESTS)
def test_clean_under_address_and_undefined_behaviour_sanitizers(name):
    """The same tests with the C built under both sanitizers, which end the process at a finding."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs gcc's sanitizer runtime")
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "CC": "gcc",
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaks by design
        "BEATGATE_CFLAGS": "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all",
    }
    here = Path(__file__).parent
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(here / name)],
        cwd=FIRMWARE.parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_image_that_leaves_no_room_for_the_stack_is_refused(tmp_path, toolchain):
    bundle = make_bundle(tmp_path / "b")
    board = load_board("qemu-m4")
    blobs = (bundle.filter_blob, bundle.classifier_blob)
    image = build_image(*blobs, board, tmp_path)
    assert image.ram_bytes > bundle.manifest["arena_bytes"] + board.stack_bytes
    build_image(*blobs, replace(board, ram_bytes=image.ram_bytes + 64), tmp_path)
    small = replace(board, ram_bytes=image.ram_bytes - 64)
    with pytest.raises(ValueError, match="too little RAM for the stack"):
        build_image(*blobs, small, tmp_path)
    with pytest.raises(ValueError, match="region `FLASH' overflowed"):
        build_image(*blobs, replace(board, flash_bytes=image.flash_bytes - 64), tmp_path)
