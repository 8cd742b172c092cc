"""Predictions: import in bulk, count, and delete by version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_backend.label_studio.data_manager import UNLABELLED
from ml_backend.label_studio.deletion import Deletion
from ml_backend.label_studio.errors import LabelStudioError, PredictionsRefusedError
from ml_backend.label_studio.one_item import change_one, read_one
from ml_backend.label_studio.sdk import plain_list

BODY_BYTES = 64 * 1024 * 1024
"""Maximum size of a request body; only a body with a single prediction may exceed it.

A few large bodies are far faster than many small ones: after each, Label Studio recounts the predictions of
all tasks of the project (measured: 0.7 ms per task of the project, whatever the body's size).
"""

IMPORT_SECONDS = 300.0

MOST_REFUSED = 50
"""Refused predictions of an import that are taken for faults of their tasks, if they are not half of it or
more. Further ones have a common cause, such as labels that were renamed meanwhile."""

DROPPED = "it drops the prediction without a reason; do labels and tags match the labeling config?"


@dataclass(frozen=True)
class Imported:
    """The outcome of an import.

    Attributes:
        created: number of predictions stored.
        missing: tasks that no longer exist.
        refused: why Label Studio refuses a prediction, by task.
    """

    created: int
    missing: tuple[int, ...] = ()
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Encoded:
    task: int
    version: str
    body: bytes


class Predictions(Deletion):
    """Calls about predictions. All raise LabelStudioError; those about one task or prediction OneItemError,
    if Label Studio fails on that one only.
    """

    def import_predictions(self, project: int, predictions: Iterable[Mapping[str, Any]]) -> Imported:
        """Store predictions, each {"task", "result", "score", "model_version"}; check that all are stored.

        Predictions of tasks deleted meanwhile are left out and reported, and so are those that Label Studio
        refuses. It does not deduplicate: call `predictions_of` before repeating an import.

        Raises:
            PredictionsRefusedError: so many are refused that the fault cannot be that of single tasks.
        """
        importing = _Importing(self, project)
        for part in _bodies(predictions):
            importing.send_body(part)
        return Imported(importing.created, tuple(sorted(importing.missing)), importing.refused)

    def import_all(self, project: int, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Store predictions as `import_predictions` does; of tasks that still exist, all must be stored.

        Raises:
            PredictionsRefusedError: Label Studio refuses one.
        """
        imported = self.import_predictions(project, predictions)
        if imported.refused:
            raise PredictionsRefusedError(len(predictions), imported.created)

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


class _Importing:
    """One import, body after body.

    Attributes:
        created: predictions stored.
        missing: tasks that no longer exist.
        refused: why Label Studio refuses a prediction, by task.
    """

    def __init__(self, calls: Predictions, project: int) -> None:
        self._calls, self._project = calls, project
        self._sent = 0
        self.created = 0
        self.missing: set[int] = set()
        self.refused: dict[int, str] = {}

    def send_body(self, part: Sequence[_Encoded]) -> None:
        """Send a body, and again what is left of it without those at fault."""
        self._sent += len(part)
        self._send(part)

    def _send(self, part: Sequence[_Encoded]) -> None:
        try:
            created = self._post(part)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            self._sort_out(part, error.detail or str(error))
            return
        if created == len(part):
            self.created += created
            return
        # It drops what it finds invalid, and stores the others.
        stored = self._stored(part, {each.task for each in part})
        self.created += len(stored)
        for each in part:
            if (each.task, each.version) not in stored:
                self._refuse(each, DROPPED)

    def _sort_out(self, part: Sequence[_Encoded], reason: str) -> None:
        """Find those at fault in a body that was refused as a whole: halve it until each is alone."""
        present = self._calls.existing(self._project, sorted({each.task for each in part}))
        self.missing |= {each.task for each in part} - present
        stored = self._stored(part, present)
        self.created += len(stored)
        left = [each for each in part if each.task in present and (each.task, each.version) not in stored]
        if 0 < len(left) < len(part):
            self._send(left)
        elif len(left) == 1:
            self._refuse(left[0], reason)
        elif left:
            half = len(left) // 2
            self._send(left[:half])
            self._send(left[half:])

    def _refuse(self, each: _Encoded, reason: str) -> None:
        """Note a refusal.

        Raises:
            PredictionsRefusedError: there are too many.
        """
        self.refused[each.task] = reason
        if len(self.refused) > max(1, min(MOST_REFUSED, self._sent // 2)):
            raise PredictionsRefusedError(self._sent, self.created)

    def _stored(self, part: Sequence[_Encoded], present: set[int]) -> set[tuple[int, str]]:
        """Return the (task, version) pairs of a body that are stored.

        With one of its feature flags on, Label Studio stores a body in batches of 500 predictions, so a body
        that is refused may have been stored in part.
        """
        return {
            (task, version)
            for version in {each.version for each in part}
            for task in self._calls.predictions_of(
                self._project,
                sorted({each.task for each in part if each.version == version} & present),
                version,
            )
        }

    def _post(self, part: Sequence[_Encoded]) -> int:
        # The SDK's `import_predictions` processes every number of every mask: 500 predictions of 20 000
        # integers take 30 s, 19 s of it our CPU time, against 6 s for a body already encoded as JSON.
        body = b"[" + b",".join(each.body for each in part) + b"]"
        path = f"/api/projects/{self._project}/import/predictions"
        answer = self._calls._dict("POST", path, data=body, timeout=IMPORT_SECONDS)
        return int(answer["created"])


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
