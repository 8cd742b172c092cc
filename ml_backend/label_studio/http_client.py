"""The HTTP under the SDK's calls: time-outs, repeated reads, redirects, proxies, and errors as sentences."""

from __future__ import annotations

import os
import ssl
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
import requests

from ml_backend.label_studio.errors import LabelStudioError, refusal
from ml_backend.label_studio.tokens import Credentials

CONNECT_SECONDS = 5.0
TRIES = 3
BACKOFF_SECONDS = 0.5

_NO_CONNECTION = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)
_BECOMES_GET = (301, 302, 303)


class HttpClient(httpx.Client):
    """The httpx client of one Label Studio; safe to share between threads. Requests raise LabelStudioError.

    GETs are tried up to three times on connection errors and 5xx; nothing else is ever repeated, except once
    after a 401 whose cause was an expired access token (Label Studio did nothing in that case). The SDK
    repeats all calls or none, unless each says otherwise, and not if a connection breaks during an answer.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        """Take the address (a subpath is fine) and the seconds an answer may take.

        Raises LabelStudioError for what is no address, or an unusable proxy or file of certificates
        in the environment.
        """
        check_address(url)
        self.url = url.rstrip("/")
        self.credentials: Credentials | None = None
        self._proxy = _environment_proxy(url)
        try:
            transport = httpx.HTTPTransport(verify=trusted_certificates(), proxy=self._proxy)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise LabelStudioError(f"{self._proxy_name()} cannot be used: {error}") from error
        super().__init__(
            transport=transport,
            timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
            follow_redirects=True,
            event_hooks={"response": [self._check_redirect]},
        )

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request and return its answer, which is JSON or empty; all requests come through here."""
        # A time-out of the SDK's is one number, for the connection as well as for the answer.
        limits = request.extensions["timeout"]
        limits["connect"] = min(limits["connect"], CONNECT_SECONDS)
        response = self._send(request, **options)
        # After a redirect to another host there is no header, and no reason to renew the token.
        refused = response.request.headers.get("Authorization")
        if response.status_code == 401 and refused and self.credentials and self.credentials.renew(refused):
            response.close()
            request.headers["Authorization"] = self.credentials.header()
            response = self._send(request, **options)
        if response.status_code >= 400:
            detail = _detail(response)
            raise refusal(response.status_code, request.method, self._path(request), self.url, detail)
        if not _is_json_or_empty(response):
            response.close()
            raise LabelStudioError(
                f"{self.url} answers {request.method} {self._path(request)} with something other than JSON: "
                "is it really the address of Label Studio, subpath included?",
                response.status_code,
            )
        return response

    def _send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        tries = TRIES if request.method == "GET" else 1
        for attempt in range(1, tries + 1):
            try:
                response = super().send(request, **options)
            except (httpx.RequestError, httpx.InvalidURL) as error:
                if attempt == tries or not isinstance(error, _NO_CONNECTION):
                    raise LabelStudioError(self._reason(request, error)) from error
            else:
                if response.status_code < 500 or attempt == tries:
                    return response
                response.close()
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _check_redirect(self, response: httpx.Response) -> None:
        """Let reads be redirected, by httpx without the token, and writes only as they are on the same host.

        httpx repeats the body of a 307 or 308 wherever it leads, and one body is the personal access token.
        """
        request = response.request
        if not response.has_redirect_location or request.method == "GET":
            return
        target = request.url.join(response.headers["Location"])
        if response.status_code in _BECOMES_GET or not _is_same_host(request.url, target):
            raise LabelStudioError(
                f"{self.url} redirects {request.method} {self._path(request)} to {target.scheme}://"
                f"{target.netloc.decode()}: if that is Label Studio, give its address there.",
                response.status_code,
            )

    def _path(self, request: httpx.Request) -> str:
        return request.url.path.removeprefix(urlsplit(self.url).path)

    def _reason(self, request: httpx.Request, error: Exception) -> str:
        """Return one sentence on why a request got no answer."""
        where = f"{request.url.scheme}://{request.url.netloc.decode()}"
        if isinstance(error, httpx.ReadTimeout):
            seconds = request.extensions["timeout"]["read"]
            return f"{where} gave no answer to {request.url.path} within {seconds:g} seconds."
        if _is_about_certificates(error):
            return f"The certificate of {where} is not trusted: check it, or the scheme of the address."
        if isinstance(error, httpx.ProxyError):
            return f"{self._proxy_name()} refuses to connect to {where}: {error}."
        if isinstance(error, _NO_CONNECTION) and self._proxy is not None:
            name = self._proxy_name()
            return (
                f"Nothing answers at {name[0].lower()}{name[1:]}, through which {where} is reached: is it "
                "the right one, and is it running? NO_PROXY names hosts that are reached without it."
            )
        if isinstance(error, _NO_CONNECTION):
            return f"Nothing answers at {where}: is the address right, and is the server running?"
        return f"The request to {where}{request.url.path} failed: {error}."

    def _proxy_name(self) -> str:
        """Return the proxy and the variable that names it, without any password."""
        parts = urlsplit(self._proxy or "")
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        names = (f"{urlsplit(self.url).scheme}_proxy", "all_proxy")
        found = [name for each in names for name in (each, each.upper()) if os.environ.get(name)]
        return f"The proxy {place} ({found[0]})" if found else f"The proxy {place}"


def check_address(url: str) -> None:
    """Raise LabelStudioError for what cannot be an address of Label Studio."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise LabelStudioError(f'"{url}" is no address of Label Studio: write it as http://host:8080.')


def _environment_proxy(url: str) -> str | None:
    """Return the proxy through which the environment has `url` reached.

    As requests reads it, which fetches the images: httpx does not know networks in NO_PROXY (10.0.0.0/8).
    """
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def trusted_certificates() -> ssl.SSLContext:
    """Return whose certificates are trusted: what requests' variables name, or httpx's, or certifi's."""
    return _certificates(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None)


@cache
def _certificates(bundle: str | None) -> ssl.SSLContext:
    # Read once a process, as it takes 150 ms: each job makes a client.
    if bundle is None:
        return httpx.create_ssl_context()
    try:
        if os.path.isdir(bundle):  # noqa: PTH112
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise LabelStudioError(
            f"{bundle}, named by REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, holds no certificates: {error}."
        ) from error


def _is_same_host(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether two addresses are of one server, or the second is the first with TLS, both at usual ports."""
    if (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port):
        return True
    upgraded = one.host == other.host and (one.scheme, other.scheme) == ("http", "https")
    return upgraded and one.port is None and other.port is None


def _is_about_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_json_or_empty(response: httpx.Response) -> bool:
    """Whether an answer says that it is JSON, or is, as far as it has been read."""
    if "json" in response.headers.get("Content-Type", ""):
        return True
    if not response.is_stream_consumed:
        return False
    try:
        return not response.content or response.json() is not None
    except ValueError:
        return False


def _detail(response: httpx.Response) -> str:
    """Return what Label Studio's error body says, in at most 600 characters."""
    try:
        response.read()
        body = response.json()
    except (ValueError, httpx.RequestError):
        return ""
    finally:
        response.close()
    if not isinstance(body, dict):
        return str(body)[:600]
    errors = body.get("validation_errors")
    return str(errors or body.get("detail") or body)[:600]
