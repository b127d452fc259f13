"""What is published, and its list of checksums read from any bytes."""

import base64
import hashlib
import ssl
import threading
from pathlib import PurePosixPath

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import SSLError

from datasets import DATASETS
from datasets.physionet import LAYOUTS, sources
from datasets.physionet.checksums import read_sums
from datasets.physionet.journal import Journal
from datasets.physionet.threads import in_threads

# Names as PhysioNet publishes them, and whether this project fetches them.
PUBLISHED = {
    "ptbxl": {
        "ptbxl_database.csv": True,
        "scp_statements.csv": True,
        "LICENSE.txt": True,
        "RECORDS": False,
        "example_physionet.py": False,
        "ptbxl_v103_changelog.txt": False,
        "records100/00000/00001_lr.dat": True,
        "records500/21000/21837_hr.hea": True,
    },
    "butqdb": {
        "100001/100001_ECG.dat": True,
        "100001/100001_ECG.hea": True,
        "100001/100001_ANN.csv": True,
        "100001/100001_ACC.dat": False,
        "subject-info.csv": True,
        "ann_reader.m": False,
    },
    "nstdb": {"118e06.dat": True, "118e_6.hea": True, "em.dat": True, "old/118_12.dat": False},
    "mitdb": {"100.dat": True, "208.atr": True, "102-0.atr": False, "x_mitdb/x_108.dat": False},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_files_that_readers_need_are_fetched_and_no_others(name):
    layout = LAYOUTS[name]
    wanted = layout.wanted(PUBLISHED[name], layout.rates)
    assert {path: path in wanted for path in PUBLISHED[name]} == PUBLISHED[name]


def test_every_layout_is_a_data_set():
    for name, layout in LAYOUTS.items():
        assert {float(rate) for rate in layout.rates} <= set(DATASETS[name].fs)


def test_the_three_forms_of_a_line(tmp_path):
    digests = [hashlib.sha256(text).hexdigest() for text in (b"a", b"b", b"c")]
    path = tmp_path / "sums"
    path.write_text(f"{digests[0]} a/1\n{digests[1].upper()}  b c\n{digests[2]} *d\r\n")
    assert read_sums(path) == dict(zip(("a/1", "b c", "d"), digests, strict=True))


LINES = st.builds(
    lambda digits, blanks, name, end: (digits + blanks + name + end).encode(errors="replace"),
    st.text("0123456789abcdefF", min_size=62, max_size=66) | st.just("0" * 64),
    st.sampled_from([" ", "  ", " *", "\t", ""]),
    st.text(max_size=12) | st.sampled_from(["..", "/x", "a/../b", "a", "./a", "a/", "a/b.dat"]),
    st.sampled_from(["\n", "\r\n", "", "\n\n"]),
)


@given(st.binary(max_size=300) | st.lists(LINES, max_size=4).map(b"".join))
def test_any_bytes_are_a_list_of_inner_files_or_an_error(tmp_path_factory, listed):
    path = tmp_path_factory.getbasetemp() / "listed"
    path.write_bytes(listed)
    try:
        sums = read_sums(path)
    except ValueError as error:
        sums, text = {}, str(error)
    assert sums or str(path) in text
    for name, sha256 in sums.items():
        assert len(sha256) == 64
        assert not PurePosixPath(name).is_absolute()
        assert ".." not in PurePosixPath(name).parts


def test_the_journal_remembers_the_last_line_of_a_file(tmp_path):
    file = tmp_path / "a b.dat"
    file.write_bytes(b"123")
    status = file.stat()
    with Journal(tmp_path / "journal") as journal:
        journal.remember("a b.dat", "0" * 64, status)
    with Journal(tmp_path / "journal") as journal:
        assert journal.vouches("a b.dat", "0" * 64, status)
        assert not journal.vouches("a b.dat", "1" * 64, status)
        assert not journal.vouches("c", "0" * 64, status)
        journal.forget("a b.dat")
    with Journal(tmp_path / "journal") as journal:
        assert not journal.vouches("a b.dat", "0" * 64, status)


def test_threads_do_every_item_once_and_raise_the_first_error():
    with in_threads(lambda n: n * n, list(range(50)), 4) as squares:
        assert sorted(squares) == [n * n for n in range(50)]
    with in_threads(str, [], 4) as nothing:
        assert list(nothing) == []
    stop = threading.Event()
    with (
        pytest.raises(ZeroDivisionError),
        in_threads(lambda n: 1 // n, [1, 0, 1], 2, stop) as quotients,
    ):
        list(quotients)
    assert stop.is_set()


@pytest.mark.parametrize("content_range", ["", "bytes 0-9/20", "bytes */20", "lines 5-9/20"])
def test_an_answer_that_is_another_part_is_not_appended(content_range):
    answer = urllib3.HTTPResponse(status=206, headers={"Content-Range": content_range})
    with pytest.raises(sources.StartUnknown):
        sources._extent(answer, 5)
    answer = urllib3.HTTPResponse(status=206, headers={"Content-Range": "bytes 5-19/20"})
    assert sources._extent(answer, 5) == (5, 20)


def test_tls_is_never_dropped_by_a_redirect():
    rule = r"a redirect must stay on https, got 'http://example\.org/x'"
    with pytest.raises(ValueError, match=rule):
        sources._allowed_redirect("https://example.org/a", "http://example.org/x")


class Refusing:
    """Stands for a pool of connections: every request ends in `error`."""

    def __init__(self, error):
        self.error = error

    def request(self, *arguments, **options):
        raise SSLError(self.error)


def test_a_certificate_that_is_wrong_is_final_and_a_broken_handshake_is_not():
    source = sources.HttpSource("https://mirror.example/", 1, sources.Patience())
    source._pool = Refusing(ssl.SSLCertVerificationError("self-signed certificate"))
    with pytest.raises(OSError, match=r"a: must be safe to read over TLS, got .*self-signed"):
        source.open("a", 0).__enter__()
    source._pool = Refusing(ssl.SSLEOFError("EOF occurred in violation of protocol"))
    with pytest.raises(sources.CutShort, match=r"SSLError: .*EOF occurred"):
        source.open("a", 0).__enter__()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("9" * 5000, 0.0),
        ("Thu, 01 Jan 99999999999 00:00:00 GMT", 0.0),
    ],
)
def test_a_wish_to_wait_that_makes_no_sense_is_none(header, seconds):
    source = sources.HttpSource("http://mirror.example/", 1, sources.Patience())
    answer = urllib3.HTTPResponse(status=429, headers={"Retry-After": header})
    assert source._asked_wait_s("a", answer) == seconds


@pytest.mark.parametrize(
    ("proxy", "login"),
    [
        ("http://proxy.example:3128", None),
        ("proxy.example:3128", None),
        ("http://me:p%40ss@proxy.example:3128", "me:p@ss"),
    ],
)
def test_a_proxy_may_lack_its_scheme_and_ask_for_a_login(proxy, login, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    pool = sources._pool_for("https://mirror.example/", 1, 1.0)
    assert (pool.proxy.host, pool.proxy.port) == ("proxy.example", 3128)
    sent = pool.proxy_headers.get("proxy-authorization", "").removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == (login or "")
