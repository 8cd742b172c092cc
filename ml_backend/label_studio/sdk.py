"""The SDK's client on top of our HTTP client and tokens, and calls that the SDK has no method for."""

from __future__ import annotations

import json as encoder
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from label_studio_sdk.base_client import LabelStudioBase

from ml_backend.label_studio.decoding import decoded
from ml_backend.label_studio.http_client import HttpClient, trusted_certificates
from ml_backend.label_studio.tokens import Credentials, Tokens

if TYPE_CHECKING:
    from label_studio_sdk.core.http_response import HttpResponse
    from label_studio_sdk.core.request_options import RequestOptions

# `label_studio_sdk.client` adds features to this base class that we do not use, and imports pandas and lxml
# for them: 1.1 s and 64 MB in the web process, against 0.1 s and 3 MB for the base class.

_CALLED = (
    "annotations",
    "predictions",
    "projects",
    "projects.exports",
    "tasks",
    "users",
    "versions",
    "views",
)


class Transport:
    """The SDK's client of one Label Studio under one token; safe to share between threads."""

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        """Take the address (a subpath is fine), a PAT or legacy token, and the seconds a response may take.

        Raises LabelStudioError for an invalid address or token.
        """
        http = HttpClient(url, timeout=timeout)
        self.base_url = http.url
        self.sdk = LabelStudioBase(base_url=f"{http.url}/", api_key="", httpx_client=http, max_retries=0)
        wrapper = self.sdk._client_wrapper
        tokens = Tokens(http.url, token, wrapper)
        self.credentials: Credentials = tokens
        http.credentials = wrapper._tokens_client = tokens
        self._http = wrapper.httpx_client

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | None = None,
        files: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Send one request to `path` (relative to the address) and return its decoded JSON (None if empty).

        `data` is a body that is already encoded as JSON. Raises LabelStudioError.
        """
        if json is not None:
            data = encoder.dumps(json).encode()
        response = self._http.request(
            path,
            method=method,
            params=None if params is None else dict(params),
            content=data,
            files=None if files is None else dict(files),
            headers=None if data is None else {"Content-Type": "application/json"},
            request_options=within(timeout),
        )
        return decoded(response.content) if response.content else None


class Resource:
    """A group of calls that share one client."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport
        self._sdk = transport.sdk

    def _dict(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.call(method, path, **options)
        return answer


def preload() -> None:
    """Load what the first client and first calls of a process load (0.5 s), before worker processes fork."""
    trusted_certificates()
    for module in ("httpcore", *(f"label_studio_sdk.{group}.client" for group in _CALLED)):
        import_module(module)


def within(seconds: float | None) -> RequestOptions | None:
    """Return the SDK's request options for a time-out in seconds; None for the default."""
    return None if seconds is None else {"timeout": seconds}


def plain(answer: HttpResponse[Any]) -> dict[str, Any]:
    """Return the JSON object of a response, without the SDK's models.

    Those have many fields that exist only in the enterprise edition, and turn time stamps into objects that
    Label Studio does not accept back.
    """
    found: dict[str, Any] = decoded(answer.response.content)
    return found


def plain_list(answer: HttpResponse[Any]) -> list[dict[str, Any]]:
    """Return the JSON list of a response, without the SDK's models."""
    found: list[dict[str, Any]] = decoded(answer.response.content)
    return found
