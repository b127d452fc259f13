"""Where published files come from: an HTTP server or a folder, read from any byte on.

urllib3 does the connections, TLS, time-outs and the arithmetic of waiting; following a redirect
only where it is safe, and going on where a body broke off, is done here and in `download.py`.
"""

import os
import re
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, LocationValueError, SSLError

CHUNK_BYTES = 1 << 18
REDIRECTS_MAX = 5
WEB = ("http", "https")
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
SIZE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to put up with a server.

    Parameters
    ----------
    tries : requests in a row that bring no new byte of a file before it is given up.
    backoff_s, backoff_max_s : the second wait, which doubles from then on, and the longest.
    retry_after_max_s : a server that asks for a longer wait is given up.
    timeout_s : a connection that stays silent for longer counts as cut.
    """

    tries: int = 8
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    retry_after_max_s: float = 600.0
    timeout_s: float = 30.0


class CutShort(Exception):  # noqa: N818 - what happened, and no reason to give up yet
    """A request that brought nothing, or only part of a file, and may go better the next time.

    Parameters
    ----------
    reason : what went wrong.
    wait_s : how long the server asked to be left alone.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class StartUnknown(Exception):  # noqa: N818 - an answer, not an error
    """The file has no byte where reading was to start: what is on disk is not its beginning."""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a file on their way.

    Parameters
    ----------
    start : of the first byte in the file; 0 where the server does not serve parts.
    n_bytes : of the whole file, or None where the server does not say.
    kind : the media type the server gives, or "".
    chunks : yields the bytes; raises `CutShort` where they break off.
    """

    start: int
    n_bytes: int | None
    kind: str
    chunks: Iterator[bytes]


class Source(Protocol):
    """Published files by their path in the data set."""

    def where(self, name: str) -> str:
        """Return the address of a file, for messages."""
        ...

    def open(self, name: str, start: int) -> AbstractContextManager[Body]:
        """Return a context that yields the `Body` of a file from byte `start` on.

        Raises
        ------
        CutShort : to be tried again.
        StartUnknown : the file is not that long.
        OSError : there is no such file, or it is refused.
        ValueError : the server sends one where we do not go.
        """
        ...


def source_of(address: str, n_connections: int, patience: Patience) -> Source:
    """Return the source at `address`, a URL or a local folder that holds `SHA256SUMS.txt`.

    Raises
    ------
    ValueError : `address` is neither.
    """
    if address.lower().startswith(("http://", "https://")):
        return HttpSource(address, n_connections, patience)
    if "://" in address:
        raise ValueError(
            f"base-url must be an http or https address or a local folder, got {address}"
        )
    folder = Path(address).expanduser()
    if not folder.is_dir():
        raise ValueError(f"base-url must be an http or https address or a folder, got {address}")
    return FolderSource(folder)


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A copy of the published files in a local folder."""

    folder: Path

    def where(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.folder / name)

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[Body]:
        """Yield the file from byte `start` on, as `Source` has it."""
        with (self.folder / name).open("rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            if start > n_bytes:
                raise StartUnknown
            file.seek(start)
            yield Body(start, n_bytes, "", iter(lambda: file.read(CHUNK_BYTES), b""))


@dataclass(slots=True)
class HttpSource:
    """Published files on an HTTP server, over a pool of connections that threads share."""

    base: str
    n_connections: int
    patience: Patience
    _pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.base.rstrip("/") + "/"
        self._pool = _pool_for(self.base, self.n_connections, self.patience.timeout_s)

    def where(self, name: str) -> str:
        """Return the URL of a file."""
        return self.base + quote(name)

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[Body]:
        """Yield the file from byte `start` on, as `Source` has it."""
        url = self.where(name)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        response = self._follow(url, headers)
        try:
            self._check_status(url, response)
            first, n_bytes = _extent(response, start)
            kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
            yield Body(first, n_bytes, kind, _chunks(response))
        finally:
            _give_back(response)

    def _follow(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Return the answer to a GET after redirects, none of which leaves http or drops TLS."""
        address = url
        for _ in range(REDIRECTS_MAX + 1):
            try:
                response = self._pool.request(
                    "GET",
                    address,
                    headers=headers,
                    preload_content=False,
                    redirect=False,
                    retries=False,
                )
            except LocationValueError as error:
                raise ValueError(f"{url}: must lead to an address, got {error}") from error
            except SSLError as error:
                if isinstance(error.args[0], ssl.SSLCertVerificationError):
                    raise OSError(f"{url}: must be safe to read over TLS, got {error}") from error
                raise CutShort(_reason(error)) from error
            except HTTPError as error:
                raise CutShort(_reason(error)) from error
            target = response.get_redirect_location()
            if not target:
                return response
            _give_back(response)
            address = _allowed_redirect(address, target)
        raise ValueError(f"{url}: must be reached in {REDIRECTS_MAX} redirects, got one more")

    def _check_status(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        status = response.status
        if status in (200, 206):
            return
        if status == 416:
            raise StartUnknown
        if status in TRY_AGAIN:
            raise CutShort(f"the server answered {status}", self._asked_wait_s(url, response))
        raise OSError(f"{url}: must be there to fetch, the server answered {status}")

    def _asked_wait_s(self, url: str, response: urllib3.BaseHTTPResponse) -> float:
        """Return how long the server asks to be left alone."""
        try:
            wait_s = urllib3.Retry().get_retry_after(response) or 0.0
        except (InvalidHeader, ValueError, OverflowError):  # no number, or no date there is
            return 0.0
        longest_s = self.patience.retry_after_max_s
        if wait_s > longest_s:
            raise OSError(
                f"{url}: the server must be ready within {longest_s:g} s, it asks for {wait_s:g} s"
            )
        return wait_s


def _pool_for(url: str, n_connections: int, timeout_s: float) -> urllib3.PoolManager:
    """Return the pool, through the proxy that the environment names for this address."""
    try:
        address = urllib3.util.parse_url(url)
        if not address.host:
            raise LocationValueError("it names no host")
    except LocationValueError as error:
        raise ValueError(f"base-url must be an address on the web, got {url} ({error})") from error
    proxy = urllib.request.getproxies().get(address.scheme or "")
    timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
    if not proxy or urllib.request.proxy_bypass(address.host):
        return urllib3.PoolManager(maxsize=n_connections, timeout=timeout)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    login = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
    return urllib3.ProxyManager(
        proxy, proxy_headers=headers, maxsize=n_connections, timeout=timeout
    )


def _allowed_redirect(url: str, target: str) -> str:
    """Return the address to go on at, which may be relative to `url`."""
    allowed = WEB if urlsplit(url).scheme == "http" else ("https",)
    try:
        whole = urljoin(url, target)
        if urlsplit(whole).scheme in allowed:
            return whole
    except ValueError:  # an address in brackets that is none
        pass
    raise ValueError(f"{url}: a redirect must stay on {' or '.join(allowed)}, got {target[:200]!r}")


def _extent(response: urllib3.BaseHTTPResponse, start: int) -> tuple[int, int | None]:
    """Return where a body starts in its file and how long the whole file is, if that is known."""
    if response.status == 206:
        # "bytes 100-199/200", RFC 9110 section 14.4
        unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
        extent, _, total = rest.partition("/")
        if unit != "bytes" or extent.partition("-")[0] != str(start):
            raise StartUnknown
        return start, int(total) if SIZE.fullmatch(total) else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if SIZE.fullmatch(length) else None


def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield what has arrived as soon as it has: what came before a cut is kept."""
    try:
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            yield chunk
    except HTTPError as error:
        raise CutShort(_reason(error)) from error


def _give_back(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back to the pool: closed, unless its body was read to the end."""
    response.close()
    response.release_conn()


def _reason(error: HTTPError) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
