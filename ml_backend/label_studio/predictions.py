"""Predictions: import in bulk, count, and delete by version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.label_studio.data_manager import UNLABELLED, DataManager
from ml_backend.label_studio.errors import LabelStudioError, PredictionsRefusedError
from ml_backend.label_studio.one_item import change_one, read_one
from ml_backend.label_studio.sdk import plain_list

BODY_BYTES = 64 * 1024 * 1024
"""Maximum size of a request body; only a body with a single prediction may exceed it.

A few large bodies are far faster than many small ones: after each, Label Studio recounts the predictions of
all tasks of the project (measured: 0.7 ms per task of the project, whatever the body's size).
"""

IMPORT_SECONDS = 300.0
DELETE_SECONDS = 1800.0


@dataclass(frozen=True)
class Imported:
    """The outcome of an import: number of predictions stored, and ids of tasks that no longer exist."""

    created: int
    missing: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Encoded:
    task: int
    version: str
    body: bytes


class Predictions(DataManager):
    """Calls about predictions. All raise LabelStudioError; those about one task or prediction OneItemError,
    if Label Studio fails on that one only.
    """

    def import_predictions(self, project: int, predictions: Iterable[Mapping[str, Any]]) -> Imported:
        """Store predictions, each {"task", "result", "score", "model_version"}; check that all are stored.

        Predictions of tasks deleted meanwhile are left out and reported. Label Studio does not deduplicate:
        call `predictions_of` before repeating an import. Raises PredictionsRefusedError if fewer are stored
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
            # One unknown task makes Label Studio refuse the whole body; any other cause is the caller's.
            present = self.existing(project, sorted({each.task for each in part}))
            missing = tuple(sorted({each.task for each in part} - present))
            if not missing:
                raise
        stored = self._stored(project, part, present)
        left = [each for each in part if each.task in present and (each.task, each.version) not in stored]
        return Imported(len(stored) + (self._post(project, left) if left else 0), missing)

    def _stored(self, project: int, part: Sequence[_Encoded], present: set[int]) -> set[tuple[int, str]]:
        """Return the (task, version) pairs stored although the body was refused.

        With one of its feature flags on, Label Studio stores a body in batches of 500 predictions.
        """
        return {
            (task, version)
            for version in {each.version for each in part}
            for task in self.predictions_of(
                project, sorted({each.task for each in part if each.version == version} & present), version
            )
        }

    def _post(self, project: int, part: Sequence[_Encoded]) -> int:
        # The SDK's `import_predictions` processes every number of every mask: 500 predictions of 20 000
        # integers take 30 s, 19 s of it our CPU time, against 6 s for a body already encoded as JSON.
        body = b"[" + b",".join(each.body for each in part) + b"]"
        path = f"/api/projects/{project}/import/predictions"
        answer = self._dict("POST", path, data=body, timeout=IMPORT_SECONDS)
        if answer["created"] != len(part):
            raise PredictionsRefusedError(len(part), answer["created"])
        return len(part)

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """Return the predictions of one task for all versions, masks included."""
        listed = self._sdk.predictions.with_raw_response.list
        return read_one(self._http, f"the predictions of task {task}", lambda: plain_list(listed(task=task)))

    def to_label_with(self, project: int, tasks: Sequence[int], version: str) -> dict[int, dict[str, Any]]:
        """Return {task: its prediction of a version, mask included} for those of `tasks` not annotated."""
        found = {}
        for row in self._chosen(project, tasks, "id,predictions", UNLABELLED, whole=True):
            ours = [one for one in row["predictions"] if one["model_version"] == version]
            if ours:
                found[row["id"]] = min(ours, key=lambda one: int(one["id"]))
        return found

    def model_versions(self, project: int) -> dict[str, int]:
        """Return {version: number of predictions} of the project."""
        return {
            str(k): int(v) for k, v in self._dict("GET", f"/api/projects/{project}/model-versions/").items()
        }

    def rename_prediction(self, prediction: int, version: str) -> None:
        """Move one prediction to another version; raises with status 404 if it was deleted.

        It keeps its id, which an open page submits with the annotation made from it.
        """
        update = self._sdk.predictions.update
        what = f"prediction {prediction}"
        change_one(self._http, what, lambda: update(prediction, model_version=version))

    def redraw_prediction(self, prediction: int, result: list[dict[str, Any]]) -> None:
        """Replace the regions of one prediction; raises with status 404 if it was deleted.

        It keeps its id, its score and its version, so that neither the order nor an open page is affected.
        """
        self._change(prediction, {"result": result})

    def rescore_prediction(
        self, prediction: int, score: float, result: list[dict[str, Any]] | None = None
    ) -> None:
        """Replace the score of one prediction, and its regions if given; it keeps its id and its version.

        Raises with status 404 if it was deleted.
        """
        self._change(prediction, {"score": score} | ({} if result is None else {"result": result}))

    def _change(self, prediction: int, fields: Mapping[str, Any]) -> None:
        # The SDK visits every number of a mask: 37 ms of processor time for 20 000 of them, not 9.
        path = f"/api/predictions/{prediction}/"
        change_one(
            self._http, f"prediction {prediction}", lambda: self._http.call("PATCH", path, json=fields)
        )

    def delete_prediction(self, prediction: int) -> None:
        """Delete one prediction; raises with status 404 if it was already deleted."""
        change_one(self._http, f"prediction {prediction}", lambda: self._sdk.predictions.delete(prediction))

    def delete_model_version(self, project: int, version: str) -> None:
        """Delete all predictions of a version (about 12 ms each); a version may have none."""
        path = f"/api/projects/{project}/model-versions/"
        self._http.call("DELETE", path, json={"model_version": version}, timeout=DELETE_SECONDS)


def _bodies(predictions: Iterable[Mapping[str, Any]]) -> Iterator[list[_Encoded]]:
    part: list[_Encoded] = []
    size = 0
    for prediction in predictions:
        text = json.dumps(prediction, separators=(",", ":"))
        encoded = _Encoded(prediction["task"], prediction["model_version"], text.encode())
        if part and size + len(encoded.body) > BODY_BYTES:
            yield part
            part, size = [], 0
        part.append(encoded)
        size += len(encoded.body)
    if part:
        yield part
