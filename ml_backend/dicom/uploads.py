"""Images and tasks that a project has or gets, each at most once, whatever interrupts the import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_backend.dicom.pseudonyms import FIELD, image_name, pseudonym_of
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.tasks import UPLOAD_FILES

UPLOAD_BYTES = 64 * 2**20
"""Images are uploaded together up to this size, unless a single one is larger."""


class Uploads:
    """The images of one import.

    Label Studio makes a task of an uploaded image, whose name is the pseudonym; the task's other data follows
    in a second request. So a task without it is what an interrupted import left, and is completed.

    Attributes:
        made: ids of the tasks that were made or completed.
    """

    def __init__(self, client: LabelStudio, project: int) -> None:
        """Read which images the project has.

        Raises:
            LabelStudioError: there is no such project, or it has no usable labeling config.
        """
        self._client, self._project = client, project
        try:
            self._key = parse(client.project(project)["label_config"]).data_key
        except LabelConfigError as error:
            raise LabelStudioError(
                f"Project {project} cannot take images yet: {error} "
                f"dsal connect --project {project} creates a labeling config where there is none."
            ) from error
        self._has: set[str] = set()
        self._begun: dict[str, int] = {}
        for task in client.tasks(project):
            if (name := pseudonym_of(task.data)) is None:
                continue
            if FIELD in task.data:
                self._has.add(name)
            else:
                self._begun[name] = task.id
        self._waiting: dict[str, tuple[bytes, Mapping[str, Any]]] = {}
        self.made: list[int] = []

    def has(self, name: str) -> bool:
        """Whether the project has this image, or gets it with the next upload."""
        return name in self._has or name in self._waiting

    def add(self, name: str, png: bytes, data: Mapping[str, Any]) -> None:
        """Upload an image with its task's data, now or together with the next ones."""
        if len(self._waiting) >= UPLOAD_FILES or self._bytes() + len(png) > UPLOAD_BYTES:
            self.send()
        self._waiting[name] = png, data

    def send(self) -> None:
        """Upload what waits."""
        files = {image_name(name): png for name, (png, _) in self._waiting.items() if name not in self._begun}
        uploaded = self._client.upload(self._project, files)
        tasks = {name: self._begun.get(name) or uploaded[image_name(name)] for name in self._waiting}
        present = self._client.task_data(self._project, list(tasks.values())) if tasks else {}
        for name, task in tasks.items():
            if task not in present:
                # Somebody has deleted it meanwhile.
                continue
            # Label Studio files some uploads under a provisional key.
            address = next(value for value in present[task].values() if image_name(name) in str(value))
            self._client.replace_task_data(task, {self._key: address, **self._waiting[name][1]})
            self.made.append(task)
            self._has.add(name)
        self._waiting.clear()

    def _bytes(self) -> int:
        return sum(len(png) for png, _ in self._waiting.values())
