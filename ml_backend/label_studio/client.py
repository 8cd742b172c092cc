"""A typed Label Studio client: every call has a time-out and raises one-sentence errors."""

from __future__ import annotations

from typing import Any

from ml_backend.label_studio.assignments import Assignments
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.http_client import HttpClient
from ml_backend.label_studio.projects import Projects
from ml_backend.label_studio.sdk import Transport, plain
from ml_backend.label_studio.survey import Survey
from ml_backend.label_studio.tasks import AnnotatedTask, Annotation, Task, Tasks
from ml_backend.label_studio.tokens import Credentials

__all__ = ["TESTED", "AnnotatedTask", "Annotation", "LabelStudio", "Task", "release"]

TESTED = "1.23.2"
"""The Label Studio release that this service is developed and tested with."""


class LabelStudio(Projects, Tasks, Assignments, Survey):
    """One Label Studio under one token; safe to share between threads. All calls raise LabelStudioError.

    The calls are grouped by subject: `Projects`, `Tasks`, `Predictions`, `Assignments`, `Survey` and
    `DataManager`. They use the SDK, except for calls that it lacks or that measured slow in it.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        """Take the address (a subpath is fine), a personal access or legacy token, and seconds per response.

        Calls that may take minutes (imports, exports, deletions) have longer time-outs.
        """
        super().__init__(Transport(url, token, timeout=timeout))

    @property
    def url(self) -> str:
        """The address, without trailing slash."""
        return self._http.base_url

    @property
    def credentials(self) -> Credentials:
        """Credentials for requests to this Label Studio that do not go through this client."""
        return self._http.credentials

    def authorization(self) -> str:
        """Return the current Authorization header for requests to this Label Studio."""
        return self._http.credentials.header()

    def user(self) -> dict[str, Any]:
        """Return the token's owner: `id`, `email`, …."""
        return plain(self._sdk.users.with_raw_response.whoami())

    def version(self) -> str:
        """Return Label Studio's release, e.g. "1.23.2"; also verifies the address and the token."""
        self.user()
        return str(self._sdk.versions.get().release)


def release(url: str, *, timeout: float = 10.0) -> str:
    """Return the release of the Label Studio at `url`, e.g. "1.23.2"; needs no token.

    Raises LabelStudioError if nothing answers there, or something other than Label Studio does.
    """
    status, found = 200, None
    with HttpClient(url, timeout=timeout) as http:
        try:
            found = http.get(f"{http.url}/api/version").json()
        except ValueError:
            pass
        except LabelStudioError as error:
            if error.status is None:
                raise
            status = error.status
    named = found.get("release") if isinstance(found, dict) else None
    if not named:
        raise LabelStudioError(
            f"What answers at {url} is not Label Studio: is a subpath or another port missing?", status
        )
    return str(named)
