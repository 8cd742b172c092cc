"""The labels of a project as Label Studio has them now, and the fixed split of the images that carry them.

Which annotations of a task count:

1. skips never do, nor do drafts, which are no annotations yet;
2. where any is marked as ground truth, only those that are;
3. of what is left the setting ANNOTATIONS decides: `latest` takes the one changed last, `majority` unites the
   latest one of each annotator (`model.consensus.majority`), `all` takes each one as an example of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_backend.label_studio.client import Annotation
from ml_backend.label_studio.client import LabelledTask as Exported
from ml_backend.label_studio.regions.masks import KINDS
from ml_backend.settings import Rule
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Part
from model.training.splitting import extend_split, placement

MASK_FIELDS = ("type", "from_name", "to_name", "original_width", "original_height", "image_rotation", "value")
"""What of a region makes its mask; its id, its score, whether it is hidden or locked, do not."""


@dataclass(frozen=True)
class Sample:
    """One example of a task: the annotations that together say what is true.

    Attributes:
        key: names task and masks in training, so that a changed mask is a changed example.
        annotations: one, or those that vote.
    """

    key: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class LabelledTask:
    """A task with its annotations; one without regions is one too: its annotator saw nothing to draw.

    Attributes:
        task_id: Label Studio's id of the task.
        data: the task's data, in which the image's address lies.
        counting: the annotations that count, by id.
        opinions: the latest annotation of each annotator, by id, whether it counts or not.
        rule: what the counting ones are to each other.
    """

    task_id: int
    data: dict[str, Any]
    counting: tuple[Annotation, ...]
    opinions: tuple[Annotation, ...]
    rule: Rule = "latest"

    @property
    def label_digests(self) -> dict[int, LabelDigest]:
        """Of each annotation that counts, by its id, a digest of its masks."""
        return {one.id: LabelDigest(self.task_id, digest(one.result)) for one in self.counting}

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The examples that the task is to a training."""
        if self.rule == "all":
            return tuple(
                Sample(f"task {self.task_id} annotation {one.id} {digest(one.result)[:16]}", (one,))
                for one in self.counting
            )
        drawn = digest([digest(one.result) for one in self.counting])
        return (Sample(f"task {self.task_id} {drawn[:16]}", self.counting),)


def digest(result: Sequence[Any]) -> str:
    """SHA-256 of an annotation's masks: it changes with them, and with nothing else that people do.

    What is said about regions (texts, choices, relations), and the ids and states that the editor gives them,
    are left out; the order is not, as of overlapping masks the later one lies on top.
    """
    masks = [
        {name: region[name] for name in MASK_FIELDS if name in region} if isinstance(region, dict) else region
        for region in result
        if not isinstance(region, dict) or region.get("type") in KINDS
    ]
    text = json.dumps(masks, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def choose(tasks: Iterable[Exported], rule: Rule) -> list[LabelledTask]:
    """The exported tasks that have an annotation that counts, by id."""
    chosen = [
        LabelledTask(task.id, task.data, _counting(task.accepted, rule), _opinions(task.accepted), rule)
        for task in tasks
        if task.accepted
    ]
    return sorted(chosen, key=lambda task: task.task_id)


def label_digests(tasks: Iterable[LabelledTask]) -> dict[int, LabelDigest]:
    """The annotations that count in any of the tasks, for `store.labels.difference` and `replace`."""
    found: dict[int, LabelDigest] = {}
    for task in tasks:
        found |= task.label_digests
    return found


def new_sides(
    tasks: Sequence[LabelledTask], settled: Mapping[int, Part], fraction: float, most: int, seed: int
) -> dict[int, Part]:
    """Sides for tasks that have none yet: `fraction` of all labelled ones validate, but at most `most`.

    A task is on one side with all its annotations.
    """
    fresh = {str(task.task_id): task.task_id for task in tasks if task.task_id not in settled}
    validating = sum(part is Part.VALIDATION for part in settled.values())
    _, validation = extend_split(
        fresh, fraction, seed, training=len(settled) - validating, validation=validating
    )
    # By placement, not by age of the task: the images that came first are not a fair sample.
    drawn = sorted(validation, key=lambda key: (placement(key, seed), key))
    allowed = set(drawn[: max(most - validating, 0)])
    return {task_id: Part.VALIDATION if key in allowed else Part.TRAINING for key, task_id in fresh.items()}


def probably_validates(task_id: int, fraction: float, seed: int) -> bool:
    """Whether the lot of a task without a side will probably have it validate once it is labelled."""
    return placement(str(task_id), seed) < fraction


def _counting(accepted: Sequence[Annotation], rule: Rule) -> tuple[Annotation, ...]:
    candidates = [one for one in accepted if one.ground_truth] or list(accepted)
    if rule == "latest":
        return (max(candidates, key=_changed),)
    if rule == "majority":
        return _opinions(candidates)
    return tuple(sorted(candidates, key=lambda one: one.id))


def _opinions(accepted: Sequence[Annotation]) -> tuple[Annotation, ...]:
    """The latest annotation of each annotator, by id; one that nobody is named for stands for itself."""
    latest: dict[tuple[str, int], Annotation] = {}
    for one in sorted(accepted, key=_changed):
        latest[("annotation", one.id) if one.annotator is None else ("annotator", one.annotator)] = one
    return tuple(sorted(latest.values(), key=lambda one: one.id))


def _changed(annotation: Annotation) -> tuple[datetime, int]:
    return datetime.fromisoformat(annotation.updated_at), annotation.id
