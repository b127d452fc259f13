"""A day at 1 kHz in BUT QDB's layout: every window read, memory bounded, the windows right."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.signal_chain import SignalChain
from tests.butqdb_folder import (
    BASELINE,
    FS,
    GAIN,
    counts_at,
    real_grades,
    synthetic_grades,
    write_record,
)

ROOT = Path(__file__).resolve().parents[1]
HOURS = 24
FS_TARGET, WINDOW_LEN, HOP_LEN = 100, 1000, 100
PER_CODE = FS // FS_TARGET
RSS_MB_MAX = 300
SPOTS = 7  # windows looked at, spread over the day
SETTLED_S = 30  # of the high-pass, to the last code but one

READ_ALL = """
import json, re, sys, time
from pathlib import Path
import numpy as np
from datasets import open_dataset
from export.chain_windows import stream_windows
from export.signal_chain import SignalChain

start_s = time.monotonic()
reader = open_dataset("butqdb", sys.argv[1]).open("100001")
record = reader.record
chain = SignalChain().for_front_end(record.fs, record.adc_gain, record.baseline)
n, by_quality, spots = 0, np.zeros(4, int), {}
for batch in stream_windows(reader, chain, int(sys.argv[2]), int(sys.argv[3])):
    by_quality += np.bincount(batch.quality, minlength=4)
    for start in set(batch.starts.tolist()) & set(json.loads(sys.argv[4])):
        row = int(np.searchsorted(batch.starts, start))
        spots[start] = [batch.x[row, :, 0].tolist(), int(batch.quality[row])]
    n += len(batch)
print(json.dumps({
    "n": n,
    "by_quality": by_quality.tolist(),
    "spots": spots,
    # Not ru_maxrss, in which Linux counts what the parent held before this program began.
    "rss_mb": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
    "seconds": time.monotonic() - start_s,
}))
"""


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """Record 100001, graded in full - as published where the grades are there - and its grades."""
    real = real_grades()
    grades = real["100001"] if real else synthetic_grades(HOURS * 3600 * FS)
    n_samples = grades["cons"][-1][1] + 1
    folder = tmp_path_factory.mktemp("day")
    return write_record(folder, n_samples=n_samples, grades=grades), n_samples, grades


def expected_codes(chain, start):
    """Return the codes of the window at `start`, from a stretch that begins shortly before it."""
    begin = max(start - SETTLED_S * FS_TARGET, 0)
    counts = counts_at(begin * PER_CODE, (start + WINDOW_LEN) * PER_CODE)
    return chain.apply(counts)[start - begin :, 0]


@pytest.mark.slow
def test_every_window_of_a_day_is_read_in_bounded_memory(day):
    folder, n_samples, grades = day
    chain = SignalChain().for_front_end(FS, GAIN * 1000, BASELINE)
    n_windows = (n_samples // PER_CODE - WINDOW_LEN) // HOP_LEN + 1
    spots = (np.linspace(0, n_windows - 1, SPOTS).astype(int) * HOP_LEN).tolist()
    arguments = [str(folder), str(WINDOW_LEN), str(HOP_LEN), json.dumps(spots)]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    speed = n_samples / FS / result["seconds"]
    print(f"{n_samples / FS / 3600:.1f} h: {speed:,.0f}x real time, {result['rss_mb']:.0f} MB")
    assert result["n"] == n_windows
    assert result["rss_mb"] < RSS_MB_MAX
    assert result["by_quality"][0] == 0
    assert min(result["by_quality"][1:]) > 0
    for start in spots:
        codes, quality = result["spots"][str(start)]
        difference = np.array(codes) - expected_codes(chain, start)
        assert np.abs(difference).max() <= (0 if start == 0 else 1)
        delay = chain.delay_s * FS  # a code shows what the sensor saw that much earlier
        first, stop = start * PER_CODE - delay, (start + WINDOW_LEN) * PER_CODE - delay
        assert quality == max(
            grade for begin, end, grade in grades["cons"] if begin < stop and end >= first
        )
