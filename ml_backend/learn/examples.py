"""The examples of a training: images, masks combined from annotations, and each task's side of the split.

For each labelled task, the masks of its annotations are read, combined by the rule that decides which
annotations count (`ml_backend.learn.labels`), and compared with each other to measure the agreement between
annotators.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.items import OutsideFault, contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.label_studio.regions.canvas import Overlap
from ml_backend.label_studio.regions.masks import Reading, label_map
from ml_backend.learn.edits import is_accepted, note_edits
from ml_backend.learn.labels import LabelledTask, blind_sides, new_sides
from ml_backend.queue.context import Context
from ml_backend.score.blind import BlindTasks
from ml_backend.store import labels_seen, projects
from ml_backend.store.agreements import TaskAgreement
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Edit, Part
from model.consensus import agreement, majority
from model.imaging.preprocessing import PreprocessingSettings
from model.training.dataset import Example, make_example
from model.training.splitting import MOST_VALIDATION

logger = logging.getLogger(__name__)

Pair = tuple[NDArray[Any], NDArray[np.uint8]]
"""A grayscale image (H, W) and its label map (H, W)."""


class MaskError(ValueError):
    """No annotation of a task has a readable mask; the message is one sentence that says what to do."""


class ImagesAwayError(OutsideFault, RuntimeError):
    """Most images are temporarily unavailable; a training would discard their labels."""


@dataclass(frozen=True)
class Truth:
    """A task's label maps, each (H, W).

    Attributes:
        masks: by example key. Empty if all regions have labels that the labeling config no longer contains:
            such an annotation says nothing about the current labels.
        annotators: number of people whose annotation of the task is readable.
        agreement: agreement of these people, in [0, 1] (`model.consensus.agreement`); None for fewer than
            two.
        problem: one sentence about the regions that are missing from the masks; empty if there are none.
        is_partial: whether nobody knows where a missing region is, so that no background is known.
        nested: (inner, outer) labels of which one was drawn within the other.
    """

    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    annotators: int = 0
    agreement: float | None = None
    problem: str = ""
    is_partial: bool = False
    nested: frozenset[tuple[str, str]] = frozenset()


@dataclass
class Data:
    """The data of a training.

    Attributes:
        training, validation: examples on the network's canvas. Tasks whose mask was merely accepted do not
            validate.
        validated: the tasks of `validation`.
        edits: how each annotation came to be, by its id.
        accepted: number of tasks that teach with a mask that was merely accepted.
        used: number of labelled tasks that were read.
        teaching: number of them on the training side.
        seen: digests by id of the annotations that the training takes into account, unreadable ones included.
            Annotations that may be readable later are left out, so that they count as new then.
        agreements: agreement between the annotators, by task.
        problems: one sentence for each task or region that could not be read.
        nested: number of tasks by (inner, outer) label of which one was drawn within the other.
    """

    training: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    validated: list[LabelledTask] = field(default_factory=list)
    edits: Mapping[int, Edit] = field(default_factory=dict)
    accepted: int = 0
    used: int = 0
    teaching: int = 0
    seen: dict[int, LabelDigest] = field(default_factory=dict)
    agreements: dict[int, TaskAgreement] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    nested: Counter[tuple[str, str]] = field(default_factory=Counter)

    def report(self, sentence: str) -> None:
        """Note a problem, and log it."""
        self.problems.append(sentence)
        logger.warning("%s", sentence)

    def include(self, other: Data) -> None:
        """Add the data of further tasks."""
        self.training += other.training
        self.validation += other.validation
        self.validated += other.validated
        self.accepted += other.accepted
        self.used += other.used
        self.teaching += other.teaching
        self.seen |= other.seen
        self.agreements |= other.agreements
        self.problems += other.problems
        self.nested.update(other.nested)


@dataclass(frozen=True)
class Read:
    """What was read from one task, and the labels it was read from; the same labels are not read again.

    Attributes:
        state: digests of its annotations, its side of the split, and whether its mask was accepted.
        data: of the task alone.
        is_unlabelled: whether all of its regions have labels that the labeling config no longer contains.
    """

    state: tuple[Any, ...]
    data: Data
    is_unlabelled: bool


def read_examples(
    context: Context,
    project_id: int,
    tasks: Sequence[LabelledTask],
    config: LabelConfig,
    preprocessing: PreprocessingSettings,
    known: dict[int, Read] | None = None,
) -> Data:
    """Fetch the images, read the masks, and put each task on its side of the split; failures are reported.

    `known` has what former calls with the same config read, by task; unchanged tasks are taken from there.

    Raises:
        ImagesAwayError: more than half of the images are temporarily unavailable, as when their server
            restarts.
        LabelStudioError: there is no token to fetch images with.
    """
    whole = Data()
    made = whole.edits = note_edits(context, project_id, tasks, config, whole.report)
    sides = _sides(context, project_id, tasks, config, made)
    overlap = context.settings.for_project(config.knobs.overrides).overlap
    memory = {} if known is None else known
    unlabelled, unavailable = list[int](), list[ImageUnavailable]()
    for task in tasks:
        state = (_digests(task), sides[task.task_id], is_accepted(task, made))
        found = memory.get(task.task_id)
        if found is None or found.state != state:
            reader = _Reader(context, project_id, config, preprocessing, sides, overlap, Data(edits=made))
            with contained(f"Task {task.task_id}", reader.fail(task)):
                reader.read(task)
            found = Read(state, reader.data, reader.is_unlabelled)
            if reader.unavailable is None:
                memory[task.task_id] = found
            else:
                unavailable.append(reader.unavailable)
        whole.include(found.data)
        unlabelled += [task.task_id] if found.is_unlabelled else []
    if 2 * len(unavailable) > len(tasks):
        raise ImagesAwayError(
            f"{len(unavailable)} of {len(tasks)} labelled images are unavailable: {unavailable[0]}"
        )
    if unlabelled:
        what = "their" if len(unlabelled) > 1 else "its"
        whole.report(
            f"{_named(unlabelled)} left out: all of {what} regions have labels that the labeling config does "
            "not have, or no longer has."
        )
    return whole


def _named(tasks: Sequence[int]) -> str:
    """Tasks as the subject of a sentence."""
    if len(tasks) == 1:
        return f"Task {tasks[0]} is"
    return f"{len(tasks)} tasks, such as task {tasks[0]}, are"


def _digests(task: LabelledTask) -> tuple[Any, ...]:
    """Everything in a task's annotations that affects its examples and its annotators' agreement."""
    return (
        tuple((one.id, task.digests[one.id]) for one in task.counting),
        tuple((one.id, task.digests[one.id]) for one in task.opinions),
        task.rule,
    )


def read_pairs(context: Context, project_id: int, task: LabelledTask, config: LabelConfig) -> Iterator[Pair]:
    """Yield the image of a labelled task with each of its label maps.

    Raises:
        MaskError: no annotation that counts can be read.
        ImageUnavailable, ImageError, LabelStudioError: the image cannot be fetched or decoded.
    """
    image = context.images.read(project_id, task.task_id, task.data, config)
    overlap = context.settings.for_project(config.knobs.overrides).overlap
    for mask in read_truth(task, config, (image.shape[0], image.shape[1]), overlap).masks.values():
        yield image, mask


def nested_labels(data: Data) -> list[tuple[str, str, int]]:
    """(inner label, outer label, number of tasks), the most frequent first, as stored with a version."""
    return [(inner, outer, tasks) for (inner, outer), tasks in data.nested.most_common()]


def read_truth(
    task: LabelledTask, config: LabelConfig, size: tuple[int, int], overlap: Overlap | None = None
) -> Truth:
    """Read a task's annotations at the size (H, W) of its image.

    Where a region cannot be read but is known to be, pixels are unknown (255): all that no other region
    covers, or those of a region that lacks only its label.

    Args:
        task: with at least one annotation that counts.
        config: the project's labeling config.
        size: (H, W) of the image.
        overlap: which of two overlapping regions gets the pixels; None takes the config's rule.

    Raises:
        MaskError: there are regions, but no annotation that counts can be read.
    """
    annotations = {one.id: one for one in (*task.opinions, *task.counting)}
    readings = {key: label_map(one.result, config, size, overlap) for key, one in annotations.items()}
    maps = {key: mask for key, reading in readings.items() if (mask := reading.known_map) is not None}
    masks = {}
    for sample in task.samples:
        several = [maps[one.id] for one in sample.annotations if one.id in maps]
        if several:
            masks[sample.key] = several[0] if len(several) == 1 else majority(several)
    reasons = _unreadable(readings[one.id] for one in task.counting)
    if reasons and not masks:
        raise MaskError(f"No mask of task {task.task_id} can be read, draw it again: {' '.join(reasons)}")
    problem = f"Task {task.task_id} is used without {reasons.total()} of its regions: {' '.join(reasons)}"
    whole = {key for key in maps if not readings[key].is_partial}
    people = [maps[one.id] for one in task.opinions if one.id in whole]
    counting = [readings[one.id] for one in task.counting]
    return Truth(
        masks,
        annotators=len(people),
        agreement=agreement(people, len(config.labels)) if len(people) > 1 else None,
        problem=problem if reasons else "",
        is_partial=any(one.is_partial and one.label_map is not None for one in counting),
        nested=frozenset().union(*(one.nested for one in counting)),
    )


def _unreadable(readings: Iterable[Reading]) -> Counter[str]:
    """The reasons why regions could not be read, with the number of regions."""
    found: Counter[str] = Counter()
    for reading in readings:
        found.update(reading.unreadable)
    return found


def _sides(
    context: Context,
    project_id: int,
    tasks: Sequence[LabelledTask],
    config: LabelConfig,
    known: Mapping[int, Edit],
) -> dict[int, Part]:
    settings = context.settings.for_project(config.knobs.overrides)
    unfit = {task.task_id for task in tasks if is_accepted(task, known)}
    with context.database.write() as session:
        settled = labels_seen.split(session, project_id)
        project = projects.ensure(session, project_id, seed=settings.seed)
        if settings.validation == "blind":
            blind = BlindTasks.read(session, settings, project, config)
            fresh = blind_sides(tasks, settled, blind, unfit=unfit)
        else:
            fraction = settings.validation_fraction
            fresh = new_sides(tasks, settled, fraction, MOST_VALIDATION, project.seed, unfit=unfit)
        return labels_seen.extend_split(session, project_id, fresh)


@dataclass
class _Reader:
    """Reads one task into `data`.

    Attributes:
        unavailable: the error of an image that may be available later.
        is_unlabelled: whether all regions have labels that the labeling config no longer contains.
    """

    context: Context
    project_id: int
    config: LabelConfig
    preprocessing: PreprocessingSettings
    sides: dict[int, Part]
    overlap: Overlap
    data: Data = field(default_factory=Data)
    unavailable: ImageUnavailable | None = None
    is_unlabelled: bool = False

    def read(self, task: LabelledTask) -> None:
        """Read the task; an error in its image or its masks is reported."""
        try:
            image = self.context.images.read(self.project_id, task.task_id, task.data, self.config)
            truth = read_truth(task, self.config, (image.shape[0], image.shape[1]), self.overlap)
        except (*IMAGE_FAULTS, MaskError) as error:
            self.data.report(str(error))
            if isinstance(error, ImageUnavailable) and error.transient:
                self.unavailable = error
            else:
                self.data.seen.update(task.label_digests)
            return
        self.data.seen.update(task.label_digests)
        if truth.problem:
            self.data.report(truth.problem)
        if truth.agreement is not None:
            self.data.agreements[task.task_id] = TaskAgreement(truth.annotators, truth.agreement)
        self.data.nested.update(truth.nested)
        if truth.is_partial and self.sides[task.task_id] is Part.VALIDATION:
            self.data.report(f"Task {task.task_id} is not validated on: not all of its regions can be read.")
        elif truth.masks:
            self._add_examples(task, image, truth)
        else:
            self.is_unlabelled = True

    def fail(self, task: LabelledTask) -> Callable[[str], None]:
        """A function that reports that the task cannot be read, whatever was read of it before."""

        def report(sentence: str) -> None:
            self.data = Data(edits=self.data.edits, seen=task.label_digests)
            self.data.report(sentence)

        return report

    def _add_examples(self, task: LabelledTask, image: NDArray[Any], truth: Truth) -> None:
        examples = [make_example(key, image, mask, self.preprocessing) for key, mask in truth.masks.items()]
        self.data.used += 1
        accepted = is_accepted(task, self.data.edits)
        if self.sides[task.task_id] is Part.VALIDATION:
            # A validation task whose mask is accepted later does not teach either: it may be edited again.
            if not accepted:
                self.data.validation.extend(examples)
                self.data.validated.append(task)
            return
        weight = self.context.settings.accepted_weight if accepted else 1.0
        self.data.teaching += 1
        self.data.accepted += accepted
        if weight > 0:
            self.data.training.extend(replace(example, weight=weight) for example in examples)
