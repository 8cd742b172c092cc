"""The two kinds of Label Studio tokens, and the header each of them turns into.

A personal access token (PAT) is a refresh JWT: it buys access tokens that live 300 seconds.
A legacy token is 40 hexadecimal digits and goes into the header as it is.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal, Protocol

import jwt
from label_studio_sdk.core.client_wrapper import SyncClientWrapper
from label_studio_sdk.tokens.client_ext import TokensClientExt

from ml_backend.label_studio.errors import LabelStudioError

LEEWAY_SECONDS = 60.0
"""An access token is renewed this long before it expires, so that no slow request outlives it."""


Kind = Literal["empty", "personal", "access", "legacy"]


class Credentials(Protocol):
    """Gives the Authorization header of a request."""

    def header(self) -> str:
        """Return the value of the Authorization header, fetching a fresh access token if needed."""

    def renew(self, refused: str) -> bool:
        """Note that the header `refused` was answered with 401; return whether another try makes sense."""


class Tokens(TokensClientExt):
    """The SDK's tokens, with what they lack: a leeway, our own clock, and a way to say that one was refused.

    Safe to share between threads. Asking for a header may fetch an access token, and raises LabelStudioError.
    """

    def __init__(self, url: str, token: str, client_wrapper: SyncClientWrapper) -> None:
        """Take the address without a slash at its end, either kind of token, and the SDK's way to send.

        Raises LabelStudioError for an empty token, and for an access token, which would soon stop working.
        """
        token = token.strip()
        kind = kind_of(token)
        if kind == "empty":
            raise LabelStudioError(
                "The Label Studio token is empty: set LABEL_STUDIO_API_KEY or pass --token."
            )
        if kind == "access":
            raise LabelStudioError(
                "This is an access token, which expires within minutes: use the personal access token "
                "instead."
            )
        super().__init__(f"{url}/", token, client_wrapper)
        self._renew_at = 0.0

    @property
    def api_key(self) -> str:
        """The legacy token, or an access token that is good for at least the leeway."""
        if self._use_legacy_token:
            return self._api_key
        with self._token_refresh_lock:
            if time.monotonic() >= self._renew_at:
                asked = time.monotonic()
                self._access_token = str(self.refresh().access)
                lifetime = _lifetime(self._access_token)
                # Counted from our own clock: the server's may be minutes away from ours.
                self._renew_at = asked + lifetime - min(LEEWAY_SECONDS, lifetime / 2)
            return str(self._access_token)

    def header(self) -> str:
        """Return the value of the Authorization header."""
        return f"{'Token' if self._use_legacy_token else 'Bearer'} {self.api_key}"

    def renew(self, refused: str) -> bool:
        """Make sure that the next header differs from `refused`; False for a legacy token, which cannot."""
        if self._use_legacy_token:
            return False
        with self._token_refresh_lock:
            # Another thread may have renewed it while this one waited for its 401.
            if refused == f"Bearer {self._access_token}":
                self._renew_at = 0.0
        return True

    def _is_valid_jwt_token(self, token: str, raise_if_expired: bool = False) -> bool:  # noqa: ARG002
        # The SDK compares expiry with this machine's clock; whether a token is too old, Label Studio says.
        return kind_of(token) == "personal"


def kind_of(token: str) -> Kind:
    """Return what kind of token this is by its looks; what is no JWT can only be a legacy one."""
    if not token.strip():
        return "empty"
    kinds: dict[object, Kind] = {"refresh": "personal", "access": "access"}
    return kinds.get(_claims(token.strip()).get("token_type"), "legacy")


def expiry_of(token: str) -> datetime | None:
    """Return the moment at which a personal access token expires; None where it names none."""
    expires = _claims(token.strip()).get("exp")
    return datetime.fromtimestamp(expires, UTC) if isinstance(expires, int) else None


def _claims(token: str) -> dict[str, object]:
    try:
        claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims


def _lifetime(access: str) -> float:
    claims = _claims(access)
    expires, issued = claims.get("exp"), claims.get("iat")
    if isinstance(expires, int) and isinstance(issued, int) and expires > issued:
        return float(expires - issued)
    return 300.0
