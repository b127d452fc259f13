"""The shipped C, cross-compiled, on an emulated Cortex-M: the device's bits and instruction counts.

QEMU runs under `-icount`, so its virtual time is the number of instructions executed and two runs
are identical. Samples go in and decisions come out through two named pipes that the firmware opens
by semihosting; `export/firmware/ports/mps2/protocol.h` is the other end.
"""

import os
import select
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from datasets.records import Int8Array, Int16Array
from export.blob import read_header
from export.boards import Board, load_board
from export.bundle import Bundle
from export.device.image import build_image
from export.native import FirmwareError
from export.pipeline import Decision, Uint32Array, make_decision

from .engine import ClosingEngine, InstructionCounts

QEMU = "qemu-system-arm"
BOARD = "qemu-m4"
OPEN, RESET, PUSH, TRACE = 1, 2, 3, 4
PUSH_MAX = 64  # frames a command, the firmware's buffer
POLL_S = 0.2  # between two looks at a silent machine
STALLED_S = 120.0  # a reply takes milliseconds; a machine this late has hung

OPEN_REPLY = np.dtype([("status", "<u4"), ("pipeline_bytes", "<u4")])
PUSH_REPLY = np.dtype(
    [("status", "<u4"), ("n_decisions", "<u4"), ("chain_ticks", "<u4"), ("n_chain_frames", "<u4")]
)
DECISION_REPLY = np.dtype(
    [
        ("window_start", "<u8"),
        ("score", "<i8", 2),
        ("gate_ticks", "<u4"),
        ("classifier_ticks", "<u4"),
        ("label", "<i2"),
        ("margin", "<i2"),
        ("accepted", "u1"),
        ("reason", "u1"),
        ("reserved", "<u2"),
    ]
)


class Machine:
    """A QEMU process and the two pipes to it."""

    def __init__(self, board: Board, elf: Path, folder: Path) -> None:
        if shutil.which(QEMU) is None:
            raise ValueError(
                f"{QEMU} must be installed, it is not: "
                "apt-get install --no-install-recommends qemu-system-arm"
            )
        for name in ("in", "out"):
            os.mkfifo(folder / name)
        # Read-write, so that opening does not wait for QEMU and QEMU sees no end between commands.
        self._to = os.open(folder / "in", os.O_RDWR | os.O_NONBLOCK)
        self._from = os.open(folder / "out", os.O_RDONLY | os.O_NONBLOCK)
        self._log = (folder / "qemu.log").open("w+")
        command = [QEMU, "-M", board.machine, "-display", "none", "-monitor", "none"]
        command += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
        command += ["-icount", f"shift={board.icount_shift}", "-kernel", str(elf)]
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def send(self, command: int, argument: int = 0, payload: bytes = b"") -> None:
        """Write one command; the firmware reads all of it before it replies.

        Raises
        ------
        RuntimeError : the machine ended or hung instead.
        """
        data = np.array([command, argument], "<u4").tobytes() + payload
        last_s = time.monotonic()
        while data:
            _, ready, _ = select.select([], [self._to], [], POLL_S)
            if ready:
                data = data[os.write(self._to, data) :]
                last_s = time.monotonic()
            else:
                self._check_alive(last_s)

    def receive(self, dtype: np.dtype[np.void] | type[np.uint32], count: int = 1) -> np.ndarray:
        """Read `count` records of a reply.

        Raises
        ------
        RuntimeError : the machine ended or hung instead.
        """
        wanted = np.dtype(dtype).itemsize * count
        data = b""
        last_s = time.monotonic()
        while len(data) < wanted:
            ready, _, _ = select.select([self._from], [], [], POLL_S)
            piece = os.read(self._from, wanted - len(data)) if ready else b""
            if piece:
                data += piece
                last_s = time.monotonic()
            else:
                self._check_alive(last_s)
        return np.frombuffer(data, dtype, count)

    def _check_alive(self, last_s: float) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(
                f"{QEMU} ended with exit code {self._process.returncode}: {self._output()}"
            )
        if time.monotonic() - last_s > STALLED_S:
            raise RuntimeError(f"{QEMU} did nothing for {STALLED_S:g} s: {self._output()}")

    def _output(self) -> str:
        self._log.seek(0)
        return self._log.read().strip() or "no message"

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()  # it holds nothing that needs saving
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._log.close()


