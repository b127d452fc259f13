"""How deep the stack can get: every function's frame is fixed and below its bound."""

import subprocess

import pytest

from export.boards import load_board
from export.native import FIRMWARE, firmware_sources

KERNEL_BYTES = 512
CHECK_BYTES = 1024  # bg_open looks at every tensor's life at once
OTHER_BYTES = 320


def bound(source, function):
    if source.parent.name != "firmware":
        return KERNEL_BYTES
    return CHECK_BYTES if function == "bg_overlap_check" else OTHER_BYTES


@pytest.mark.parametrize("board", ["qemu-m0", "qemu-m4", "qemu-m55"])
def test_every_frame_is_fixed_and_small(board, toolchain, tmp_path):
    flags = load_board(board).compiler_flags
    frames = {}
    for source in firmware_sources():
        made = tmp_path / f"{source.stem}.o"
        command = ["arm-none-eabi-gcc", *flags, "-std=c99", "-O2", "-fstack-usage", f"-I{FIRMWARE}"]
        subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
        for line in made.with_suffix(".su").read_text().splitlines():
            place, n_bytes, kind = line.split("\t")
            function = place.rsplit(":", 1)[1]
            assert kind == "static", f"{source.name} {function}: {kind}"
            frames[source, function] = int(n_bytes)
    too_large = {
        f"{source.name} {function}": n_bytes
        for (source, function), n_bytes in frames.items()
        if n_bytes > bound(source, function)
    }
    assert too_large == {}
    assert max(frames.values()) > 100  # the compiler did write them
