"""The two kinds of Label Studio tokens and their Authorization headers.

A personal access token (PAT) is a refresh JWT, exchanged for access tokens that live 300 seconds.
A legacy token is 40 hexadecimal digits, sent in the header unchanged.
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
"""An access token is renewed this long before it expires, so that it stays valid during a slow request."""


Kind = Literal["empty", "personal", "access", "legacy"]


class Credentials(Protocol):
    """Provides the Authorization header of a request."""

    def header(self) -> str:
        """Return the value of the Authorization header, fetching a fresh access token if needed."""

    def renew(self, refused: str) -> bool:
        """Record that Label Studio answered the header `refused` with 401; return whether to retry."""


class Tokens(TokensClientExt):
    """The SDK's token handling plus a leeway, this machine's monotonic clock, and renewal after a refusal.

    Safe to share between threads. `header` may fetch an access token and raises LabelStudioError.
    """

    def __init__(self, url: str, token: str, client_wrapper: SyncClientWrapper) -> None:
        """Take the address without trailing slash, either kind of token, and the SDK's HTTP wrapper.

        Raises LabelStudioError for an empty token, and for an access token, which expires within minutes.
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
        """The legacy token, or an access token that stays valid for at least the leeway."""
        if self._use_legacy_token:
            return self._api_key
        with self._token_refresh_lock:
            if time.monotonic() >= self._renew_at:
                requested_at = time.monotonic()
                self._access_token = str(self.refresh().access)
                lifetime = _lifetime(self._access_token)
                # Measured on our own clock: the server's may differ by minutes.
                self._renew_at = requested_at + lifetime - min(LEEWAY_SECONDS, lifetime / 2)
            return str(self._access_token)

    def header(self) -> str:
        """Return the value of the Authorization header."""
        return f"{'Token' if self._use_legacy_token else 'Bearer'} {self.api_key}"

    def renew(self, refused: str) -> bool:
        """Renew the access token if it is still `refused`; return False for a legacy token."""
        if self._use_legacy_token:
            return False
        with self._token_refresh_lock:
            # Another thread may already have renewed it.
            if refused == f"Bearer {self._access_token}":
                self._renew_at = 0.0
        return True

    def _is_valid_jwt_token(self, token: str, raise_if_expired: bool = False) -> bool:  # noqa: ARG002
        # The SDK checks expiry against this machine's clock; leave that check to Label Studio.
        return kind_of(token) == "personal"


def kind_of(token: str) -> Kind:
    """Return the kind of a token, judged by its format; anything that is not a JWT counts as legacy."""
    if not token.strip():
        return "empty"
    kinds: dict[object, Kind] = {"refresh": "personal", "access": "access"}
    return kinds.get(_claims(token.strip()).get("token_type"), "legacy")


def expiry_of(token: str) -> datetime | None:
    """Return when a personal access token expires; None if it has no `exp` claim."""
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
