"""The labels of a project as Label Studio has them now, and the fixed split of the images that carry them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_backend.label_studio.client import LabelledTask as Exported
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.label_studio.masks import Reading, label_map
from ml_backend.store.labels import Fingerprint
from ml_backend.store.models import Part
from model.splitting import extend_split, placement


@dataclass(frozen=True)
class LabelledTask:
    """A task with the annotation that counts: the one changed last, skips left out.

    An annotation without regions counts: its annotator saw nothing to draw.

    Attributes:
        task_id: Label Studio's id of the task.
        data: the task's data, in which the image's address lies.
        annotation_id: Label Studio's id of the annotation.
        regions: the annotation's `result`.
    """

    task_id: int
    data: dict[str, Any]
    annotation_id: int
    regions: list[dict[str, Any]]

    @property
    def fingerprint(self) -> Fingerprint:
        """Digest of the regions: a changed mask changes it, a changed time stamp does not."""
        text = json.dumps(self.regions, sort_keys=True, separators=(",", ":"))
        return Fingerprint(self.task_id, hashlib.sha256(text.encode()).hexdigest())

    @property
    def key(self) -> str:
        """Names task and label in training, so that a changed mask is a changed example."""
        return f"task {self.task_id} {self.fingerprint.digest[:16]}"

    def read(self, config: LabelConfig, size: tuple[int, int]) -> Reading:
        """The label map at the image's size (H, W), and which regions could not be read."""
        return label_map(self.regions, config, size)


def choose(tasks: Iterable[Exported]) -> list[LabelledTask]:
    """One annotation for each exported task that has any: the one changed last; skips do not count."""
    chosen: list[LabelledTask] = []
    for task in tasks:
        if task.accepted:
            latest = max(task.accepted, key=lambda one: (datetime.fromisoformat(one.updated_at), one.id))
            chosen.append(LabelledTask(task.id, task.data, latest.id, latest.result))
    return sorted(chosen, key=lambda task: task.task_id)


def new_sides(
    tasks: Sequence[LabelledTask], settled: dict[int, Part], fraction: float, most: int, seed: int
) -> dict[int, Part]:
    """Sides for tasks that have none yet: `fraction` of all labelled ones validate, but at most `most`."""
    fresh = {str(task.task_id): task.task_id for task in tasks if task.task_id not in settled}
    validating = sum(part is Part.VALIDATION for part in settled.values())
    _, validation = extend_split(
        fresh, fraction, seed, training=len(settled) - validating, validation=validating
    )
    # By placement, not by age of the task: the images that came first are not a fair sample.
    drawn = sorted(validation, key=lambda key: (placement(key, seed), key))
    allowed = set(drawn[: max(most - validating, 0)])
    return {task_id: Part.VALIDATION if key in allowed else Part.TRAINING for key, task_id in fresh.items()}
