"""`python -m tests.bench`: how fast recordings go through the signal chain, and how fast it trains.

Times of the chain are those of one processor, and vary from machine to machine, so each is given as
a ratio: to what is required, and to the same filters in scipy's float64, measured in the same run.
Trainings are timed by the clock and want two idle cores. Exits 1 where a requirement is missed.
BEATGATE_DATA names the folder that holds ptbxl/; without it, made-up records of that shape do.
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import typer

from datasets import Dataset, open_dataset
from datasets.cache import open_signals
from datasets.ptbxl import ADC_GAIN, LEADS, PTBXL
from datasets.recordings import RecordInfo, cached_recordings
from export.chain_report import scipy_codes
from export.chain_windows import stream_windows, windows_of
from export.signal_chain import SignalChain
from tests.bench_training import side_by_side, training_seconds
from tests.butqdb_folder import write_day

RECORDS_PER_S_MIN = 5_000
REAL_TIME_MIN = 2_000
MEMORY_MB_MAX = 300
WINDOW_LEN, HOP_LEN = 1000, 100
TRAINING_S_MAX = 60
SIDE_BY_SIDE_MIN = 1.5
N_MADE_UP = 4_000
SCIPY_S = 600  # of the day that scipy filters for comparison


@dataclass(frozen=True)
class Figure:
    """One measurement; `margin` is how many times better than required it is."""

    name: str
    value: float
    unit: str
    required: float
    margin: float
    times_scipy: float | None = None

    def __str__(self) -> str:
        scipy = "" if self.times_scipy is None else f", {self.times_scipy:.1f} x scipy in float64"
        return (
            f"{self.name:<58} {self.value:>10,.0f} {self.unit}, {self.margin:.1f} x what is "
            f"required ({self.required:,.0f}){scipy}"
        )


def main(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Measure, print, and exit 1 where a requirement is missed."""
    figures = measure_training()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        figures += measure_day(Path(folder) / "day")
        figures.append(measure_records(Path(folder) / "records"))
    if as_json:
        print(json.dumps({"figures": [asdict(figure) for figure in figures]}))
    else:
        print("\n".join(map(str, figures)))
    raise typer.Exit(int(any(figure.margin < 1 for figure in figures)))


def measure_training() -> list[Figure]:
    """Train a Deep SVDD alone, then two beside each other."""
    took_s, gain = training_seconds(), side_by_side()
    return [
        Figure(
            "Deep SVDD of 49,776 weights, 10 epochs of 6,500 windows",
            took_s,
            "s",
            TRAINING_S_MAX,
            TRAINING_S_MAX / took_s,
        ),
        Figure(
            "throughput of two trainings beside each other",
            100 * gain,
            "% of one alone",
            100 * SIDE_BY_SIDE_MIN,
            gain / SIDE_BY_SIDE_MIN,
        ),
    ]


def measure_day(folder: Path) -> list[Figure]:
    """Stream 24 h of one lead at 1 kHz to windows at 100 Hz."""
    reader = open_dataset("butqdb", write_day(folder)).open("100001")
    record = reader.record
    chain = SignalChain().for_front_end(record.fs, record.adc_gain, record.baseline)
    # A sip first, so that neither compiling nor imports are timed.
    next(stream_windows(reader, chain, WINDOW_LEN, HOP_LEN))
    took_s = seconds(lambda: [len(b) for b in stream_windows(reader, chain, WINDOW_LEN, HOP_LEN)])
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    counts = reader.read(0, round(SCIPY_S * chain.fs))
    alone_s = seconds(lambda: chain.apply(counts))
    scipy_s = seconds(lambda: np.round(scipy_codes(counts, chain)).clip(-128, 127).astype(np.int8))
    speed = reader.n_samples / chain.fs / took_s
    return [
        Figure(
            "a day at 1 kHz, read, resampled to 100 Hz and windowed",
            speed,
            "x real time",
            REAL_TIME_MIN,
            speed / REAL_TIME_MIN,
            scipy_s / alone_s,
        ),
        Figure(
            "peak memory of that, Python and all",
            memory_mb,
            "MB",
            MEMORY_MB_MAX,
            MEMORY_MB_MAX / memory_mb,
        ),
    ]


def measure_records(folder: Path) -> Figure:
    """Make windows of every PTB-XL record's lead I, from the cache."""
    dataset, what = ptbxl(folder)
    record_ids = dataset.record_ids()
    chain = SignalChain()
    took_s = seconds(
        lambda: windows_of((dataset.load(i, ["I"]) for i in record_ids), chain, WINDOW_LEN, HOP_LEN)
    )
    speed = len(record_ids) / took_s
    margin = speed / RECORDS_PER_S_MIN
    name = f"windows of {len(record_ids):,} {what}, lead I, from the cache"
    return Figure(name, speed, "records/s", RECORDS_PER_S_MIN, margin)


def ptbxl(folder: Path) -> tuple[Dataset, str]:
    """Return PTB-XL, or made-up records of its shape; and what they are."""
    data = Path(os.environ.get("BEATGATE_DATA", "")) / "ptbxl"
    if os.environ.get("BEATGATE_DATA") and data.is_dir():
        return open_dataset("ptbxl", data), "PTB-XL records"
    signal = np.random.default_rng(0).integers(-900, 900, (1000, 12)).astype(np.int16)
    infos = [
        RecordInfo(record_id=str(i), subject_id=str(i), fold=1, where=str(i))
        for i in range(N_MADE_UP)
    ]
    signals = open_signals(
        folder,
        "made up",
        [info.record_id for info in infos],
        signal.shape,
        partial(iter, [signal] * N_MADE_UP),
        "Making up records",
    )
    assert signal.shape[1] == len(LEADS)
    made = cached_recordings(PTBXL, 100.0, ADC_GAIN, infos, signals, "made up", folder)
    return made, "made-up records"


def seconds(work: Callable[[], object], repeats: int = 2) -> float:
    """Return the least processor time that `work` takes, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    typer.run(main)
