"""Errors between this service and Label Studio, with messages a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ml_backend.items import OutsideFault

FAILED = 500
"""HTTP status of a program that met something it did not foresee."""

GONE = 404
"""HTTP status for something that was deleted or that the token's owner may not see."""


_OF_THE_REQUEST = frozenset({400, GONE, 405, 409, 410, 413, 414, 415, 422})
"""HTTP statuses that say something about what was asked for; others are the fault of server or token."""


class LabelStudioError(OutsideFault, Exception):
    """Label Studio was unreachable or refused a request. `str(error)` is one sentence that says what to do.

    `status` is the HTTP status of the response (None without one), `detail` Label Studio's error text.
    """

    def __init__(self, message: str, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail

    @property
    def is_outside(self) -> bool:
        """Whether another request would fail as well: Label Studio is away or failing, or refuses the token.

        Then the fault passes, or ends when somebody corrects the token, and the job is worth a new try.
        """
        return self.status not in _OF_THE_REQUEST


class PredictionsRefusedError(LabelStudioError):
    """Label Studio stored fewer predictions than were sent: it drops invalid ones and still answers 201."""

    def __init__(self, sent: int, created: int) -> None:
        super().__init__(
            f"Label Studio stored {created} of {sent} predictions and silently dropped the others: "
            "check that scores are in [0, 1] and that labels and tags match the labeling config."
        )
        self.sent = sent
        self.created = created


def refusal(status: int, method: str, path: str, base_url: str, detail: str) -> LabelStudioError:
    """Return the error for an HTTP response with status 400 or above.

    `detail` is Label Studio's error text (may be empty); `path` is relative to `base_url`.
    """
    return LabelStudioError(_sentence(status, method, path, base_url, detail), status, detail)


def _sentence(status: int, method: str, path: str, base_url: str, detail: str) -> str:
    quoted = f' It says: "{detail}"' if detail else ""
    if status == 401:
        return (
            f"Label Studio at {base_url} refuses the token: create a personal access token under "
            "Account & Settings, or, if this is a legacy token, allow legacy tokens for the organisation."
            + quoted
        )
    if status == 403:
        return f"Label Studio forbids {method} {path}: the token's owner lacks permission.{quoted}"
    if status == 404:
        resource = _resource(path)
        if resource is None:
            return f"There is no {path} at {base_url}: is it the address of Label Studio, subpath included?"
        return f"{resource} does not exist at {base_url}, or the token's owner cannot see it."
    if status >= 500:
        return f"Label Studio failed on {method} {path} (HTTP {status}): check its log.{quoted}"
    return f"Label Studio refuses {method} {path} (HTTP {status}).{quoted}"


def _resource(path: str) -> str | None:
    """Return the resource that a path addresses, e.g. "Task 7"; None if it addresses no single resource."""
    parts: Sequence[str] = path.split("?")[0].strip("/").split("/")
    names = {
        "projects": "Project",
        "tasks": "Task",
        "webhooks": "Webhook",
        "ml": "ML backend",
        "views": "View",
    }
    for kind, number in pairwise(parts):
        if kind in names and number.isdigit():
            return f"{names[kind]} {number}"
    return None
