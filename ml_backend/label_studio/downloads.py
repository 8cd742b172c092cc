"""Fetching one address over HTTP, bounded in bytes and time, with a token that never leaves Label Studio."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import requests
import urllib3

MAX_REDIRECTS = 5
CONNECT_SECONDS = 5.0
_CHUNK = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NO_IMAGES = ("text/html", "application/json", "application/xhtml+xml")


class DownloadError(Exception):
    """An address that gave no whole body; the message is a clause that ends without a full stop."""

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient
        """Whether trying again later may help."""


@dataclass(frozen=True)
class Source:
    """Where an image lies."""

    url: str
    """Absolute http or https address."""
    trusted: str | None = None
    """Address of the Label Studio whose token goes with the request; None for a request without any."""


class Downloader:
    """Fetches sources; may be shared by threads and used again after a fork."""

    def __init__(
        self, authorization: Callable[[], str], *, seconds: float = 30.0, max_bytes: int = 1 << 28
    ) -> None:
        """Bound each download.

        Args:
            authorization: gives the current value of the Authorization header for trusted addresses.
            seconds: for the whole download, redirects included; a server that stalls within its answer is
                given up after at most this much again.
            max_bytes: for the body, after any decompression.
        """
        self._authorization = authorization
        self._seconds = seconds
        self._max_bytes = max_bytes

    def __call__(self, source: Source) -> Generator[bytes, None, None]:
        """Yield the body in pieces; it was whole only if this ends without an error.

        The token is sent while every address of the redirect chain lies under ``source.trusted``, and never
        again after the chain has left it.

        Raises:
            DownloadError: the server cannot be reached, answers anything but 200, sends a web page, or
                exceeds a bound. Whatever ``authorization`` raises passes through.
        """
        deadline = time.monotonic() + self._seconds
        with requests.Session() as session:
            try:
                with self._open(session, source, deadline) as response:
                    yield from self._read(response, deadline)
            except (requests.Timeout, urllib3.exceptions.TimeoutError):
                raise self._late(source.url) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                reason = f"{shown(source.url)} cannot be read ({type(error).__name__})"
                raise DownloadError(reason, transient=not isinstance(error, ValueError)) from error

    def _open(self, session: requests.Session, source: Source, deadline: float) -> requests.Response:
        url, trusted = source.url, source.trusted
        for _ in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme not in _DEFAULT_PORTS:
                raise DownloadError(f"{shown(source.url)} leads to {shown(url)}, which is no http(s) address")
            if trusted is not None and not covers(trusted, url):
                trusted = None
            if time.monotonic() > deadline:
                raise self._late(source.url)
            response = session.get(
                url,
                auth=_Authorization(None if trusted is None else self._authorization()),
                timeout=(min(CONNECT_SECONDS, self._seconds), self._seconds),
                allow_redirects=False,
                stream=True,
            )
            if not response.is_redirect:
                return response
            url = urljoin(url, response.headers["Location"])
            response.close()
        raise DownloadError(f"{shown(source.url)} redirects more than {MAX_REDIRECTS} times")

    def _read(self, response: requests.Response, deadline: float) -> Generator[bytes, None, None]:
        address = shown(response.url)
        status = response.status_code
        if status != 200:
            raise DownloadError(
                f"{address} answers HTTP {status}", transient=status >= 500 or status in (408, 429)
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _NO_IMAGES:
            raise DownloadError(f"{address} answers with {kind} instead of an image")
        too_large = DownloadError(f"{address} holds more than the {self._max_bytes} bytes allowed")
        claimed = response.headers.get("Content-Length", "")
        if claimed.isdigit() and int(claimed) > self._max_bytes:
            raise too_large
        received = 0
        # read1 returns what has arrived; read and iter_content would wait for a whole chunk, however slow.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            received += len(chunk)
            if received > self._max_bytes:
                raise too_large
            if time.monotonic() > deadline:
                raise self._late(address)
            yield chunk
        if not received:
            raise DownloadError(f"{address} is empty")

    def _late(self, address: str) -> DownloadError:
        return DownloadError(
            f"{shown(address)} was not delivered within {self._seconds:g} seconds", transient=True
        )


def covers(root: str, url: str) -> bool:
    """Whether ``url`` has the scheme, host and port of ``root`` and lies under its path.

    What two parsers might read differently is never covered: backslashes, control characters, user
    names, and steps up the path.
    """
    if "\\" in url or not url.isprintable():
        return False
    try:
        one, other = urlsplit(root), urlsplit(url)
        same = _origin(one) == _origin(other)
    except ValueError:
        return False
    steps_up = ".." in unquote(unquote(other.path)).replace("\\", "/").split("/")
    inside = other.path.startswith(one.path.rstrip("/") + "/")
    return same and inside and not steps_up and "@" not in other.netloc


def shown(url: str) -> str:
    """The address without user name, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


class _Authorization(requests.auth.AuthBase):
    """Sets the header, or sees to it that there is none: without it requests would look into a .netrc."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest, *_: Any) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request
