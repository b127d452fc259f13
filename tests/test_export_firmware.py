"""The C itself: strict C99 without a warning, nothing from libc, clean under the sanitizers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export.boards import load_board
from export.device.image import compile_objects
from export.native import FIRMWARE, WARNINGS, firmware_sources

ALLOWED_FROM_LIBC = {"memcpy", "memset", "memcmp"}
COMPILERS_OWN = ("__aeabi_", "__gnu_thumb1_case_")  # arithmetic and jump tables, from libgcc
SANITIZED_TESTS = [
    "test_contract_kernel.py",
    "test_export_pipeline.py",
    "test_export_blob.py",
    "test_export_hostile.py",
    "test_export_stream.py",
    "test_export_signal_chain.py",
]


def test_the_runtime_is_c99_without_a_warning(tmp_path):
    flags = ["-std=c99", "-O2", *WARNINGS, "-Wundef", "-Wvla", "-Wdouble-promotion"]
    command = ["cc", *flags, "-c", *map(str, firmware_sources())]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("board", ["qemu-m0", "qemu-m4", "qemu-m55"])
def test_the_board_needs_nothing_but_memory_functions(board, toolchain):
    folder, objects = compile_objects(load_board(board))
    runtime = [str(folder / name) for name in objects if "ports" not in name.parts]
    names = subprocess.run(
        ["arm-none-eabi-nm", *runtime], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in names.splitlines() if line.strip()]
    undefined = {row[1] for row in rows if len(row) == 2 and row[0] == "U"}
    defined = {row[2] for row in rows if len(row) == 3}
    needed = {name for name in undefined - defined if not name.startswith(COMPILERS_OWN)}
    assert needed <= ALLOWED_FROM_LIBC


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
