"""`fetch`, `verify` and `list` as commands: killed, interrupted, short of disk; what they say."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datasets.__main__ import app
from datasets.physionet import LAYOUTS, Patience, fetch, source_of
from tests.physionet_server import SUMS, Answer, PhysioNetServer, files_below, sums_of
from tests.ptbxl_folder import write_ptbxl

ROOT = Path(__file__).resolve().parents[1]
LR = "records100/00000/00001_lr.dat"
HR = "records500/00000/00001_hr.dat"
N_KILLS = 20


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small PTB-XL with both rates, as name -> bytes."""
    folder = write_ptbxl(tmp_path_factory.mktemp("published"))
    return files_below(write_ptbxl(folder, fs=500))


def fetch_arguments(server, dest, *more):
    return ["fetch", "ptbxl", "--dest", str(dest), "--fs", "both", "--base-url", server.url, *more]


def fetch_process(server, dest, *more, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "datasets", *fetch_arguments(server, dest, *more)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


class Forker:
    """Starts one command after the other in a process of its own, without importing each time."""

    code = """
import json, os, sys
import rich.progress, urllib3
from datasets.__main__ import app
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        app(json.loads(line))
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
"""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.code],
            **{"cwd": ROOT, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *exc):
        self.process.communicate()

    def start(self, arguments):
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self, pid):
        """Send SIGKILL and wait until the process is no more."""
        os.kill(pid, signal.SIGKILL)
        while "gone" not in self.process.stdout.readline():
            pass


def test_killed_at_random_moments_it_leaves_only_whole_files_and_a_next_fetch_ends_the_same(
    published, tmp_path
):
    """Moments are drawn over the bytes on the wire, and up to 10 ms of what follows each of them:
    checksum, fsync, renaming, journal."""
    rng = random.Random(0)
    whole = {SUMS: sums_of(published)} | published
    n_bytes = sum(map(len, whole.values()))
    n_cut = 0
    patience = Patience()
    with Forker() as forker:
        for dest in (tmp_path / str(n) for n in range(N_KILLS)):
            due = threading.Event()
            moment, delay_s = rng.randrange(n_bytes), rng.uniform(0, 0.01)
            with PhysioNetServer(published) as server:

                def paced(n, moment=moment, due=due):
                    time.sleep(0.002)  # else a fast machine is done before the kill
                    if n > moment:
                        due.set()

                server.on_block = paced
                pid = forker.start(fetch_arguments(server, dest))
                assert due.wait(30)
                time.sleep(delay_s)
                forker.kill(pid)
                left = files_below(dest)
                assert left.items() <= whole.items()
                n_cut += len(left) < len(whole)
                source = source_of(server.url, 4, patience)
                fetch(LAYOUTS["ptbxl"], (100, 500), dest, source, 4, patience)
            assert files_below(dest) == whole
    assert n_cut > N_KILLS / 2  # else the moments were no good


def test_ctrl_c_leaves_at_once_and_the_next_fetch_goes_on(published, tmp_path):
    def answer(name, n):
        return Answer(silent_s=20.0) if name == HR else Answer()

    with PhysioNetServer(published, answer) as server:
        # A shell starts background jobs deaf to Ctrl-C, and this test may be part of one.
        hears = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        process = fetch_process(server, tmp_path, **hears)
        wait_until(lambda: len(server.requests) == 19)
        start_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
        assert time.monotonic() - start_s < 10
        assert (process.returncode, stdout) == (130, "")
        assert stderr.endswith("interrupted\n")
        server.answer = lambda name, n: Answer()
        server.requests.clear()
        assert run(*fetch_arguments(server, tmp_path)).exit_code == 0
        assert HR in server.names()
        assert len(server.names()) < 18
    assert files_below(tmp_path) == {SUMS: sums_of(published)} | published


