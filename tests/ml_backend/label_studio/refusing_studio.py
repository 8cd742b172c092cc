"""The part of Label Studio that imports predictions, in its three ways of refusing one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.predictions import Predictions

WAYS = ("drops", "refuses", "stores in parts")
PART = 3


class RefusingStudio(Predictions):
    """Refuses single predictions, each import in one of `WAYS`.

    It drops them and stores the others; or it refuses the body as a whole; or, as with one of its flags, it
    stores the parts of the body before the first one that it refuses.

    Attributes:
        stored: what is stored, in order.
        imports: the predictions of each request.
    """

    def __init__(
        self, tasks: Collection[int], refuses: Callable[[Mapping[str, Any]], bool], way: str = "drops"
    ) -> None:
        self.tasks, self.refuses, self.way = set(tasks), refuses, way
        self.stored: list[dict[str, Any]] = []
        self.imports: list[list[dict[str, Any]]] = []

    def _dict(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        assert (method, path.rpartition("/")[2]) == ("POST", "predictions")
        body = json.loads(options["data"])
        self.imports.append(body)
        if self.way == "drops":
            if any(one["task"] not in self.tasks for one in body):
                raise LabelStudioError("unknown", 400, "unknown task")
            kept = [one for one in body if not self.refuses(one)]
            self.stored += kept
            return {"created": len(kept)}
        size = PART if self.way == "stores in parts" else len(body)
        for first in range(0, len(body), size):
            part = body[first : first + size]
            if any(one["task"] not in self.tasks or self.refuses(one) for one in part):
                raise LabelStudioError("Label Studio refuses it.", 400, "mask: no such label")
            self.stored += part
        return {"created": len(body)}

    def existing(self, _project: int, tasks: Sequence[int]) -> set[int]:
        return self.tasks.intersection(tasks)

    def predictions_of(self, _project: int, tasks: Sequence[int], version: str) -> set[int]:
        named = {one["task"] for one in self.stored if one["model_version"] == version}
        return named.intersection(tasks)
