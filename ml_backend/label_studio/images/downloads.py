"""Fetching one image, bounded in bytes and time, with a token that is sent to Label Studio only."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Generator
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

import requests
import urllib3

from ml_backend.label_studio.http_client import CONNECT_SECONDS, certificate_bundle, proxy_in_use
from ml_backend.label_studio.images.guard import GuardedAdapter
from ml_backend.label_studio.images.hosts import HostRefusedError, ImageHosts
from ml_backend.label_studio.images.sources import Kind, Source, is_trusted, shown
from ml_backend.label_studio.tokens import Credentials

MAX_REDIRECTS = 5
_CHUNK = 1 << 16
_SCHEMES = ("http", "https")
_NOT_IMAGES = ("text/html", "application/json", "application/xhtml+xml")

_HINTS = {
    (Kind.UPLOAD, 404): "the file is gone from Label Studio; import it again",
    (
        Kind.UPLOAD,
        500,
    ): "Label Studio does not know the file, or failed; import it again, or check Label Studio's log",
    (Kind.LOCAL_FILE, 403): "Label Studio serves local files only with LOCAL_FILES_SERVING_ENABLED=true",
    (Kind.LOCAL_FILE, 404): "there is no such file, or no Local Files storage of a project covers its folder",
    (Kind.STORAGE, 403): "the token's owner may not see the project",
    (
        Kind.STORAGE,
        404,
    ): "no import storage of the project has its bucket; add one under Settings, Cloud Storage",
    (Kind.STORAGE, 424): "Label Studio cannot read it; check that it exists, and the storage's credentials",
}
"""Causes of Label Studio's error responses, whose bodies are mostly empty."""


class DownloadError(Exception):
    """A download that failed or was incomplete; the message is a clause without a full stop."""

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient
        """Whether trying again later may help."""


