"""What can go wrong between this service and Label Studio, in sentences a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

GONE = 404
"""Status for what was deleted, or what the token's owner may not see."""


class LabelStudioError(Exception):
    """Label Studio could not be reached, or refused. `str(error)` is one sentence that says what to do.

    `status` is the HTTP status of Label Studio's answer (None when there was none), `detail` its own words.
    """

    def __init__(self, message: str, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class PredictionsRefusedError(LabelStudioError):
    """Label Studio stored fewer predictions than it was sent: it drops invalid ones and still answers 201."""

    def __init__(self, sent: int, created: int) -> None:
        super().__init__(
            f"Label Studio stored {created} of {sent} predictions and dropped the others without a word: "
            "check that the scores lie in [0, 1] and that labels and tags are those of the labeling config."
        )
        self.sent = sent
        self.created = created


def refusal(status: int, method: str, path: str, base_url: str, detail: str) -> LabelStudioError:
    """Return the error for an HTTP answer of 400 or above.

    `detail` is what Label Studio said (may be empty); `path` is relative to `base_url`.
    """
    return LabelStudioError(_sentence(status, method, path, base_url, detail), status, detail)


def _sentence(status: int, method: str, path: str, base_url: str, detail: str) -> str:
    said = f' It says: "{detail}"' if detail else ""
    if status == 401:
        return (
            f"Label Studio at {base_url} refuses the token: create a personal access token under "
            "Account & Settings, or allow legacy tokens for the organisation if this is one." + said
        )
    if status == 403:
        return f"Label Studio forbids {method} {path}: the token's owner lacks the right.{said}"
    if status == 404:
        thing = _thing(path)
        if thing is None:
            return f"There is no {path} at {base_url}: is it the address of Label Studio, subpath included?"
        return f"{thing} does not exist at {base_url}, or the token's owner cannot see it."
    if status >= 500:
        return f"Label Studio failed on {method} {path} (HTTP {status}): look into its log.{said}"
    return f"Label Studio refuses {method} {path} (HTTP {status}).{said}"


def _thing(path: str) -> str | None:
    """Return what a path is about, e.g. "Task 7"; None if it names no single thing."""
    parts: Sequence[str] = path.split("?")[0].strip("/").split("/")
    nouns = {
        "projects": "Project",
        "tasks": "Task",
        "webhooks": "Webhook",
        "ml": "ML backend",
        "views": "View",
    }
    for kind, number in pairwise(parts):
        if kind in nouns and number.isdigit():
            return f"{nouns[kind]} {number}"
    return None
