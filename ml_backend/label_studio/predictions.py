"""Predictions: written in bulk, counted, and deleted by version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .data_manager import DataManager
from .errors import LabelStudioError, PredictionsRefusedError

BODY_BYTES = 64 * 1024 * 1024
"""Largest body sent, one prediction excepted; few large bodies are twice as quick as many small ones."""

BODY_PREDICTIONS = 500
"""Label Studio checks and stores this many at a time: a larger body that is refused could be half stored."""

IMPORT_SECONDS = 300.0
DELETE_SECONDS = 1800.0


@dataclass(frozen=True)
class Imported:
    """What became of an import: predictions stored, and ids of tasks that no longer exist."""

    created: int
    missing: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Encoded:
    task: int
    body: bytes


class Predictions(DataManager):
    """Calls about predictions. All raise LabelStudioError."""

    def import_predictions(self, project: int, predictions: Iterable[Mapping[str, Any]]) -> Imported:
        """Store predictions, each {"task", "result", "score", "model_version"}, and see that all are stored.

        Predictions of tasks deleted meanwhile are left out and reported. Label Studio de-duplicates nothing:
        ask `predictions_of` before repeating an import. Raises PredictionsRefusedError when fewer are stored
        than were sent.
        """
        created = 0
        missing: list[int] = []
        for part in _bodies(predictions):
            outcome = self._import(project, part)
            created += outcome.created
            missing += outcome.missing
        return Imported(created, tuple(missing))

    def _import(self, project: int, part: Sequence[_Encoded]) -> Imported:
        try:
            return Imported(self._post(project, part))
        except LabelStudioError as error:
            if error.status != 400:
                raise
            # One unknown task makes Label Studio refuse all; any other cause is for the caller.
            present = self.existing(project, sorted({each.task for each in part}))
            missing = tuple(sorted({each.task for each in part} - present))
            if not missing:
                raise
        kept = [each for each in part if each.task in present]
        return Imported(self._post(project, kept) if kept else 0, missing)

    def _post(self, project: int, part: Sequence[_Encoded]) -> int:
        body = b"[" + b",".join(each.body for each in part) + b"]"
        path = f"/api/projects/{project}/import/predictions"
        answer = self._dict("POST", path, data=body, timeout=IMPORT_SECONDS)
        if answer["created"] != len(part):
            raise PredictionsRefusedError(len(part), answer["created"])
        return len(part)

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """Return the predictions of one task, of all versions, masks included."""
        return self._list("GET", "/api/predictions/", params={"task": task})

    def model_versions(self, project: int) -> dict[str, int]:
        """Return {version: number of predictions} of the project."""
        return {
            str(k): int(v) for k, v in self._dict("GET", f"/api/projects/{project}/model-versions/").items()
        }

    def delete_model_version(self, project: int, version: str) -> None:
        """Delete all predictions of a version (about 12 ms each); a version without any is fine."""
        path = f"/api/projects/{project}/model-versions/"
        self._http.call("DELETE", path, json={"model_version": version}, timeout=DELETE_SECONDS)


def _bodies(predictions: Iterable[Mapping[str, Any]]) -> Iterator[list[_Encoded]]:
    part: list[_Encoded] = []
    size = 0
    for prediction in predictions:
        encoded = _Encoded(prediction["task"], json.dumps(prediction, separators=(",", ":")).encode())
        if part and (size + len(encoded.body) > BODY_BYTES or len(part) == BODY_PREDICTIONS):
            yield part
            part, size = [], 0
        part.append(encoded)
        size += len(encoded.body)
    if part:
        yield part