def wait_until(condition, timeout_s=20.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_file_the_system_lets_grow_no_further_is_named(published, tmp_path):
    """RLIMIT_FSIZE is the full disk one can have without being root."""
    with PhysioNetServer(published) as server:
        process = fetch_process(
            server,
            tmp_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        )
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 2
        assert "_hr.dat: File too large" in stderr
        assert "Traceback" not in stderr
        assert files_below(tmp_path).items() <= ({SUMS: sums_of(published)} | published).items()
        assert run(*fetch_arguments(server, tmp_path)).exit_code == 0
    assert files_below(tmp_path) == {SUMS: sums_of(published)} | published


def test_fetch_says_what_to_type_next(published, tmp_path):
    with PhysioNetServer(published) as server:
        result = run(*fetch_arguments(server, tmp_path))
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith(f"ptbxl 1.0.3 is complete in {tmp_path}: 18 files, 18 of them fetched")
    assert second == (
        "next: python -m nas train --run runs/first --dataset ptbxl "
        f"--data {tmp_path} --fs 100 --leads I --hold-out HYP"
    )


def test_json_is_one_object_also_of_a_failure(published, tmp_path):
    with PhysioNetServer(published) as server:
        result = run(*fetch_arguments(server, tmp_path / "a", "--json"))
        assert result.exit_code == 0
        done = json.loads(result.stdout)
        assert (done["dataset"], done["n_files"], done["n_fetched"], done["bad"]) == (
            *("ptbxl", 18, 18),
            [],
        )
        server.files[LR] = b"wrong"
        result = run(*fetch_arguments(server, tmp_path / "b", "--json"))
        assert result.exit_code == 1
        assert json.loads(result.stdout)["next"] is None
        (bad,) = json.loads(result.stdout)["bad"]
        assert (bad["path"], len(bad["expected"]), len(bad["got"])) == (LR, 64, 64)
        assert result.stderr.endswith(
            "1 file did not match SHA256SUMS.txt after several downloads; "
            "all 17 files in place do\n"
        )


def test_verify_lists_every_bad_file_and_exits_1(published, tmp_path):
    with PhysioNetServer(published) as server:
        run(*fetch_arguments(server, tmp_path))
    result = run("verify", "ptbxl", tmp_path)
    assert (result.exit_code, result.stdout) == (
        0,
        f"ptbxl at 100 and 500 Hz in {tmp_path}: all 18 files (0.6 MB) match SHA256SUMS.txt\n",
    )
    (tmp_path / LR).unlink()
    (tmp_path / HR).write_bytes(b"x")
    result = run("verify", "ptbxl", tmp_path)
    assert result.exit_code == 1
    assert f"{LR}: sha256 must be " in result.stderr
    assert "got no file\n" in result.stderr
    assert f"{HR}: sha256 must be " in result.stderr
    assert "of 18 files, 1 missing and 1 not as SHA256SUMS.txt says" in result.stderr
    result = run("verify", "ptbxl", tmp_path, "--json")
    assert result.exit_code == 1
    assert [file["path"] for file in json.loads(result.stdout)["bad"]] == [LR, HR]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["fetch", "ptb"], "dataset to fetch must be one of ptbxl, butqdb, nstdb, mitdb, got ptb"),
        (["fetch", "ptbxl", "--fs", "250"], "fs of ptbxl must be one of 100, 500, both, got 250"),
        (["fetch", "mitdb", "--fs", "100"], "fs must not be given for mitdb: it has one rate"),
        (["fetch", "mitdb", "--jobs", "0"], "jobs must be in 1-32, got 0"),
        (["fetch", "mitdb", "--base-url", "ftp://x/"], "must be an http or https address or a"),
        (["fetch", "mitdb", "--base-url", "/no/folder"], "a folder, got /no/folder"),
        (["fetch", "mitdb", "--base-url", "http://"], "got http:/ (it names no host)"),
        (["fetch", "mitdb", "--base-url", "http://[::1"], "must be an address on the web, got"),
        (["fetch", "mitdb", "--base-url", "https://a b/"], "must be an address on the web, got"),
    ],
)
def test_bad_input_is_named_and_touches_nothing(arguments, text, tmp_path):
    result = run(*arguments, "--dest", tmp_path / "dest")
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert not (tmp_path / "dest").exists()


def test_list_says_what_can_be_fetched_and_the_disk_it_takes():
    stdout = run("list").stdout
    assert (
        "fetch: version 1.0.3, --fs 100: 0.63 GB on disk, 43,601 files; --fs 500: 2.77 GB" in stdout
    )
    cards = {card["name"]: card for card in json.loads(run("list", "--json").stdout)["datasets"]}
    assert cards["synthetic"]["fetch"] is None
    assert set(LAYOUTS) <= set(cards)
    assert cards["mitdb"]["fetch"]["url"] == "https://physionet.org/files/mitdb/1.0.0/"


def test_fetching_starts_light():
    heavy = {"wfdb", "scipy", "pandas", "neurokit2", "sklearn", "rich.progress", "http.server"}
    code = f"import sys, datasets.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
