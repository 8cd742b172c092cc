"""Deleting the predictions of a version without holding up those who annotate meanwhile.

Label Studio deletes a version in one transaction. With SQLite everybody who submits waits for its end, and
after 5 s gets "database is locked" (HTTP 500). It has no call that deletes a part of a version, so most
predictions are deleted one by one, each in a transaction of milliseconds, and the rest together once that
takes less than a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from ml_backend.label_studio.data_manager import DataManager, has_version, number_filter
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.label_studio.one_item import change_one

TOGETHER_SECONDS = 1.0
"""Longest deletion of several predictions in one transaction."""

EACH_SECONDS = 0.012
"""Least time that a prediction is taken to add to such a transaction: measured were 3.4 ms on a quiet machine
and 8 to 20 ms on a busy one."""

SHARE = 0.1
"""What a prediction adds to such a transaction, as a share of a deletion by itself: measured were 0.03 to
0.08. Where deletions take long, fewer predictions are deleted together."""

PAGE = 20
"""Tasks whose predictions are listed at a time, masks included."""

PAUSE = 0.5
"""Pause after each deletion, as a share of the time that it took: a busy Label Studio gets longer ones."""

DELETE_SECONDS = 1800.0


class Deletion(DataManager):
    """Calls that delete predictions. All raise LabelStudioError."""

    def delete_prediction(self, prediction: int) -> None:
        """Delete one prediction; raises with status 404 if it was already deleted.

        Raises:
            OneItemError: Label Studio fails on this prediction only.
        """
        change_one(self._http, f"prediction {prediction}", lambda: self._sdk.predictions.delete(prediction))

    def delete_model_version(
        self, project: int, version: str, *, goes_on: Callable[[], bool] = lambda: True
    ) -> bool:
        """Delete all predictions of a version, if it has any, in transactions of at most about a second.

        Args:
            project, version: whose predictions.
            goes_on: asked before each deletion; the first False ends it.

        Returns:
            Whether all are deleted.
        """
        return _Deleting(self, project, version, goes_on).finish()

    def count_of(self, project: int, version: str) -> int:
        """Number of predictions of a version."""
        return int(self._dict("GET", f"/api/projects/{project}/model-versions/").get(version, 0))

    def delete_together(self, project: int, version: str) -> None:
        """Delete all predictions of a version in one transaction."""
        path = f"/api/projects/{project}/model-versions/"
        self._http.call("DELETE", path, json={"model_version": version}, timeout=DELETE_SECONDS)

    def ids_of(self, project: int, version: str) -> Iterator[list[int]]:
        """Yield ids of the predictions of a version, a page of tasks at a time."""
        last, more = 0, True
        while more:
            conditions = [has_version(version), number_filter("id", "greater", last)]
            filters = {"conjunction": "and", "items": conditions}
            answer = self._page(
                project, "id,predictions", size=PAGE, whole=True, filters=filters, ordering=["tasks:id"]
            )
            rows = answer["tasks"]
            yield [
                int(one["id"])
                for row in rows
                for one in row["predictions"]
                if one["model_version"] == version
            ]
            last = max((row["id"] for row in rows), default=last)
            more = answer["total"] > len(rows) > 0


@dataclass
class _Deleting:
    """The deletion of one version.

    Attributes:
        client, project, version, goes_on: as of `Deletion.delete_model_version`.
        each: seconds that a prediction is expected to add to a transaction.
    """

    client: Deletion
    project: int
    version: str
    goes_on: Callable[[], bool]
    each: float = EACH_SECONDS

    def finish(self) -> bool:
        """Delete one by one while the rest would take too long together, then the rest."""
        left = self.client.count_of(self.project, self.version)
        if self._takes_long(left):
            for prediction in chain.from_iterable(self.client.ids_of(self.project, self.version)):
                if not self.goes_on():
                    return False
                self._delete(prediction)
                left -= 1
                if not self._takes_long(left):
                    break
        if left:
            if not self.goes_on():
                return False
            self.client.delete_together(self.project, self.version)
        return True

    def _takes_long(self, count: int) -> bool:
        return count * self.each > TOGETHER_SECONDS

    def _delete(self, prediction: int) -> None:
        began = time.monotonic()
        try:
            self.client.delete_prediction(prediction)
        except LabelStudioError as error:
            if error.status != GONE:
                raise
        seconds = time.monotonic() - began
        self.each = max(EACH_SECONDS, (3 * self.each + SHARE * seconds) / 4)
        time.sleep(PAUSE * seconds)
