"""The examples of a training: images fetched, masks read and united, each task on its side of the split."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.label_studio.regions.masks import Reading, label_map
from ml_backend.learn.labels import LabelledTask, new_sides
from ml_backend.queue.context import Context
from ml_backend.store import labels_seen, projects
from ml_backend.store.agreements import Agreement
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Part
from model.consensus import agreement, majority
from model.imaging.preprocessing import PreprocessingSettings
from model.training.dataset import Example, make_example


class MaskError(ValueError):
    """A task without a readable mask; one sentence that says what to do."""


@dataclass(frozen=True)
class Truth:
    """A task's label maps, each (H, W).

    Attributes:
        masks: by the key of their example; none if all that was drawn bears labels that the labeling config
            no longer has: such an annotation says nothing about the labels of now.
        annotators: how many people have annotated the task so that it can be read.
        agreement: of these people, in [0, 1] (`model.consensus.agreement`); None for fewer than two.
        problem: which regions the masks lack, in one sentence; empty if none.
    """

    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    annotators: int = 0
    agreement: float | None = None
    problem: str = ""


def read_truth(task: LabelledTask, config: LabelConfig, size: tuple[int, int]) -> Truth:
    """Read a task's annotations at the image's size (H, W).

    Raises:
        MaskError: none of the annotations that count can be read, though there is something drawn.
    """
    concerned = {one.id: one for one in (*task.opinions, *task.counting)}
    readings = {key: label_map(one.result, config, size) for key, one in concerned.items()}
    maps = {key: reading.label_map for key, reading in readings.items() if reading.label_map is not None}
    masks = {}
    for sample in task.samples:
        several = [maps[one.id] for one in sample.annotations if one.id in maps]
        if several:
            masks[sample.key] = several[0] if len(several) == 1 else majority(several)
    why = _unreadable(readings[one.id] for one in task.counting)
    if why and not masks:
        raise MaskError(f"No mask of task {task.task_id} can be read, draw it again: {' '.join(why)}")
    problem = f"Task {task.task_id} is learned without {why.total()} of its regions: {' '.join(why)}"
    people = [maps[one.id] for one in task.opinions if one.id in maps]
    return Truth(
        masks,
        annotators=len(people),
        agreement=agreement(people, len(config.labels)) if len(people) > 1 else None,
        problem=problem if why else "",
    )


def _unreadable(readings: Iterable[Reading]) -> Counter[str]:
    found: Counter[str] = Counter()
    for reading in readings:
        found.update(reading.unreadable)
    return found


logger = logging.getLogger(__name__)

MOST_VALIDATION = 20
"""The paper validates on 20 images; more would only make every round slower."""

Pair = tuple[NDArray[Any], NDArray[np.uint8]]
"""An image (H, W) in grey values and a label map (H, W) that is true of it."""


class ImagesAwayError(RuntimeError):
    """Most images cannot be had for now: a training without them would throw labels away."""


@dataclass
class Data:
    """What a training learns from and is judged by.

    Attributes:
        training, validation: examples on the network's canvas.
        validated: the tasks behind `validation`.
        used: number of labelled tasks that could be read.
        seen: the annotations that the training knows of, those that cannot be read included; what may be
            readable later is left out, so that it counts as new then.
        agreements: how far the annotators of a task agree, by task.
        problems: one sentence for each task or region that could not be read.
    """

    training: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    validated: list[LabelledTask] = field(default_factory=list)
    used: int = 0
    seen: dict[int, LabelDigest] = field(default_factory=dict)
    agreements: dict[int, Agreement] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def teaching(self) -> int:
        """Number of labelled tasks on the training side that could be read."""
        return self.used - len(self.validated)


def read_examples(
    context: Context,
    project_id: int,
    tasks: Sequence[LabelledTask],
    config: LabelConfig,
    preprocessing: PreprocessingSettings,
) -> Data:
    """Fetch the images, decode the masks, and give each task its side; what fails is reported.

    Raises:
        ImagesAwayError: more than half of the images may be had later, as when their server restarts.
        LabelStudioError: there is no token to fetch images with.
    """
    reading = _Reading(context, project_id, config, preprocessing, _sides(context, project_id, tasks))
    for task in tasks:
        reading.take(task)
    if 2 * len(reading.away) > len(tasks):
        raise ImagesAwayError(
            f"{len(reading.away)} of {len(tasks)} labelled images cannot be had now: {reading.away[0]}"
        )
    return reading.finish()


def read_pairs(context: Context, project_id: int, task: LabelledTask, config: LabelConfig) -> Iterator[Pair]:
    """The image of a labelled task with each of its label maps.

    Raises:
        MaskError: no annotation that counts can be read.
        ImageUnavailable, ImageError, LabelStudioError: the image cannot be had.
    """
    image = context.images.read(project_id, task.task_id, task.data, config)
    for mask in read_truth(task, config, (image.shape[0], image.shape[1])).masks.values():
        yield image, mask


def _sides(context: Context, project_id: int, tasks: Sequence[LabelledTask]) -> dict[int, Part]:
    with context.database.write() as session:
        settled = labels_seen.split(session, project_id)
        seed = projects.ensure(session, project_id, seed=context.settings.seed).seed
        fresh = new_sides(tasks, settled, context.settings.validation_fraction, MOST_VALIDATION, seed)
        return labels_seen.extend_split(session, project_id, fresh)


@dataclass
class _Reading:
    """The data of a training in the making."""

    context: Context
    project_id: int
    config: LabelConfig
    preprocessing: PreprocessingSettings
    sides: dict[int, Part]
    data: Data = field(default_factory=Data)
    away: list[ImageUnavailable] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)

    def take(self, task: LabelledTask) -> None:
        """Read one task; a fault of its image or its masks is noted."""
        try:
            image = self.context.images.read(self.project_id, task.task_id, task.data, self.config)
            truth = read_truth(task, self.config, (image.shape[0], image.shape[1]))
        except (*IMAGE_FAULTS, MaskError) as error:
            self._report(str(error))
            if isinstance(error, ImageUnavailable) and error.transient:
                self.away.append(error)
            else:
                self.data.seen.update(task.label_digests)
            return
        self.data.seen.update(task.label_digests)
        if truth.problem:
            self._report(truth.problem)
        if truth.agreement is not None:
            self.data.agreements[task.task_id] = Agreement(truth.annotators, truth.agreement)
        if truth.masks:
            self._learn(task, image, truth)
        else:
            self.silent.append(task.task_id)

    def finish(self) -> Data:
        """The data, all problems told."""
        if self.silent:
            self._report(
                f"{len(self.silent)} tasks, such as task {self.silent[0]}, are left out: all that is drawn "
                "there bears labels that the labeling config no longer has."
            )
        return self.data

    def _learn(self, task: LabelledTask, image: NDArray[Any], truth: Truth) -> None:
        examples = [make_example(key, image, mask, self.preprocessing) for key, mask in truth.masks.items()]
        self.data.used += 1
        if self.sides[task.task_id] is Part.VALIDATION:
            self.data.validation.extend(examples)
            self.data.validated.append(task)
        else:
            self.data.training.extend(examples)

    def _report(self, sentence: str) -> None:
        self.data.problems.append(sentence)
        logger.warning("%s", sentence)
