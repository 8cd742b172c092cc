"""The two kinds of Label Studio tokens, and the header each of them turns into.

A personal access token (PAT) is a refresh JWT: it buys access tokens that live 300 seconds.
A legacy token is 40 hexadecimal digits and goes into the header as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol

import jwt

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


class LegacyToken:
    """A token that does not change: `Authorization: Token …`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def header(self) -> str:
        """Return the header value."""
        return f"Token {self._token}"

    def renew(self, refused: str) -> bool:  # noqa: ARG002
        """Return False: there is nothing to renew."""
        return False


class PersonalAccessToken:
    """A refresh JWT and the access token it last bought; safe to share between threads.

    `refresh` takes the PAT and returns a new access token, or raises LabelStudioError.
    """

    def __init__(self, token: str, refresh: Callable[[str], str]) -> None:
        self._token = token
        self._refresh = refresh
        self._lock = threading.Lock()
        self._access = ""
        self._renew_at = 0.0

    def header(self) -> str:
        """Return `Bearer …` with an access token that is good for at least the leeway."""
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._buy()
            return f"Bearer {self._access}"

    def renew(self, refused: str) -> bool:
        """Make sure that the next header differs from `refused`; always worth one more try."""
        with self._lock:
            # Another thread may have renewed it while this one waited for its 401.
            if refused == f"Bearer {self._access}":
                self._renew_at = 0.0
        return True

    def _buy(self) -> None:
        asked = time.monotonic()
        self._access = self._refresh(self._token)
        lifetime = _lifetime(self._access)
        # Counted from our own clock: the server's may be minutes away from ours.
        self._renew_at = asked + lifetime - min(LEEWAY_SECONDS, lifetime / 2)


def credentials(token: str, refresh: Callable[[str], str]) -> Credentials:
    """Return credentials for `token`, whichever kind it is.

    Raises LabelStudioError for an empty token, and for an access token, which would soon stop working.
    """
    token = token.strip()
    if not token:
        raise LabelStudioError("The Label Studio token is empty: set LABEL_STUDIO_API_KEY or pass --token.")
    kind = kind_of(token)
    if kind == "access":
        raise LabelStudioError(
            "This is an access token, which expires within minutes: use the personal access token instead."
        )
    return PersonalAccessToken(token, refresh) if kind == "personal" else LegacyToken(token)


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
