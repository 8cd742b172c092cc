"""The HTTP client under the SDK: time-outs, retries of GETs, redirects, proxies, and one-sentence errors."""

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
MAX_REDIRECTS = 5


class HttpClient(httpx.Client):
    """The httpx client of one Label Studio; safe to share between threads. Requests raise LabelStudioError.

    GETs are tried up to three times on connection errors and 5xx. Other requests are never retried, except
    once after a 401 for an expired access token, when Label Studio has done nothing. The SDK's own retries
    apply to all methods unless each call says otherwise, and not to connections that break mid-response.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        """Take the address (a subpath is fine) and the seconds a response may take.

        Raises LabelStudioError for an invalid address, or an unusable proxy or certificate file in the
        environment.
        """
        check_address(url)
        self.url = url.rstrip("/")
        self.credentials: Credentials | None = None
        self._proxy = environment_proxy(url)
        try:
            transport = httpx.HTTPTransport(
                verify=trusted_certificates(), proxy=self._proxy, limits=_limits(url)
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            name = proxy_in_use(url)
            raise LabelStudioError(f"The proxy {name} cannot be used: {error}") from error
        super().__init__(
            transport=transport,
            timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
            follow_redirects=False,
        )

    # The redirects of any request are followed by `_follow`, which knows what may be sent where.
    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request and return the response, which is JSON or empty; all requests go through here."""
        # The SDK sets one time-out for both the connection and the response.
        limits = request.extensions["timeout"]
        limits["connect"] = min(limits["connect"], CONNECT_SECONDS)
        response = self._send(request, **options)
        # After a redirect to another host there is no header, so the token needs no renewal.
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
                "is it the address of Label Studio, subpath included?",
                response.status_code,
            )
        return response

    def _send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        tries = TRIES if request.method == "GET" else 1
        for attempt in range(1, tries + 1):
            try:
                response = self._follow(request, options)
            except (httpx.RequestError, httpx.InvalidURL) as error:
                if attempt == tries or not isinstance(error, _NO_CONNECTION):
                    raise LabelStudioError(self._reason(request, error)) from error
            else:
                if response.status_code < 500 or attempt == tries:
                    return response
                response.close()
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _follow(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        """Send a request, and follow redirects.

        Those of a GET may lead anywhere; to another scheme, host or port the new request goes without any
        header of the old one: httpx would leave out the token, but neither an API key nor a cookie. Other
        methods are followed on the same host and unchanged only: one such body is the personal access token.
        """
        current = request
        for _ in range(MAX_REDIRECTS + 1):
            response = super().send(current, **{**options, "follow_redirects": False})
            if response.next_request is None:
                return response
            target, sent = response.next_request, current
            same = _origin(sent.url) == _origin(target.url)
            if sent.method != "GET" and (not same or target.method != sent.method):
                response.close()
                raise LabelStudioError(
                    f"{self.url} redirects {sent.method} {self._path(sent)} to {target.url.scheme}://"
                    f"{target.url.netloc.decode()}: if that is Label Studio, use that address.",
                    response.status_code,
                )
            response.close()
            extensions = {"timeout": request.extensions["timeout"]}
            headers = None if same else {"Accept": "application/json"}
            current = (
                target
                if headers is None
                else httpx.Request(target.method, target.url, headers=headers, extensions=extensions)
            )
        raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=request)

    def _path(self, request: httpx.Request) -> str:
        return request.url.path.removeprefix(urlsplit(self.url).path)

    def _reason(self, request: httpx.Request, error: Exception) -> str:
        """Return one sentence on why a request got no response."""
        where = f"{request.url.scheme}://{request.url.netloc.decode()}"
        if isinstance(error, httpx.ReadTimeout):
            seconds = request.extensions["timeout"]["read"]
            return f"{where} gave no answer to {request.url.path} within {seconds:g} seconds."
        if _is_about_certificates(error):
            return f"The certificate of {where} is not trusted: check it, or the scheme of the address."
        if isinstance(error, httpx.ProxyError):
            return f"The proxy {proxy_in_use(self.url)} refuses to connect to {where}: {error}."
        if isinstance(error, _NO_CONNECTION) and self._proxy is not None:
            return (
                f"Nothing answers at the proxy {proxy_in_use(self.url)}, which is used to reach {where}: "
                "is it the right one, and is it running? List hosts that need no proxy in NO_PROXY."
            )
        if isinstance(error, _NO_CONNECTION):
            return f"Nothing answers at {where}: is the address right, and is the server running?"
        return f"The request to {where}{request.url.path} failed: {error}."


def check_address(url: str) -> None:
    """Raise LabelStudioError for an invalid address of Label Studio."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise LabelStudioError(f'"{url}" is not the address of Label Studio: write it as http://host:8080.')


def _limits(url: str) -> httpx.Limits:
    """A connection for each request over plain HTTP; over TLS, where one takes long to open, they are kept.

    Label Studio's own server writes an answer in several small packets. On a connection that is kept, the
    system delays the acknowledgement that the second one waits for: 40 ms a request, of 55 to 70 in all.
    """
    return httpx.Limits(max_keepalive_connections=20 if urlsplit(url).scheme == "https" else 0)


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment sets for `url`, or None.

    Uses the rules of requests, which also fetches the images: httpx does not support networks in NO_PROXY
    (10.0.0.0/8).
    """
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def proxy_in_use(url: str) -> str | None:
    """Return the proxy used for `url`, and the variable that sets it, without any password; or None."""
    proxy = environment_proxy(url)
    if proxy is None:
        return None
    parts = urlsplit(proxy)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    names = (f"{urlsplit(url).scheme}_proxy", "all_proxy")
    found = [name for each in names for name in (each, each.upper()) if os.environ.get(name)]
    return f"{place} ({found[0]})" if found else place


CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the trusted certificates, for all clients; the first that is set counts."""


def certificate_bundle() -> str | None:
    """Return the file or folder of the trusted certificates, if the environment names one."""
    return next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), None)


def trusted_certificates() -> ssl.SSLContext:
    """Return the trusted certificates: those that the environment names, else httpx's defaults."""
    return _certificates(certificate_bundle())


@cache
def _certificates(bundle: str | None) -> ssl.SSLContext:
    # Read once per process, since it takes 150 ms and each job creates a client.
    if bundle is None:
        return httpx.create_ssl_context()
    try:
        if os.path.isdir(bundle):  # noqa: PTH112
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise LabelStudioError(
            f"{bundle}, set as {_variable_of(bundle)}, contains no certificates: {error}."
        ) from error


def _variable_of(bundle: str) -> str:
    return next((name for name in CERTIFICATES if os.environ.get(name) == bundle), CERTIFICATES[0])


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


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
    """Return the text of Label Studio's error body, at most 600 characters."""
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
