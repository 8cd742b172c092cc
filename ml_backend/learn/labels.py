"""Which annotations of a task count, and the sides of labelled tasks in the fixed split.

Annotations count by these rules:

1. skips never count, and drafts are not annotations yet; an annotation without regions counts only if a
   person saved it, since an import without masks does not say that there is nothing to draw;
2. if any annotation is marked as ground truth, only those count;
3. among the rest the setting ANNOTATIONS decides: `latest` takes the one changed last, `majority` combines
   the latest one of each annotator (`model.consensus.majority`), and `all` makes each one its own example;
4. if one of those that count has an answer named by `model_exclude`, the task is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ml_backend.items import contained
from ml_backend.label_studio.client import AnnotatedTask, Annotation
from ml_backend.label_studio.regions.masks import masks_in
from ml_backend.setting_values import Rule
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Part
from model.training.splitting import extend_split, placement

MASK_FIELDS = ("type", "from_name", "to_name", "original_width", "original_height", "image_rotation", "value")
"""Fields of a region that determine its mask; its id, score, and hidden or locked state do not."""


@dataclass(frozen=True)
class Sample:
    """One example of a task: the annotations that together give its label map.

    Attributes:
        key: names the task and its masks in training, so that a changed mask is a changed example.
        annotations: one annotation, or those that vote.
    """

    key: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class LabelledTask:
    """A task with its annotations.

    An annotation without regions is a label too: its annotator saw nothing to draw.

    Attributes:
        task_id: Label Studio's id of the task.
        data: the task's data, which contains the image's address.
        counting: the annotations that count, sorted by id.
        opinions: the latest annotation of each annotator, sorted by id, whether it counts or not.
        rule: how the counting annotations are combined.
    """

    task_id: int
    data: dict[str, Any]
    counting: tuple[Annotation, ...]
    opinions: tuple[Annotation, ...]
    rule: Rule = "latest"

    @cached_property
    def digests(self) -> dict[int, str]:
        """`digest` of all its annotations' masks, by annotation id."""
        return {one.id: digest(one.result) for one in (*self.opinions, *self.counting)}

    @property
    def label_digests(self) -> dict[int, LabelDigest]:
        """Digests of the masks of the annotations that count, by annotation id."""
        return {one.id: LabelDigest(self.task_id, self.digests[one.id]) for one in self.counting}

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The examples that a training makes of the task."""
        if self.rule == "all":
            return tuple(
                Sample(f"task {self.task_id} annotation {one.id} {self.digests[one.id][:16]}", (one,))
                for one in self.counting
            )
        drawn = digest([self.digests[one.id] for one in self.counting])
        return (Sample(f"task {self.task_id} {drawn[:16]}", self.counting),)


def task_of(key: str) -> int:
    """The task in the key of an example: of a `Sample`, or of one that another source made from a task."""
    return int(key.split()[1])


def digest(result: Any) -> str:
    """SHA-256 of an annotation's masks, which changes only if a mask changes.

    It ignores texts, choices, relations, prompts of our smart tags, and the ids and states that the editor
    gives to regions. It includes the order of regions, because the later one of overlapping masks is on top.
    """
    masks = [
        {name: region[name] for name in MASK_FIELDS if name in region} if isinstance(region, dict) else region
        for region in masks_in(regions(result))
    ]
    text = json.dumps(masks, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


Exclusions = Collection[tuple[str, str]]
"""(name of a <Choices> tag, value) that exclude a task: `LabelConfig.exclusions`."""


@dataclass(frozen=True)
class Chosen:
    """The annotated tasks of a project.

    Attributes:
        labelled: those that are learned from, sorted by id.
        left_out: one sentence for each of the others, and for each annotation that is too malformed to be
            read, sorted by task.
    """

    labelled: list[LabelledTask] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def choose(tasks: Iterable[AnnotatedTask], rule: Rule, exclusions: Exclusions = ()) -> list[LabelledTask]:
    """The exported tasks that have an annotation that counts and are not excluded, sorted by id."""
    return sort_out(tasks, rule, exclusions).labelled


def sort_out(tasks: Iterable[AnnotatedTask], rule: Rule, exclusions: Exclusions = ()) -> Chosen:
    """Divide the exported tasks into those that are learned from, and those that are left out and why."""
    labelled: dict[int, LabelledTask] = {}
    left_out: dict[int, str] = {}
    for task in tasks:
        sentences = list(task.problems)
        with contained(f"Task {task.id}", sentences.append):
            found = _sorted_out(task, rule, exclusions)
            if isinstance(found, LabelledTask):
                labelled[task.id] = found
            else:
                sentences += [found] if found else []
        if sentences:
            left_out[task.id] = " ".join(sentences)
    return Chosen([labelled[key] for key in sorted(labelled)], [left_out[key] for key in sorted(left_out)])


def _sorted_out(task: AnnotatedTask, rule: Rule, exclusions: Exclusions) -> LabelledTask | str:
    """A task that is learned from, or one sentence on why it is not; empty if it has no annotation."""
    accepted = [one for one in task.accepted if one.by_person or _has_masks(one)]
    if accepted:
        counting = _counting(accepted, rule)
        answer = next(iter(_excluding(counting, exclusions)), None)
        if answer is not None:
            return f"Task {task.id} is excluded: an annotator answered “{answer}” (model_exclude)."
        found = LabelledTask(task.id, task.data, counting, _opinions(accepted), rule)
        _ = found.digests  # computed here, so that a mask of which there is none is this task's problem
        return found
    if task.accepted:
        return (
            f"Task {task.id} is left out: its annotation has no regions and no person submitted it, as "
            "after an import; submit it in Label Studio if there is nothing to draw."
        )
    return ""


def label_digests(tasks: Iterable[LabelledTask]) -> dict[int, LabelDigest]:
    """Digests by annotation id of all annotations that count, for `ml_backend.store.labels_seen`."""
    found: dict[int, LabelDigest] = {}
    for task in tasks:
        found |= task.label_digests
    return found


def new_sides(
    tasks: Sequence[LabelledTask],
    settled: Mapping[int, Part],
    fraction: float,
    most: int,
    seed: int,
    *,
    unfit: Collection[int] = (),
) -> dict[int, Part]:
    """Sides by task for tasks that have none: `fraction` of all labelled tasks validate, but at most `most`.

    All annotations of a task are on the same side. Tasks that are `unfit` for validation always train.
    """
    fresh = {str(task.task_id): task.task_id for task in tasks if task.task_id not in settled}
    fit = [key for key, task_id in fresh.items() if task_id not in unfit]
    validating = sum(part is Part.VALIDATION for part in settled.values())
    training = len(settled) - validating + len(fresh) - len(fit)
    _, validation = extend_split(fit, fraction, seed, training=training, validation=validating)
    # By placement, not by age of the task: the first images are not a representative sample.
    drawn = sorted(validation, key=lambda key: (placement(key, seed), key))
    allowed = set(drawn[: max(most - validating, 0)])
    return {task_id: Part.VALIDATION if key in allowed else Part.TRAINING for key, task_id in fresh.items()}


def blind_sides(
    tasks: Sequence[LabelledTask],
    settled: Mapping[int, Part],
    blind: Container[int],
    *,
    unfit: Collection[int],
) -> dict[int, Part]:
    """Sides by task for tasks that have none, under blind validation: the `blind` ones validate."""
    return {
        task.task_id: Part.VALIDATION
        if task.task_id in blind and task.task_id not in unfit
        else Part.TRAINING
        for task in tasks
        if task.task_id not in settled
    }


def regions(result: Any) -> Sequence[Any]:
    """The regions and answers of a result; a malformed one is one malformed region."""
    return result if isinstance(result, list | tuple) else [result]


def _has_masks(annotation: Annotation) -> bool:
    return bool(masks_in(regions(annotation.result)))


def _excluding(annotations: Iterable[Annotation], exclusions: Exclusions) -> Iterator[str]:
    """The answers in annotations that exclude their task."""
    for annotation in annotations:
        for answer in regions(annotation.result):
            if not isinstance(answer, dict) or answer.get("type") != "choices":
                continue
            value = answer.get("value")
            found = value.get("choices") if isinstance(value, dict) else None
            for choice in found if isinstance(found, list) else [found]:
                if any((answer.get("from_name"), choice) == one for one in exclusions):
                    yield str(choice)


def _counting(accepted: Sequence[Annotation], rule: Rule) -> tuple[Annotation, ...]:
    candidates = [one for one in accepted if one.ground_truth] or list(accepted)
    if rule == "latest":
        return (max(candidates, key=_changed),)
    if rule == "majority":
        return _opinions(candidates)
    return tuple(sorted(candidates, key=lambda one: one.id))


def _opinions(accepted: Sequence[Annotation]) -> tuple[Annotation, ...]:
    """The latest annotation of each annotator, sorted by id; one without an annotator counts separately."""
    latest: dict[tuple[str, int], Annotation] = {}
    for one in sorted(accepted, key=_changed):
        latest[("annotation", one.id) if one.annotator is None else ("annotator", one.annotator)] = one
    return tuple(sorted(latest.values(), key=lambda one: one.id))


def _changed(annotation: Annotation) -> tuple[datetime, int]:
    return datetime.fromisoformat(annotation.updated_at), annotation.id
