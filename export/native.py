"""The shipped C, compiled for this machine and called through cffi.

Training windows, calibration, golden vectors and the host engine all run this code: the files in
`export/firmware/`, unchanged, as they are cross-compiled for the board. It is compiled once for
each state of the sources and kept under `build/native`.
"""

import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt

FIRMWARE = Path(__file__).parent / "firmware"
HOST_PORT = FIRMWARE / "ports" / "host"
BUILD = Path(__file__).parents[1] / "build" / "native"

WARNINGS = (
    "-Wall -Wextra -Werror -Wconversion -Wshadow -Wcast-align -pedantic "
    "-Wstrict-prototypes -Wmissing-prototypes"
).split()
HOST_FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC", *WARNINGS)


class Role(IntEnum):
    """What a blob's network is for; `bg_role` in C."""

    GATE = 0
    CLASSIFIER = 1


STATUS_TEXT = {
    1: "must be aligned to 16 bytes",
    2: "is shorter than its header says",
    3: "does not start with the magic number BGM1",
    4: "has a format version this runtime does not know",
    5: "does not match its CRC-32: bytes were altered",
    6: "has the wrong role: a classifier in place of a gate, or the reverse",
    7: "has a table or constant outside its own bytes",
    8: "has a tensor outside the activation memory it declares",
    9: "has a layer whose shapes or parameters contradict each other",
    10: "needs an operator this runtime does not have",
    11: "has an unknown score rule, or score constants out of range",
    12: "has signal-chain settings this runtime cannot run",
    13: "disagrees with its pipeline's other blobs on signal chain or window",
    14: "needs a larger arena",
    15: "has no room for more decisions: poll first",
    16: "makes a pipeline of no network, or of more than two gates, or was not opened",
    17: "got more windows in one call than the queue holds: push fewer samples at once",
    18: "has tensors that overlap while both are in use",
    19: "has a streaming form that contradicts its network",
    20: "decides a golden window otherwise than recorded",
    21: "is of the other byte order, big-endian",
    22: "needs an operator that was left out of this image: link all of them",
}
"""One sentence a code of `bg_status`."""


class FirmwareError(ValueError):
    """The C refused its input; `status` is the `bg_status`."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what} {STATUS_TEXT[status]} (status {status})")
        self.status = status


def firmware_sources() -> list[Path]:
    """Return the C files every build compiles: the runtime without any port."""
    return sorted([*FIRMWARE.glob("*.c"), *FIRMWARE.glob("kernels/**/*.c")])


def build_library() -> Path:
    """Compile the runtime and the host port into one shared library and return its path.

    BEATGATE_CFLAGS adds compiler flags, such as the sanitizers'.

    Raises
    ------
    ValueError : no C compiler is installed, or the compiler refuses the sources.
    """
    headers = sorted(
        [*FIRMWARE.glob("*.h"), *FIRMWARE.glob("kernels/**/*.h"), HOST_PORT / "host.h"]
    )
    sources = [*firmware_sources(), HOST_PORT / "host.c"]
    flags = os.environ.get("BEATGATE_CFLAGS", "").split()
    return build_shared_library("beatgate", sources, headers, flags)


def build_shared_library(
    name: str, sources: Sequence[Path], headers: Sequence[Path] = (), flags: Sequence[str] = ()
) -> Path:
    """Compile C for this machine, once for each state of its files, and return the library's path.

    Raises
    ------
    ValueError : no C compiler is installed, or the compiler refuses the sources.
    """
    command = [*_compiler(), *HOST_FLAGS, *flags]
    digest = hashlib.sha256(" ".join(command).encode())
    for path in [*headers, *sources]:
        digest.update(path.read_bytes())
    library = BUILD / f"{name}-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        _compile(command, sources, library)
    return library


def _compiler() -> list[str]:
    """Return the compiler's command: CC, or the system's."""
    chosen = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if chosen is None:
        raise ValueError("a C compiler must be installed, none is: apt-get install gcc libc6-dev")
    return shlex.split(chosen)


def _compile(compiler: Sequence[str], sources: Sequence[Path], library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        command = [*compiler, "-o", str(made), *map(str, sources)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise ValueError(f"{compiler[0]} refused {library.stem}'s sources:\n{result.stderr}")
        made.replace(library)  # two processes may build at once; the last one wins, both are equal


class Native:
    """The C functions of `ports/host/host.h`, typed for numpy."""

    def __init__(self, library: Path) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef((HOST_PORT / "host.h").read_text())
        self.lib: Any = self.ffi.dlopen(str(library))

    def pointer(self, array: npt.NDArray[Any], ctype: str) -> Any:
        """Return `array` as a C pointer; it must be C-contiguous and outlive the call."""
        assert array.flags.c_contiguous
        return self.ffi.cast(f"{ctype} *", array.ctypes.data)

    def struct_sizes(self) -> dict[str, int]:
        """Return the C sizes of the structures that the export writes or plans for, in bytes."""
        names = ("header", "tensor", "layer", "chain", "pipeline", "stream_tensor", "stream_pool")
        sizes = self.ffi.new("uint32_t[]", len(names))
        self.lib.bgh_sizes(sizes)
        return dict(zip(names, sizes, strict=True))

    def check_blob(self, blob: npt.NDArray[np.uint8], role: Role, what: str) -> None:
        """Raise `FirmwareError` unless the firmware would run `blob`; `what` names it."""
        status = self.lib.bgh_blob_check(self.pointer(blob, "void"), blob.size, role)
        if status:
            raise FirmwareError(what, status)


@functools.cache
def native() -> Native:
    """Return the compiled C, building it on first use."""
    return Native(build_library())


def aligned_blob(data: bytes) -> npt.NDArray[np.uint8]:
    """Return `data` as a uint8 array that starts at a multiple of 16, as the C requires."""
    buffer = np.empty(len(data) + 15, np.uint8)
    start = -buffer.ctypes.data % 16
    blob = buffer[start : start + len(data)]
    blob[:] = np.frombuffer(data, np.uint8)
    return blob
