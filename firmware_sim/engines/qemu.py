"""The shipped C, cross-compiled, on an emulated Cortex-M: the device's bits and instruction counts.

QEMU runs under `-icount`, so its virtual time is the number of instructions executed and two runs
are identical. Samples go in and decisions come out through two named pipes that the firmware opens
by semihosting; `export/firmware/ports/emulated/protocol.h` is the other end.
"""

import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.records import Int8Array, Int16Array
from export.blob import read_header
from export.boards import Board, load_board
from export.bundle import Bundle
from export.device.image import FirmwareImage, build_image
from export.native import FirmwareError
from export.pipeline import Decision, Uint32Array, make_decision

from .engine import ClosingEngine, InstructionCounts

QEMU = "qemu-system-arm"
BOARD = "qemu-m4"
OPEN, RESET, PUSH, TRACE, PROFILE, EXIT = 1, 2, 3, 4, 5, 6
OPEN_FILTER, OPEN_CLASSIFIER = 1, 2
PUSH_COUNTS_MAX = 128  # counts a command, the firmware's buffer
POLL_S = 0.2  # between two looks at a silent machine
STALLED_S = 120.0  # a reply takes milliseconds; a machine this late has hung

OPEN_REPLY = np.dtype([("status", "<u4"), ("pipeline_bytes", "<u4")])
PUSH_REPLY = np.dtype(
    [
        ("status", "<u4"),
        ("n_decisions", "<u4"),
        ("more", "<u4"),
        ("n_frames", "<u4"),
        ("chain_ticks", "<u4"),
        ("frame_ticks_max", "<u4"),
    ]
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
PROFILE_REPLY = np.dtype([("stack_bytes", "<u4"), ("n_layers", "<u4")])


class Machine:
    """A QEMU process and the two pipes to it.

    Parameters
    ----------
    board : what to emulate; elf : what it runs.
    folder : for the pipes and QEMU's messages.
    plugin : path of a TCG plugin with its arguments, as QEMU's `-plugin` takes them.
    """

    def __init__(self, board: Board, elf: Path, folder: Path, plugin: str | None = None) -> None:
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
        # Without sleep no virtual time follows the host's: the counter's phase is always the same.
        command += ["-icount", f"shift={board.icount_shift},sleep=off", "-kernel", str(elf)]
        command += ["-plugin", plugin] if plugin is not None else []
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def send(self, command: int, argument: int = 0, payload: bytes = b"") -> None:
        """Write one command; the firmware reads all of it before it replies.

        Raises
        ------
        RuntimeError : the machine ended or hung instead.
        """
        self.send_bytes(np.array([command, argument], "<u4").tobytes() + payload)

    def send_bytes(self, data: bytes) -> None:
        """Write what the firmware waits for.

        Raises
        ------
        RuntimeError : the machine ended or hung instead.
        """
        last_s = time.monotonic()
        while data:
            _, ready, _ = select.select([], [self._to], [], POLL_S)
            if ready:
                data = data[os.write(self._to, data) :]
                last_s = time.monotonic()
            else:
                self._check_alive(last_s)

    def receive(
        self, dtype: np.dtype[np.void] | type[np.uint32] | type[np.uint64], count: int = 1
    ) -> np.ndarray:
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

    def exit(self) -> None:
        """Have the firmware end the emulation, which lets a plugin write what it counted.

        Raises
        ------
        RuntimeError : the machine did not end well.
        """
        self.send(EXIT)
        if self._process.wait(STALLED_S) != 0:
            raise RuntimeError(
                f"{QEMU} ended with exit code {self._process.returncode}: {self._output()}"
            )

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()  # it holds nothing that needs saving
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._log.close()


@dataclass(frozen=True, slots=True)
class CoreProfile:
    """What the core spent where, since it was opened.

    Parameters
    ----------
    layers : instructions of each network's layers in order of execution, by network.
    frame_max : instructions of the costliest frame.
    n_frames : frames pushed.
    stack_bytes : the most stack ever used, interrupts aside: the image has none.
    """

    layers: dict[str, tuple[float, ...]]
    frame_max: float
    n_frames: int
    stack_bytes: int


class QemuEngine(ClosingEngine):
    """An emulated board that runs the image the bundle builds.

    Parameters
    ----------
    bundle : what to build the image of.
    with_filter : False runs the classifier alone, in the same image.
    with_classifier : False builds the image of the filter alone.
    board : what to emulate; default the board `BOARD`.
    plugin : returns the TCG plugin to run with, and its arguments, for the image that was built.
    all_operators : True links those too that the bundle does not use.

    Raises
    ------
    OverBudget : the image does not fit the board.
    ValueError : compiler or QEMU are missing, or the firmware refuses a blob.
    """

    def __init__(
        self,
        bundle: Bundle,
        with_filter: bool = True,
        with_classifier: bool = True,
        board: Board | None = None,
        plugin: Callable[[FirmwareImage], str] | None = None,
        all_operators: bool = False,
    ) -> None:
        self.board = load_board(BOARD) if board is None else board
        blobs = {"filter": bundle.filter_blob, "classifier": bundle.classifier_blob}
        linked = blobs if with_classifier else {"filter": bundle.filter_blob}
        opened = linked if with_filter else {"classifier": bundle.classifier_blob}
        self._fs = bundle.chain.fs
        self._n_leads = read_header(bundle.filter_blob).n_leads
        self._n_layers = {name: read_header(blob).n_layers for name, blob in opened.items()}
        self._gate_ticks: list[int] = []
        self._classifier_ticks: list[int] = []
        self._chain_ticks = self._n_frames = self._frame_ticks_max = 0
        with ExitStack() as stack:  # closes what was opened if a later step fails, Ctrl-C too
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="beatgate-")))
            self.image = build_image(
                bundle.filter_blob, linked.get("classifier"), self.board, folder, all_operators
            )
            self.counts_functions = plugin is not None
            counter = None if plugin is None else plugin(self.image)
            self._machine = Machine(self.board, self.image.elf, folder, counter)
            stack.callback(self._machine.close)
            parts = OPEN_FILTER * ("filter" in opened) | OPEN_CLASSIFIER * ("classifier" in opened)
            self._machine.send(OPEN, parts)
            reply = self._machine.receive(OPEN_REPLY)[0]
            if reply["status"]:
                raise FirmwareError(f"{bundle.path} on {self.board.name}", int(reply["status"]))
            self.pipeline_bytes = int(reply["pipeline_bytes"])
            self._opened = stack.pop_all()

    def push(self, adc_counts: Int16Array) -> list[Decision]:
        """Take int16 counts (n_samples, n_leads); return the decisions they complete."""
        counts = np.ascontiguousarray(adc_counts, "<i2")
        if counts.ndim != 2 or counts.shape[1] != self._n_leads:
            raise ValueError(f"adc_counts must be (n_samples, {self._n_leads}), got {counts.shape}")
        chunk_len = PUSH_COUNTS_MAX // self._n_leads
        decisions = []
        for start in range(0, len(counts), chunk_len):
            chunk = counts[start : start + chunk_len]
            self._machine.send(PUSH, len(chunk), chunk.tobytes())
            more = True
            while more:
                reply = self._machine.receive(PUSH_REPLY)[0]
                decisions += self._account(reply)
                more = bool(reply["more"])
        return decisions

    def _account(self, reply: np.void) -> list[Decision]:
        if reply["status"]:
            raise FirmwareError(f"the pipeline on {self.board.name}", int(reply["status"]))
        self._chain_ticks += int(reply["chain_ticks"])
        self._n_frames += int(reply["n_frames"])
        self._frame_ticks_max = max(self._frame_ticks_max, int(reply["frame_ticks_max"]))
        rows = self._machine.receive(DECISION_REPLY, int(reply["n_decisions"]))
        return [self._decision(row) for row in rows]

    def _decision(self, row: np.void) -> Decision:
        self._gate_ticks.append(int(row["gate_ticks"]))
        self._classifier_ticks.append(int(row["classifier_ticks"]))
        scores = row["score"][: "filter" in self._n_layers]
        return make_decision(
            row["window_start"], scores, row["accepted"], row["reason"], row["label"], row["margin"]
        )

    def reset(self) -> None:
        """Forget the signal."""
        self._machine.send(RESET)

    def trace(self, network: str, window: Int8Array) -> Uint32Array | None:
        """Return the CRC-32 of every layer's output; None where the board has no RAM to spare."""
        self._machine.send(TRACE, list(self._n_layers).index(network))
        if self._machine.receive(np.uint32)[0] == 0:
            return None
        self._machine.send_bytes(window.tobytes())
        return self._machine.receive(np.uint32, self._n_layers[network])

    def instructions(self) -> InstructionCounts:
        """Return what the core has executed since opening."""
        count = self.board.instructions
        return InstructionCounts(
            gate=tuple(map(count, self._gate_ticks)),
            classifier=tuple(map(count, self._classifier_ticks)),
            chain_total=count(self._chain_ticks),
            n_chain_frames=self._n_frames,
            chain_s=self._n_frames / self._fs,
        )

    def profile(self) -> CoreProfile:
        """Return where the instructions since opening went, and how deep the stack got."""
        self._machine.send(PROFILE)
        reply = self._machine.receive(PROFILE_REPLY)[0]
        ticks = iter(self._machine.receive(np.uint64, int(reply["n_layers"])))
        return CoreProfile(
            layers={
                name: tuple(self.board.instructions(int(next(ticks))) for _ in range(n_layers))
                for name, n_layers in self._n_layers.items()
            },
            frame_max=self.board.instructions(self._frame_ticks_max),
            n_frames=self._n_frames,
            stack_bytes=int(reply["stack_bytes"]),
        )

    def exit(self) -> None:
        """End the emulation from inside; the engine can only be closed afterwards."""
        self._machine.exit()

    def close(self) -> None:
        """End the emulation and remove its folder."""
        self._opened.close()