class _Authorization(requests.auth.AuthBase):
    """Sets the header, or none: without an auth object requests would read credentials from a .netrc."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class Downloader:
    """Fetches sources; safe to share between threads and to use after a fork."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        hosts: ImageHosts | None = None,
        seconds: float = 30.0,
        max_bytes: int = 1 << 28,
    ) -> None:
        """Set the limits of each download.

        Args:
            credentials: provide the Authorization header for trusted addresses.
            hosts: the other hosts that are allowed; by default all except cloud metadata addresses.
            seconds: limit for the whole download, redirects included; a server that stalls mid-response may
                take up to this long again.
            max_bytes: limit for the body after decompression.
        """
        self._credentials = credentials
        self._hosts = hosts or ImageHosts()
        self._seconds = seconds
        self._max_bytes = max_bytes

    def __call__(self, source: Source) -> Generator[bytes, None, None]:
        """Yield the body in chunks; it is complete only if iteration ends without an error.

        The token is sent as long as every address of the redirect chain belongs to ``source.trusted``, and
        never again after the chain has left it.

        Raises:
            DownloadError: the server cannot be reached, is not allowed, answers other than 200, sends a web
                page or JSON, or exceeds a limit. Errors from the credentials propagate.
        """
        if source.kind is Kind.INLINE:
            yield self._decode_data_uri(source)
            return
        deadline = time.monotonic() + self._seconds
        with requests.Session() as session:
            # Cookies ignore ports: Label Studio's would be sent to a storage on the same machine.
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            # requests itself knows only the first two of the variables.
            session.verify = certificate_bundle() or True
            try:
                with self._open(session, source, deadline) as response:
                    yield from self._read(source, response, deadline)
            except HostRefusedError as error:
                raise DownloadError(f"{source.shown} may not be fetched: {error}") from error
            except (requests.Timeout, urllib3.exceptions.TimeoutError):
                raise self._too_slow(source) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                raise _request_error(source, error) from error

    def _open(self, session: requests.Session, source: Source, deadline: float) -> requests.Response:
        url, trusted, vouched = source.url, source.trusted, False
        for _ in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme not in _SCHEMES:
                raise DownloadError(f"{source.shown} leads to {shown(url)}, which is not an http(s) address")
            if trusted is not None and not is_trusted(trusted, url):
                trusted, vouched = None, True
            if time.monotonic() > deadline:
                raise self._too_slow(source)
            if trusted is not None:
                response = self._get_with_token(session, url)
            else:
                self._guard(session, vouched)
                vouched = False
                response = self._get(session, url, None)
            if not response.is_redirect:
                return response
            url = urljoin(url, response.headers["Location"])
            response.close()
        raise DownloadError(f"{source.shown} redirects more than {MAX_REDIRECTS} times")

    def _guard(self, session: requests.Session, vouched: bool) -> None:
        """Restrict the session's next connections to allowed hosts."""
        for scheme in _SCHEMES:
            session.mount(f"{scheme}://", GuardedAdapter(self._hosts, vouched=vouched))

    def _get_with_token(self, session: requests.Session, url: str) -> requests.Response:
        """GET with the token; retry once with a fresh token after a 401."""
        header = self._credentials.header()
        response = self._get(session, url, header)
        if response.status_code == 401 and self._credentials.renew(header):
            response.close()
            response = self._get(session, url, self._credentials.header())
        return response

    def _get(self, session: requests.Session, url: str, authorization: str | None) -> requests.Response:
        return session.get(
            url,
            auth=_Authorization(authorization),
            timeout=(min(CONNECT_SECONDS, self._seconds), self._seconds),
            allow_redirects=False,
            stream=True,
        )

    def _read(
        self, source: Source, response: requests.Response, deadline: float
    ) -> Generator[bytes, None, None]:
        status = response.status_code
        if status != 200:
            raise DownloadError(
                _status_reason(source, response), transient=status in (408, 424, 429) or status >= 500
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _NOT_IMAGES:
            raise DownloadError(f"{source.shown} answers with {kind} instead of an image")
        claimed = response.headers.get("Content-Length", "")
        if claimed.isdigit() and int(claimed) > self._max_bytes:
            raise self._too_large(source)
        received = 0
        # read1 returns what has arrived; read and iter_content would block until a whole chunk has.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            received += len(chunk)
            if received > self._max_bytes:
                raise self._too_large(source)
            if time.monotonic() > deadline:
                raise self._too_slow(source)
            yield chunk
        if not received:
            raise DownloadError(f"{source.shown} is empty")

    def _decode_data_uri(self, source: Source) -> bytes:
        """The bytes of a data URI (RFC 2397), parsed as leniently as browsers do."""
        comma = source.url.find(",")
        if comma < 0:
            raise DownloadError("the data URI has no comma before its data")
        if (len(source.url) - comma - 1) // 4 * 3 > self._max_bytes:
            raise self._too_large(source)
        # Each copy is dropped as early as possible: it may have tens of megabytes.
        content = unquote_to_bytes(source.url[comma + 1 :])
        if source.url[:comma].lower().replace(" ", "").endswith(";base64"):
            try:
                content = re.sub(rb"\s+", b"", content)
                content += b"=" * (-len(content) % 4)
                content = base64.b64decode(content, validate=True)
            except binascii.Error as error:
                raise DownloadError(f"the data URI is not valid base64 ({error})") from error
        if not content:
            raise DownloadError("the data URI is empty")
        return content

    def _too_large(self, source: Source) -> DownloadError:
        return DownloadError(f"{source.shown} is larger than the {self._max_bytes} bytes allowed")

    def _too_slow(self, source: Source) -> DownloadError:
        return DownloadError(
            f"{source.shown} was not delivered within {self._seconds:g} seconds", transient=True
        )


def _request_error(source: Source, error: Exception) -> DownloadError:
    """The error for a failed request, with the address that failed if it differs from the source's."""
    request = getattr(error, "request", None)
    place = unquote(shown(request.url)) if request is not None and request.url else ""
    where = f" at {place}" if place and place != unquote(source.shown) else ""
    verb = "reached" if isinstance(error, requests.ConnectionError) else "read"
    proxy = proxy_in_use(request.url) if request is not None and request.url else None
    through = "" if proxy is None else f" through the proxy {proxy}"
    reason = f"{source.shown} cannot be {verb}{where}{through} ({type(error).__name__})"
    return DownloadError(reason, transient=not isinstance(error, ValueError))


def _status_reason(source: Source, response: requests.Response) -> str:
    """The reason for a status other than 200, from Label Studio or from the storage it redirects to."""
    answer = f"{source.shown} answers HTTP {response.status_code}"
    if source.trusted is None:
        return answer
    if not is_trusted(source.trusted, response.url):
        return f"{answer}, at {shown(response.url)}, where Label Studio redirects"
    hint = _HINTS.get((source.kind, response.status_code))
    return answer if hint is None else f"{answer}: {hint}"
