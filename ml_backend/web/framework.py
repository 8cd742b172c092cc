"""A door for users of the framework `label_studio_ml` 2.x, who run `label-studio-ml start`.

Their `model.py` has three lines (docs/operations.md):

    from ml_backend.framework import model_class
    from ml_backend.settings import Settings

    DsalModel = model_class(Settings())

Predictions are the published version's; events go into our inbox, whose jobs `dsal worker` does. The
framework passes fewer kinds of events on than Label Studio sends, and has no /versions: the whole service is
`dsal serve`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ml_backend.settings import Settings
from ml_backend.web.app import Services
from ml_backend.web.inbox import Inbox
from ml_backend.web.payloads import Event, explain
from ml_backend.web.predict import Answering, Answers
from ml_backend.web.setup import CallLog, serving_version
from ml_backend.web.webhook import KNOWN_ACTIONS, arrival_of

if TYPE_CHECKING:
    from label_studio_ml.model import LabelStudioMLBase

logger = logging.getLogger(__name__)


class FrameworkMissingError(ImportError):
    """The framework is not installed; the sentence says how to install it."""


@dataclass(frozen=True)
class _Opened:
    """What stands behind the door."""

    services: Services
    inbox: Inbox
    answering: Answering
    calls: CallLog


class Door:
    """What all model objects of one process share, as the framework makes one for each request.

    It opens on first use: a server that loads the application and then forks shares no connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def version(self, project_id: int, label_config: str) -> str:
        """Name of the version that serves the project, which becomes known by this."""
        behind = self._open()
        services = behind.services
        name = serving_version(self._settings, services.database, services.queues, project_id, label_config)
        behind.calls.note(project_id)
        return name

    def predict(self, tasks: Sequence[dict[str, Any]], project_id: int) -> Answers:
        """One list a task, in their order: a prediction, or nothing where it is left to a job."""
        deadline = time.monotonic() + self._settings.predict_seconds
        return self._open().answering.answer(tasks, project_id, deadline)

    def take(self, action: str, data: Mapping[str, Any]) -> bool:
        """Note an event, which the framework has parted from its action; False if it is of no use here."""
        if action not in KNOWN_ACTIONS:
            return False
        try:
            event = Event.model_validate({**data, "action": action})
        except ValidationError as error:
            logger.warning("An event %s was not understood: %s", action, explain(error))
            return False
        self._open().inbox.take(arrival_of(event))
        return True

    def close(self) -> None:
        """Wait until the jobs of all events so far were asked for, and close the database."""
        if self._opened is not None:
            self._opened.inbox.settle()
            self._opened.services.database.close()

    def _open(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                services = Services.open(self._settings)
                database, queues = services.database, services.queues
                self._opened = _Opened(
                    services,
                    Inbox(self._settings, database, queues),
                    Answering(self._settings, database, queues),
                    CallLog(database),
                )
            return self._opened


def model_class(settings: Settings) -> type[LabelStudioMLBase]:
    """The class to hand to the framework's `init_app`; all its objects in a process share one door.

    Raises:
        FrameworkMissingError: `label_studio_ml` 2.x is not installed.
    """
    try:
        from label_studio_ml.model import LabelStudioMLBase
    except ImportError as error:
        raise FrameworkMissingError(
            "The framework label_studio_ml cannot be imported: install it as requirements-framework.txt says."
        ) from error
    door = Door(settings)

    class DsalModel(LabelStudioMLBase):
        """Deeply supervised active learning behind the framework's routes."""

        def setup(self) -> None:
            """Name the version that serves; the framework calls this for each object it makes."""
            if self.project_id:
                self.set("model_version", door.version(int(self.project_id), self.label_config or ""))

        def set_extra_params(self, extra_params: Any) -> None:
            """Take none: the framework stores text only, and would fail on Label Studio's JSON."""

        def predict(
            self,
            tasks: list[dict[str, Any]],
            context: dict[str, Any] | None = None,  # noqa: ARG002
            **_kwargs: Any,
        ) -> Answers:
            """One list a task; plain ones, as a ModelResponse checks and copies each number of each mask."""
            return door.predict(tasks, int(self.project_id))

        def fit(self, event: str, data: dict[str, Any], **_kwargs: Any) -> dict[str, str]:
            """Note the event and return at once: whether to train is decided, and done, by a worker."""
            return {"status": "accepted" if door.take(event, data) else "ignored"}

    return DsalModel
