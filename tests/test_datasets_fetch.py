"""What `fetch` does against a local server that misbehaves in every way we could think of."""

import errno
import hashlib
import os
import random
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from datasets import open_dataset
from datasets.physionet import (
    LAYOUTS,
    Patience,
    download,
    fetch,
    fetching,
    source_of,
    verify,
)
from datasets.physionet.tree import Tree
from tests.physionet_server import SUMS, Answer, PhysioNetServer, files_below, sums_of
from tests.ptbxl_folder import write_ptbxl

PTBXL = LAYOUTS["ptbxl"]
HURRIED = Patience(tries=6, backoff_s=0.01, backoff_max_s=0.05, timeout_s=5.0)
LR = "records100/00000/00001_lr.dat"
HR = "records500/00000/00001_hr.dat"
WRONG = Answer(body=b"these are other bytes")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small PTB-XL with both rates, as name -> bytes."""
    folder = write_ptbxl(tmp_path_factory.mktemp("published"))
    return files_below(write_ptbxl(folder, fs=500))


def fetch_from(server, dest, rates=(100, 500), patience=HURRIED, n_jobs=4):
    return fetch(PTBXL, rates, dest, source_of(server.url, n_jobs, patience), n_jobs, patience)


def only(name, *answers):
    """Answer the first requests for `name` so, and everything else as it should be."""
    return lambda asked, n: answers[n] if asked == name and n < len(answers) else Answer()


def always(name, answer):
    return lambda asked, n: answer if asked == name else Answer()


def assert_whole(dest, published):
    """Nothing but the published tree is there, and what a fetch kept for itself is gone."""
    assert files_below(dest) == {SUMS: sums_of(published)} | published
    assert sorted(path.name for path in (dest / ".beatgate/fetch").iterdir()) == [
        "lock",
        "verified.txt",
    ]


def test_a_fetched_tree_is_the_published_one_and_opens(published, tmp_path):
    with PhysioNetServer(published) as server:
        fetched = fetch_from(server, tmp_path / "new" / "ptbxl")
    assert (fetched.n_files, fetched.n_present, fetched.n_fetched, fetched.bad) == (18, 0, 18, ())
    assert fetched.bytes_fetched == sum(map(len, published.values())) + len(sums_of(published))
    assert_whole(tmp_path / "new" / "ptbxl", published)
    dataset = open_dataset("ptbxl", tmp_path / "new" / "ptbxl", fs=500)
    assert dataset.record_ids() == ["1", "2", "3", "4"]


def test_only_the_files_of_the_rate_are_fetched(published, tmp_path):
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path, rates=(100,))
        assert not [name for name in server.names() if "records500" in name]
        fetch_from(server, tmp_path)  # the other rate later
        assert len(server.names()) == len(set(server.names()))  # nothing twice
    assert_whole(tmp_path, published)


def test_a_second_fetch_asks_for_nothing_and_hashes_nothing(published, tmp_path, monkeypatch):
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path)
        server.requests.clear()
        monkeypatch.setattr(fetching, "sha256_of", None)
        fetched = fetch_from(server, tmp_path)
        assert server.requests == [(SUMS, None)]
    assert (fetched.n_present, fetched.n_fetched) == (18, 0)


def test_only_what_is_missing_or_wrong_is_fetched_again(published, tmp_path):
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path)
        server.requests.clear()
        missing, longer, changed = sorted(name for name in published if name.endswith(".dat"))[:3]
        (tmp_path / missing).unlink()
        with (tmp_path / longer).open("ab") as file:
            file.write(b"x")
        (tmp_path / changed).write_bytes(bytes(len(published[changed])))
        assert fetch_from(server, tmp_path).n_fetched == 3
        assert sorted(server.names()) == [missing, longer, changed]
    assert_whole(tmp_path, published)


def test_files_from_elsewhere_are_hashed_once_and_kept(published, tmp_path):
    for name, data in published.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with PhysioNetServer(published) as server:
        assert fetch_from(server, tmp_path).n_fetched == 0
    journal = (tmp_path / ".beatgate/fetch/verified.txt").read_text()
    assert len(journal.splitlines()) == len(published)


@pytest.mark.parametrize("seed", range(4))
def test_it_ends_complete_whatever_the_server_does_at_random(published, tmp_path, seed):
    rng = random.Random(seed)

    def answer(name, n):
        kinds = [
            Answer(cut_after=rng.randrange(len(published.get(name, b"")) + 1)),
            Answer(cut_after=rng.randrange(2000), ignore_range=True),
            Answer(status=rng.choice([500, 502, 503, 504])),
            Answer(status=429, headers={"Retry-After": "0"}),
        ]
        if name != SUMS and n == 0:  # three in a row would be a verdict, not an accident
            kinds.append(WRONG)
        return rng.choice(kinds) if n < 4 and rng.random() < 0.7 else Answer()

    with PhysioNetServer(published, answer) as server:
        assert fetch_from(server, tmp_path).bad == ()
    assert_whole(tmp_path, published)


def test_a_cut_file_is_resumed_where_it_broke_off(published, tmp_path):
    with PhysioNetServer(published, only(HR, Answer(cut_after=70_000))) as server:
        fetch_from(server, tmp_path)
        assert [sent for name, sent in server.requests if name == HR] == [None, "bytes=70000-"]
    assert_whole(tmp_path, published)


def test_a_next_fetch_resumes_what_this_one_left(published, tmp_path):
    given_up = Patience(tries=2, backoff_s=0.0)
    stingy = always(HR, Answer(cut_after=500, ignore_range=True))
    with PhysioNetServer(published, stingy) as server:
        with pytest.raises(ConnectionError, match=r"must bring new bytes in 2 tries"):
            fetch_from(server, tmp_path, patience=given_up, n_jobs=1)
        assert not (tmp_path / HR).exists()
        server.answer = lambda name, n: Answer()
        server.requests.clear()
        fetch_from(server, tmp_path)
        assert (HR, "bytes=500-") in server.requests
    assert_whole(tmp_path, published)


def test_a_server_without_ranges_sends_the_file_again(published, tmp_path):
    answers = (Answer(cut_after=70_000), Answer(ignore_range=True))
    with PhysioNetServer(published, only(HR, *answers)) as server:
        fetched = fetch_from(server, tmp_path)
    assert fetched.bytes_fetched == sum(map(len, published.values())) + 70_000 + len(
        sums_of(published)
    )
    assert_whole(tmp_path, published)


@pytest.mark.parametrize("n_bytes", [10, 120_000, 500_000])
def test_a_stale_part_is_thrown_away(published, tmp_path, n_bytes):
    """Shorter than the file, as long (a whole file of zeros, after a power cut), longer (416)."""
    write_part(tmp_path, published, HR, bytes(n_bytes))
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path)
        assert (HR, f"bytes={n_bytes}-") in server.requests
    assert_whole(tmp_path, published)


def test_a_part_that_is_whole_is_put_in_place_without_a_request(published, tmp_path):
    write_part(tmp_path, published, HR, published[HR])
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path)
        assert HR not in server.names()
    assert_whole(tmp_path, published)


def write_part(dest, published, name, data):
    tree = Tree(dest)
    tree.make()
    tree.parts.mkdir()
    tree.part(name, hashlib.sha256(published[name]).hexdigest()).write_bytes(data)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept_to(published, tmp_path, form):
    """A date has whole seconds: 2 s ahead are at least 1 s."""
    moments = []

    def answer(name, n):
        if name != SUMS:
            moments.append(time.monotonic())
        ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        header = {"Retry-After": "1" if form == "seconds" else ahead}
        return Answer(status=429, headers=header) if len(moments) == 1 else Answer()

    with PhysioNetServer(published, answer) as server:
        fetch_from(server, tmp_path, n_jobs=1)
    assert moments[1] - moments[0] >= 0.9
    assert_whole(tmp_path, published)


def test_one_connection_told_to_wait_stops_them_all(published, tmp_path):
    moments = []

    def answer(name, n):
        if name == SUMS:
            return Answer()
        moments.append(time.monotonic())
        if len(moments) == 1:
            return Answer(status=429, headers={"Retry-After": "1"})
        return Answer(silent_s=0.6 if len(moments) == 2 else 0.0)  # until the wish is known

    with PhysioNetServer(published, answer) as server:
        fetch_from(server, tmp_path, n_jobs=2)
    assert moments[2] - moments[0] >= 0.9
    assert_whole(tmp_path, published)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (Answer(status=404), OSError, "must be there to fetch, the server answered 404"),
        (
            Answer(status=503),
            ConnectionError,
            "must bring new bytes in 6 tries, the last one: the server answered 503",
        ),
        (
            Answer(status=503, headers={"Retry-After": "3600"}),
            OSError,
            "the server must be ready within 600 s, it asks for 3600 s",
        ),
        (Answer(body=bytes(9_000_000)), ValueError, "must have at most 1,432,576 bytes, got more"),
        (
            Answer(status=302, headers={"Location": "file:///etc/passwd"}),
            ValueError,
            "a redirect must stay on http or https, got 'file:///etc/passwd'",
        ),
        (
            Answer(status=302, headers={"Location": "ftp://example.org/x"}),
            ValueError,
            "a redirect must stay on http or https, got 'ftp://example.org/x'",
        ),
        (
            Answer(status=302, headers={"Location": "http://[::1"}),
            ValueError,
            r"a redirect must stay on http or https, got 'http://\[::1'",
        ),
        (
            Answer(status=302, headers={"Location": "http://a..b/"}),
            ValueError,
            r"must lead to an address, got Failed to parse: 'a\.\.b'",
        ),
        (Answer(status=302, headers={"Location": f"/{LR}"}), ValueError, "in 5 redirects"),
    ],
)
def test_a_server_that_cannot_be_put_up_with(published, tmp_path, answer, error, text):
    with (
        PhysioNetServer(published, always(LR, answer)) as server,
        pytest.raises(error, match=text) as caught,
    ):
        fetch_from(server, tmp_path)
    assert LR in str(caught.value)
    assert not (tmp_path / LR).exists()


def test_a_redirect_inside_the_web_is_followed(published, tmp_path):
    moved = Answer(status=301, headers={"Location": "/elsewhere/00001_lr.dat"})
    with PhysioNetServer(published, always(LR, moved)) as server:
        server.files["elsewhere/00001_lr.dat"] = published[LR]
        fetch_from(server, tmp_path)
    assert_whole(tmp_path, published)


def test_a_silent_server_is_asked_again(published, tmp_path):
    silent = Answer(silent_s=20.0)
    with PhysioNetServer(published, only(LR, silent)) as server:
        start_s = time.monotonic()
        fetch_from(server, tmp_path, patience=Patience(timeout_s=1.0))
    assert time.monotonic() - start_s < 15
    assert_whole(tmp_path, published)


def test_nobody_listens(tmp_path):
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9/SHA256SUMS\.txt: must bring new"):
        fetch(PTBXL, (100,), tmp_path, source_of("http://127.0.0.1:9", 1, HURRIED), 1, HURRIED)


def test_a_wrong_list_of_checksums_names_file_expected_and_got(published, tmp_path):
    with PhysioNetServer(published) as server:
        wrong = "0" * 64
        right = sums_of({LR: published[LR]}).decode().split()[0]
        server.files[SUMS] = server.files[SUMS].replace(right.encode(), wrong.encode())
        fetched = fetch_from(server, tmp_path)
        assert server.names().count(LR) == 3
    assert [str(file) for file in fetched.bad] == [f"{LR}: sha256 must be {wrong}, got {right}"]
    assert not (tmp_path / LR).exists()
    assert fetched.n_fetched == 17


def test_a_list_that_is_all_wrong_is_given_up_early(published, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "BAD_FILES_MAX", 3)
    with PhysioNetServer(published, lambda name, n: Answer() if name == SUMS else WRONG) as server:
        fetched = fetch_from(server, tmp_path, n_jobs=1)
        assert len(set(server.names())) <= 4
    assert len(fetched.bad) == 3
    assert files_below(tmp_path) == {SUMS: sums_of(published)}


def test_web_pages_instead_of_data_are_called_that(published, tmp_path):
    page = Answer(body=b"<html>Sorry</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with PhysioNetServer(published, always(LR, page)) as server:
        fetched = fetch_from(server, tmp_path)
    assert [(file.path, file.note) for file in fetched.bad] == [(LR, "the server sent a web page")]


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        (b"<!DOCTYPE html>\n", "line 1: must be 64 hex digits, blanks and a path, got '<!DOC"),
        (b"0" * 64 + b"  ../x\n", "line 1: the file must lie inside the data set, got '../x'"),
        (b"0" * 64 + b"  a/../../x\n", "line 1: the file must lie inside"),
        (b"0" * 64 + b"  /etc/passwd\n", "line 1: the file must lie inside"),
        (b"0" * 64 + b"  a//b\n", "line 1: the file must lie inside"),
        (b"0" * 64 + b"  a\\b\n", "line 1: must be 64 hex digits"),
        (b"0" * 64 + b"  a\0b\n", "line 1: must be 64 hex digits"),
        (b"0" * 63 + b"  a\n", "line 1: must be 64 hex digits"),
        (b"0" * 64 + b"  \xff\n", "line 1: must be UTF-8"),
        ((b"0" * 64 + b"  a\n") * 2, "line 2: must list a file once, got 'a' again"),
        (b"0" * 64 + b"  " + b"a" * 5000 + b"\n", "line 1: must be a line of at most 1024"),
        (b"0" * 64 + b"  a", "line 1: must be a line of at most 1024 characters, with its end"),
        (b"", "must list at least one file, it is empty"),
        (b"0" * 64 + b"  other.csv\n", r"must list files ptbxl_database\\.csv, it lists none"),
    ],
)
def test_a_malformed_list_is_refused_and_asks_for_no_file(published, tmp_path, listed, text):
    with PhysioNetServer(published, always(SUMS, Answer(body=listed))) as server:
        with pytest.raises(ValueError, match=f"{server.url}{SUMS}(, |: )") as caught:
            fetch_from(server, tmp_path)
        assert server.names() == []
    assert text.replace("\\\\", "\\") in str(caught.value)


def test_an_endless_list_is_refused(published, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "SUMS_BYTES_MAX", 10_000)
    endless = Answer(body=bytes(300_000))
    with (
        PhysioNetServer(published, always(SUMS, endless)) as server,
        pytest.raises(ValueError, match=rf"{SUMS}: must have at most 10,000 bytes, got more"),
    ):
        fetch_from(server, tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("records100", "records100: must be a folder, got a symbolic link to "),
        ("records100/00000", "00000: must be a folder, got a symbolic link to "),
        (LR, "00001_lr.dat: must be a plain file, got a symbolic link to "),
        (SUMS, "SHA256SUMS.txt: must be a plain file, got a symbolic link to "),
        (".beatgate", ".beatgate: must be a folder, got a symbolic link to "),
    ],
)
def test_links_that_lead_out_are_refused(published, tmp_path, name, text):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "dest" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "x" if name in (LR, SUMS) else outside)
    with PhysioNetServer(published) as server, pytest.raises(ValueError, match=text):
        fetch_from(server, tmp_path / "dest")
    assert list(outside.iterdir()) == []


def test_a_folder_in_a_files_place_is_refused(published, tmp_path):
    (tmp_path / LR).mkdir(parents=True)
    with (
        PhysioNetServer(published) as server,
        pytest.raises(ValueError, match="must be a plain file, got a folder"),
    ):
        fetch_from(server, tmp_path)


def test_a_disk_that_is_too_small_is_told_before_the_first_file(published, tmp_path, monkeypatch):
    small = shutil._ntuple_diskusage(10**6, 0, 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small)
    with PhysioNetServer(published) as server:
        with pytest.raises(OSError, match=r"must have 0\.07 GB free for 18 files, it has 0\.00 GB"):
            fetch_from(server, tmp_path)
        assert server.names() == []


def test_a_disk_that_fills_up_leaves_nothing_that_looks_whole(published, tmp_path, monkeypatch):
    free_bytes = 200_000
    write_all = download._write_all

    def write_until_full(file, chunk):
        nonlocal free_bytes
        fits = chunk[: max(0, free_bytes)]
        free_bytes -= len(fits)
        write_all(file, fits)
        if len(fits) < len(chunk):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with PhysioNetServer(published) as server:
        monkeypatch.setattr(download, "_write_all", write_until_full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            fetch_from(server, tmp_path)
        assert str(tmp_path / "records") in caught.value.filename
        here = files_below(tmp_path)
        assert here.items() <= ({SUMS: sums_of(published)} | published).items()
        monkeypatch.setattr(download, "_write_all", write_all)
        fetch_from(server, tmp_path)
    assert_whole(tmp_path, published)


def test_a_torn_journal_costs_a_hash_and_nothing_else(published, tmp_path):
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path)
        journal = tmp_path / ".beatgate/fetch/verified.txt"
        journal.write_bytes(journal.read_bytes()[:-9] + b"\xff")
        server.requests.clear()
        assert fetch_from(server, tmp_path).n_fetched == 0
        assert len(journal.read_bytes().split(b"\n")) == 18 + 2  # the torn line, and the end
    assert_whole(tmp_path, published)


def test_two_fetches_at_once_take_turns(published, tmp_path, caplog):
    with PhysioNetServer(published) as server:
        threads = [threading.Thread(target=fetch_from, args=(server, tmp_path)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(server.names()) == sorted(published)  # every file once
    assert "waiting for another process to finish its fetch" in caplog.text
    assert_whole(tmp_path, published)


def test_a_local_folder_serves_as_well(published, tmp_path):
    for name, data in (published | {SUMS: sums_of(published)}).items():
        (tmp_path / "usb" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "usb" / name).write_bytes(data)
    source = source_of(str(tmp_path / "usb"), 2, HURRIED)
    assert fetch(PTBXL, (100, 500), tmp_path / "dest", source, 2, HURRIED).n_fetched == 18
    assert_whole(tmp_path / "dest", published)
    (tmp_path / "usb" / LR).unlink()
    (tmp_path / "dest" / LR).unlink()
    with pytest.raises(FileNotFoundError, match=r"00001_lr\.dat"):
        fetch(PTBXL, (100, 500), tmp_path / "dest", source, 2, HURRIED)


def test_the_environments_proxy_is_used(published, tmp_path, monkeypatch):
    with PhysioNetServer(published) as server:
        monkeypatch.setenv("http_proxy", server.url)
        source = source_of("http://mirror.invalid/", 2, HURRIED)
        fetch(PTBXL, (100, 500), tmp_path, source, 2, HURRIED)
    assert_whole(tmp_path, published)


def test_verify_finds_what_size_and_time_hide_and_the_next_fetch_repairs_it(published, tmp_path):
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path)
        assert verify(PTBXL, tmp_path).bad == ()
        before = (tmp_path / HR).stat()
        (tmp_path / HR).write_bytes(bytes(len(published[HR])))
        os.utime(tmp_path / HR, ns=(before.st_atime_ns, before.st_mtime_ns))
        (tmp_path / LR).unlink()
        assert fetch_from(server, tmp_path, rates=(500,)).n_fetched == 0  # the journal's blind spot
        found = verify(PTBXL, tmp_path)
        assert [(file.path, file.got is None) for file in found.bad] == [(LR, True), (HR, False)]
        assert fetch_from(server, tmp_path).n_fetched == 2
    assert_whole(tmp_path, published)


def test_verify_checks_the_rates_that_are_there(published, tmp_path):
    with PhysioNetServer(published) as server:
        fetch_from(server, tmp_path, rates=(500,))
    assert verify(PTBXL, tmp_path).rates == (500,)
    assert len(verify(PTBXL, tmp_path, rates=(100,)).bad) == 8


def test_verify_needs_the_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{SUMS}: must be there to verify by"):
        verify(PTBXL, tmp_path)
