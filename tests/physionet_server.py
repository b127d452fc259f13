"""A local HTTP server that serves files as PhysioNet does, and misbehaves on request."""

import collections
import hashlib
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SUMS = "SHA256SUMS.txt"
BLOCK_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the default is as it should be."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes | None = None  # instead of the file's bytes
    cut_after: int | None = None  # bytes of the body, then the connection is closed
    ignore_range: bool = False
    silent_s: float = 0.0  # before the answer begins


def sums_of(files):
    """Return the text of SHA256SUMS.txt, in PhysioNet's form, for name -> bytes."""
    lines = [f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in files.items()]
    return "".join(lines).encode()


def files_below(folder):
    """Return name -> bytes of a folder's files, except what is kept beside the data."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".beatgate" not in path.parts
    }


class PhysioNetServer:
    """Serves `files`, name -> bytes, and their list of checksums, while its context is open.

    `answer(name, n)` chooses the answer to the n-th request (from 0) for a file; `on_block(n)` is
    called with the number of body bytes served before each block. `requests` lists (name, Range).
    """

    def __init__(self, files, answer=None, on_block=None):
        self.files = {SUMS: sums_of(files)} | files
        self.answer = answer or (lambda name, n: Answer())
        self.on_block = on_block or (lambda n_bytes: None)
        self.requests = []
        self.n_bytes = 0
        self._n_by_name = collections.Counter()
        self._turn = threading.Lock()
        self._released = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = _Http(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/"

    def __enter__(self):
        poll_s = 0.02  # how long closing takes
        threading.Thread(target=self._http.serve_forever, args=(poll_s,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._released.set()
        self._http.shutdown()
        self._http.server_close()

    def names(self):
        """Return the names asked for, in order, without the list of checksums."""
        return [name for name, _ in self.requests if name != SUMS]

    def next_answer(self, name, byte_range):
        with self._turn:
            n = self._n_by_name[name]
            self._n_by_name[name] += 1
            self.requests.append((name, byte_range))
            return self.answer(name, n)

    def wait(self, seconds):
        self._released.wait(seconds)

    def served(self, n_bytes):
        with self._turn:
            self.n_bytes += n_bytes
            self.on_block(self.n_bytes)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # those: the client has left
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet: else every request waits for an ACK
    timeout = 10

    def do_GET(self):
        # A client that takes this server for its proxy sends the whole URL.
        name = unquote(urlsplit(self.path).path).lstrip("/")
        byte_range = self.headers.get("Range")
        answer = self.owner.next_answer(name, byte_range)
        self.owner.wait(answer.silent_s)
        data = self.owner.files.get(name) if answer.body is None else answer.body
        status = 404 if data is None else answer.status
        start = 0
        if status == 200 and byte_range and not answer.ignore_range:
            start = int(byte_range.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(data) else 416
        body = data[start:] if status in (200, 206) else answer.body or b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.end_headers()
        self._send(body if answer.cut_after is None else body[: answer.cut_after])
        if answer.cut_after is not None:
            self.close_connection = True

    def _send(self, body):
        for first in range(0, len(body), BLOCK_BYTES):
            block = body[first : first + BLOCK_BYTES]
            self.wfile.write(block)
            self.wfile.flush()
            self.owner.served(len(block))
        self.wfile.flush()

    def log_message(self, format, *args):
        pass
