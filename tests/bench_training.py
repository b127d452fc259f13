"""How long a training takes, alone and beside another; each in a process of its own, as users do.

`python -m tests.bench_training EPOCHS` says when it is loaded, waits for a line on its standard
input, so that trainings beside each other begin together, trains, and prints its seconds.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nas.backend import load_keras
from nas.blocks import Block
from nas.checkpoint import Checkpoint
from nas.detectors import deep_svdd
from nas.detectors.detector import build_detector
from nas.plan import TrainingPlan
from nas.windows import TrainingWindows

PARAMS = deep_svdd.Params(
    blocks=(
        Block(16, 7, stride=2),
        Block(32, 5, stride=2),
        Block(64, 5, stride=5),
        Block(64, 5),
        Block(64, 4),
    )
)
N_WINDOWS = 6_500


def training_seconds(n_epochs: int = 10) -> float:
    """Return how long one training takes."""
    (took_s,) = _train_together(1, n_epochs)
    return took_s


def side_by_side(n_epochs: int = 4) -> float:
    """Return the throughput of two trainings at once over that of one alone."""
    alone_s = training_seconds(n_epochs)
    return 2 * alone_s / max(_train_together(2, n_epochs))


def _train_together(n: int, n_epochs: int) -> list[float]:
    command = [sys.executable, "-m", "tests.bench_training", str(n_epochs)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(n)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "loaded\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in processes]


def main(n_epochs: int) -> None:
    """Train once and print the seconds it took."""
    load_keras()
    from nas.train import Trainer

    codes = np.random.default_rng(0).normal(0, 10, (N_WINDOWS, 1000, 1)).astype(np.int8)
    windows = TrainingWindows(codes, 1 / 64, np.ones((N_WINDOWS, 1), bool), ("NORM",))
    model = build_detector(deep_svdd, PARAMS, windows.shape)
    print("loaded", flush=True)
    sys.stdin.readline()
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        plan = TrainingPlan(n_epochs)
        deep_svdd.fit(
            PARAMS, model, windows, Trainer(plan, 0, N_WINDOWS, Checkpoint(Path(folder), {}))
        )
    print(time.monotonic() - start_s)


if __name__ == "__main__":
    main(int(sys.argv[1]))
