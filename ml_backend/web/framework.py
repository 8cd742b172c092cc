"""Adapter for the framework `label_studio_ml` 2.x, whose users run `label-studio-ml start`.

Their `dsal_model.py` has three lines (docs/operations.md says what to do with it):

    from ml_backend.settings import Settings
    from ml_backend.web.framework import model_class

    DsalModel = model_class(Settings())

The file must not be called `model.py`: the framework puts its folder first on Python's path, where it would
hide our package `model`.

Predictions come from the published version; events go into our inbox, and `dsal worker` runs their jobs. The
framework passes on fewer kinds of events than Label Studio sends, and has no /versions: the whole service is
`dsal serve`.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ml_backend.settings import Settings
from ml_backend.web.app import Services
from ml_backend.web.inbox import Inbox
from ml_backend.web.payloads import EventCall, ProjectId, explain
from ml_backend.web.predict import Answering, Answers
from ml_backend.web.setup import CallLog, serving_version
from ml_backend.web.webhook import KNOWN_ACTIONS, arrival_of

if TYPE_CHECKING:
    from label_studio_ml.model import LabelStudioMLBase

logger = logging.getLogger(__name__)


_PROJECT_ID: TypeAdapter[int] = TypeAdapter(ProjectId)
_XML_DECLARATION = re.compile(r"\A\ufeff?\s*<\?xml\s[^>]*\?>")


class FrameworkMissingError(ImportError):
    """The framework, or a module it imports, is missing; the sentence names it and says what to install."""


def project_number(name: str) -> int | None:
    """Label Studio's id of the project that a call names; None if it names none.

    The framework passes on a project that a call leaves out as "None", and an empty one as "".
    """
    try:
        return _PROJECT_ID.validate_python(name)
    except ValidationError:
        return None


def without_declaration(label_config: str) -> str:
    """The labeling config without an XML declaration, whose encoding the framework's parser refuses."""
    return _XML_DECLARATION.sub("", label_config).strip()


@dataclass(frozen=True)
class _Opened:
    """The resources that a `Adapter` opens on first use."""

    services: Services
    inbox: Inbox
    answering: Answering
    calls: CallLog


class Adapter:
    """What all model objects of one process share, as the framework makes one for each request.

    It opens on first use: a server that loads the application and then forks shares no connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def version(self, project_id: int, label_config: str) -> str:
        """Name of the version that serves the project; the call also registers the project."""
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
        """Record an event and its action, which the framework passes separately; False if it is ignored."""
        if action not in KNOWN_ACTIONS:
            return False
        try:
            event = EventCall.model_validate({**data, "action": action})
        except ValidationError as error:
            logger.warning("An event %s was not understood: %s", action, explain(error))
            return False
        self._open().inbox.take(arrival_of(event))
        return True

    def close(self) -> None:
        """Wait until the jobs of all events so far were requested, and close the database."""
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
    """The class to hand to the framework's `init_app`; all its objects in a process share one adapter.

    Raises:
        FrameworkMissingError: `label_studio_ml` 2.x, or a module that it imports, is not installed.
    """
    try:
        from label_studio_ml.model import LabelStudioMLBase
    except ImportError as error:
        raise FrameworkMissingError(
            f"The framework label_studio_ml cannot be imported ({error}): follow "
            "requirements-framework.txt to install it.",
            name=error.name,
        ) from error
    adapter = Adapter(settings)

    class DsalModel(LabelStudioMLBase):
        """Deeply supervised active learning behind the framework's routes.

        The framework makes one object for each request.
        """

        sent_config = ""
        """The labeling config exactly as the request sent it; empty if it sent none."""

        def use_label_config(self, label_config: str) -> None:
            """Keep the labeling config as it was sent, and let the framework parse what it can parse.

            The framework's own copy is no substitute for `sent_config`: without the declaration it would
            differ from what events say, and every difference makes a project new.
            """
            self.sent_config = label_config
            if bare := without_declaration(label_config):
                super().use_label_config(bare)

        def setup(self) -> None:
            """Name the version that serves; the framework calls this for each object it makes."""
            project_id = project_number(self.project_id)
            if project_id is not None:
                self.set("model_version", adapter.version(project_id, self.sent_config))

        def set_extra_params(self, extra_params: Any) -> None:
            """Ignore them: the framework stores text only, and would fail on Label Studio's JSON."""

        def predict(
            self,
            tasks: list[dict[str, Any]],
            context: dict[str, Any] | None = None,  # noqa: ARG002
            **_kwargs: Any,
        ) -> Answers:
            """One plain list per task: a ModelResponse would check and copy every number of every mask."""
            project_id = project_number(self.project_id)
            if project_id is None:
                logger.warning("A call of /predict names no project: its tasks get no predictions.")
                return [[] for _ in tasks]
            return adapter.predict(tasks, project_id)

        def fit(self, event: str, data: dict[str, Any], **_kwargs: Any) -> dict[str, str]:
            """Record the event and return at once; a worker decides whether to train, and trains."""
            return {"status": "accepted" if adapter.take(event, data) else "ignored"}

    return DsalModel
