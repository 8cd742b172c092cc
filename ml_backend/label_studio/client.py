"""Label Studio as this service sees it: typed calls, each with a time-out, errors in one sentence."""

from __future__ import annotations

from typing import Any

from ml_backend.label_studio.assignments import Assignments
from ml_backend.label_studio.projects import Projects
from ml_backend.label_studio.survey import Survey
from ml_backend.label_studio.tasks import Annotation, LabelledTask, Task, Tasks
from ml_backend.label_studio.tokens import Credentials
from ml_backend.label_studio.transport import Transport

__all__ = ["Annotation", "LabelStudio", "LabelledTask", "Task"]


class LabelStudio(Projects, Tasks, Assignments, Survey):
    """One Label Studio under one token; safe to share between threads. All calls raise LabelStudioError.

    The calls are grouped by what they are about: `Projects`, `Tasks`, `Predictions`, `Assignments`, `Survey`
    and `DataManager`.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        """Take the address (a subpath is fine), a personal access or legacy token, and seconds per answer.

        Calls that Label Studio may need minutes for (imports, exports, deletions) have longer time-outs.
        """
        super().__init__(Transport(url, token, timeout=timeout))

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return self._http.base_url

    @property
    def credentials(self) -> Credentials:
        """What authorises requests to this Label Studio that do not go through this client."""
        return self._http.credentials

    def authorization(self) -> str:
        """Return the Authorization header that requests to this Label Studio carry now."""
        return self._http.credentials.header()

    def user(self) -> dict[str, Any]:
        """Return the token's owner: `id`, `email`, …."""
        return self._dict("GET", "/api/current-user/whoami")

    def version(self) -> str:
        """Return Label Studio's own version, e.g. "1.23.2"; works as a check of address and token as well."""
        self.user()
        return str(self._dict("GET", "/api/version")["release"])