class QemuEngine(ClosingEngine):
    """An emulated board that runs the image the bundle builds."""

    def __init__(self, bundle: Bundle, with_filter: bool = True) -> None:
        self._board = load_board(BOARD)
        self._header = read_header(bundle.filter_blob)
        self._fs = bundle.chain.fs
        self._n_layers = {
            "filter": self._header.n_layers,
            "classifier": read_header(bundle.classifier_blob).n_layers,
        }
        self._networks = ["filter", "classifier"] if with_filter else ["classifier"]
        self._gate_ticks: list[int] = []
        self._classifier_ticks: list[int] = []
        self._chain_ticks = self._n_chain_frames = 0
        with ExitStack() as stack:  # closes what was opened if a later step fails, Ctrl-C too
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="beatgate-")))
            image = build_image(bundle.filter_blob, bundle.classifier_blob, self._board, folder)
            self._machine = Machine(self._board, image.elf, folder)
            stack.callback(self._machine.close)
            self._machine.send(OPEN, int(with_filter))
            reply = self._machine.receive(OPEN_REPLY)[0]
            if reply["status"]:
                raise FirmwareError(f"{bundle.path} on {BOARD}", int(reply["status"]))
            self._opened = stack.pop_all()

    def push(self, adc_counts: Int16Array) -> list[Decision]:
        """Take int16 counts (n_samples, n_leads); return the decisions they complete."""
        counts = np.ascontiguousarray(adc_counts, "<i2")
        if counts.ndim != 2 or counts.shape[1] != self._header.n_leads:
            raise ValueError(
                f"adc_counts must be (n_samples, {self._header.n_leads}), got {counts.shape}"
            )
        decisions = []
        for start in range(0, len(counts), PUSH_MAX):
            chunk = counts[start : start + PUSH_MAX]
            self._machine.send(PUSH, len(chunk), chunk.tobytes())
            reply = self._machine.receive(PUSH_REPLY)[0]
            if reply["status"]:
                raise FirmwareError(f"the pipeline on {BOARD}", int(reply["status"]))
            self._chain_ticks += int(reply["chain_ticks"])
            self._n_chain_frames += int(reply["n_chain_frames"])
            rows = self._machine.receive(DECISION_REPLY, int(reply["n_decisions"]))
            decisions += [self._decision(row) for row in rows]
        return decisions

    def _decision(self, row: np.void) -> Decision:
        self._gate_ticks.append(int(row["gate_ticks"]))
        self._classifier_ticks.append(int(row["classifier_ticks"]))
        scores = row["score"][: len(self._networks) - 1]
        return make_decision(
            row["window_start"], scores, row["accepted"], row["reason"], row["label"], row["margin"]
        )

    def reset(self) -> None:
        """Forget the signal."""
        self._machine.send(RESET)

    def trace(self, network: str, window: Int8Array) -> Uint32Array:
        """Return the CRC-32 of every layer's output for one window of codes."""
        self._machine.send(TRACE, self._networks.index(network), window.tobytes())
        return self._machine.receive(np.uint32, self._n_layers[network])

    def instructions(self) -> InstructionCounts | None:
        """Return what the core has executed since opening."""
        count = self._board.instructions
        return InstructionCounts(
            gate=tuple(map(count, self._gate_ticks)),
            classifier=tuple(map(count, self._classifier_ticks)),
            chain_total=count(self._chain_ticks),
            n_chain_frames=self._n_chain_frames,
            chain_s=self._n_chain_frames / self._fs,
        )

    def close(self) -> None:
        """End the emulation and remove its folder."""
        self._opened.close()
