"""HTTP to Label Studio: authorisation, time-outs, retries, and errors as sentences."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from ml_backend.label_studio.errors import LabelStudioError, refusal
from ml_backend.label_studio.tokens import Credentials, credentials

CONNECT_SECONDS = 5.0
RETRIES = 3
BACKOFF_SECONDS = 0.5


class Authorization(requests.auth.AuthBase):
    """Sets the header, or sees to it that there is none: without it requests would look into a .netrc."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header into the request, if there is one."""
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class Transport:
    """One Label Studio and one token; safe to share between threads.

    GETs are tried up to three times on connection errors and 5xx; nothing else is ever repeated, except once
    after a 401 whose cause was an expired access token (Label Studio did nothing in that case).
    """

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        """Take the address (a subpath is fine), a PAT or legacy token, and the seconds an answer may take."""
        check_address(url)
        self.base_url = url.rstrip("/")
        self.timeout = timeout
        self._local = threading.local()
        self.credentials: Credentials = credentials(token, self._refresh)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | None = None,
        files: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """Send one request to `path` (relative to the address) and return its decoded JSON (None if empty).

        `data` is a body that is JSON already. Raises LabelStudioError.
        """
        headers = {"Content-Type": "application/json"} if data is not None else None
        response = self._authorised(
            method, path, params=params, json=json, data=data, files=files, headers=headers, timeout=timeout
        )
        if not response.content:
            return None
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise LabelStudioError(
                f"{self.base_url} answers {method} {path} with something other than JSON: is it really the "
                "address of Label Studio, subpath included?",
                response.status_code,
            ) from None

    def stream(self, path: str, *, params: Mapping[str, Any], timeout: float) -> requests.Response:
        """GET `path` and return the response with its body still unread; the caller closes it."""
        return self._authorised("GET", path, params=params, timeout=timeout, stream=True)

    def _authorised(self, method: str, path: str, **options: Any) -> requests.Response:
        address = path if path.startswith(("http://", "https://")) else f"{self.base_url}/{path.lstrip('/')}"
        header = self.credentials.header()
        response = self._send(method, address, header, **options)
        if response.status_code == 401 and self.credentials.renew(header):
            response.close()
            response = self._send(method, address, self.credentials.header(), **options)
        if response.status_code >= 400:
            shown = address.removeprefix(self.base_url)
            detail = _detail(response)
            response.close()
            raise refusal(response.status_code, method, shown, self.base_url, detail)
        return response

    def _send(self, method: str, address: str, header: str | None, **options: Any) -> requests.Response:
        seconds = options.pop("timeout", None) or self.timeout
        attempts = RETRIES if method == "GET" else 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._session().request(
                    method,
                    address,
                    auth=Authorization(header),
                    timeout=(CONNECT_SECONDS, seconds),
                    **options,
                )
            except requests.RequestException as error:
                if attempt == attempts or not isinstance(error, requests.ConnectionError):
                    raise LabelStudioError(unreachable(address, seconds, error)) from error
            else:
                if response.status_code < 500 or attempt == attempts:
                    return response
                response.close()
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _refresh(self, token: str) -> str:
        """Buy an access token; sent as a plain POST because it needs no Authorization."""
        address = f"{self.base_url}/api/token/refresh/"
        response = self._send("POST", address, None, json={"refresh": token})
        if response.status_code != 200:
            raise refusal(
                response.status_code, "POST", "/api/token/refresh/", self.base_url, _detail(response)
            )
        return str(response.json()["access"])

    def _session(self) -> requests.Session:
        # requests does not promise that a session may be shared between threads.
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
        return session


def check_address(url: str) -> None:
    """Raise LabelStudioError for what cannot be an address of Label Studio."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise LabelStudioError(f'"{url}" is no address of Label Studio: write it as http://host:8080.')


def unreachable(address: str, seconds: float, error: requests.RequestException) -> str:
    """Return one sentence on why a request got no answer within `seconds`."""
    parts = urlsplit(address)
    where = f"{parts.scheme}://{parts.netloc}"
    if isinstance(error, requests.ReadTimeout):
        return f"{where} gave no answer to {parts.path} within {seconds:g} seconds."
    if isinstance(error, requests.exceptions.SSLError):
        return f"The certificate of {where} is not trusted: check it, or the scheme of the address."
    if isinstance(error, requests.ConnectionError):
        return f"Nothing answers at {where}: is the address right, and is the server running?"
    return f"The request to {where}{parts.path} failed: {error}."


def _detail(response: requests.Response) -> str:
    """Return what Label Studio's error body says, in at most 600 characters."""
    try:
        body = response.json()
    except (requests.JSONDecodeError, requests.RequestException):
        return ""
    if not isinstance(body, dict):
        return str(body)[:600]
    errors = body.get("validation_errors")
    return str(errors or body.get("detail") or body)[:600]
