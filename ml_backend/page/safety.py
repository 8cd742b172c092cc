"""What keeps the page from being misused by other sites: its headers, and proof that an action comes from it.

A browser sends the password by itself, so a form on another site could publish a version. Each browser says
with a request from where it comes, in a header that no page can set: `Sec-Fetch-Site`, or in older ones
`Origin`. What is not a browser, such as curl, sends neither and must give the password itself. The API takes
only JSON, which old browsers do not send to another site without asking it first.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request, Response, request
from werkzeug.exceptions import Forbidden, NotFound

from ml_backend.page.openapi import LARGEST_ID

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from elsewhere, and nothing that is written into the page itself."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def refuse_other_sites() -> None:
    """Refuse a request that changes something and comes from a page of another site.

    Raises:
        Forbidden: it does.
    """
    if request.method not in SAFE_METHODS and not comes_from_here(request):
        raise Forbidden("This comes from a page of another site.")


def refuse_impossible_numbers() -> None:
    """Refuse ids that no database can hold, before it is asked for them.

    Raises:
        NotFound: there can be nothing of this number.
    """
    numbers = [value for value in (request.view_args or {}).values() if isinstance(value, int)]
    if any(number > LARGEST_ID for number in numbers):
        raise NotFound("There is nothing of this number.")


def comes_from_here(asked: Request) -> bool:
    """Whether a request comes from a page of this service, the address bar, or no browser at all."""
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = asked.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == asked.host


def add_headers(response: Response) -> Response:
    """Add the headers of every page: the policy, no sniffing, no referrer, nothing kept by proxies."""
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def person() -> str:
    """Who sends the request: the user name that came with it, or the address if there is no password."""
    given = request.authorization
    name = "" if given is None else "".join(filter(str.isprintable, given.username or ""))
    return name or f"somebody at {request.remote_addr}"
