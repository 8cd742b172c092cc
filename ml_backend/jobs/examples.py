"""What a training learns from: images fetched, masks decoded, each task on its side of the fixed split."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.images import IMAGE_FAULTS
from ml_backend.jobs.context import Context
from ml_backend.jobs.labels import LabelledTask, new_sides
from ml_backend.label_studio.images import ImageUnavailable
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.store import labels, projects
from ml_backend.store.models import Part
from model.dataset import Example, make_example
from model.preprocessing import PreprocessingSettings

logger = logging.getLogger(__name__)

MOST_VALIDATION = 20
"""The paper validates on 20 images; more would only make every round slower."""


class MaskError(ValueError):
    """An annotation without a readable mask; one sentence that says what to do."""


class ImagesAwayError(RuntimeError):
    """Most images cannot be had for now: a training without them would throw labels away."""


@dataclass(frozen=True)
class Pair:
    """A labelled task as pixels.

    Attributes:
        image: grey values (H, W).
        mask: label map (H, W).
        problem: which regions the mask lacks, in one sentence; empty if none.
    """

    image: NDArray[Any]
    mask: NDArray[np.uint8]
    problem: str = ""


@dataclass(frozen=True)
class Data:
    """What a training learns from and is judged by.

    Attributes:
        training, validation: examples on the network's canvas.
        tasks: the labelled tasks that could be read, by id.
        validation_ids: the tasks behind `validation`.
        problems: one sentence for each task or region that could not be read.
    """

    training: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    tasks: dict[int, LabelledTask] = field(default_factory=dict)
    validation_ids: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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
    with context.database.write() as session:
        settled = labels.split(session, project_id)
        seed = projects.ensure(session, project_id, seed=context.settings.seed).seed
        fresh = new_sides(tasks, settled, context.settings.validation_fraction, MOST_VALIDATION, seed)
        sides = labels.extend_split(session, project_id, fresh)
    data = Data()
    away: list[ImageUnavailable] = []
    for task in tasks:
        try:
            pair = read_pair(context, project_id, task, config)
        except (*IMAGE_FAULTS, MaskError) as error:
            _report(data, str(error))
            if isinstance(error, ImageUnavailable) and error.transient:
                away.append(error)
            continue
        if pair.problem:
            _report(data, pair.problem)
        example = make_example(task.key, pair.image, pair.mask, preprocessing)
        data.tasks[task.task_id] = task
        if sides[task.task_id] is Part.VALIDATION:
            data.validation.append(example)
            data.validation_ids.append(task.task_id)
        else:
            data.training.append(example)
    if 2 * len(away) > len(tasks):
        raise ImagesAwayError(f"{len(away)} of {len(tasks)} labelled images cannot be had now: {away[0]}")
    return data


def read_pair(context: Context, project_id: int, task: LabelledTask, config: LabelConfig) -> Pair:
    """The image and the label map of a labelled task.

    Raises:
        MaskError: no region of the annotation can be read as a mask.
        ImageUnavailable, ImageError, LabelStudioError: the image cannot be had.
    """
    image = context.images.read(project_id, task.task_id, task.data, config)
    reading = task.read(config, (image.shape[0], image.shape[1]))
    why = " ".join(reading.unreadable)
    if reading.label_map is None:
        raise MaskError(f"No mask of task {task.task_id} can be read, draw it again: {why}")
    count = sum(reading.unreadable.values())
    problem = f"Task {task.task_id} is learned without {count} of its regions: {why}" if count else ""
    return Pair(image, reading.label_map, problem)


def _report(data: Data, sentence: str) -> None:
    data.problems.append(sentence)
    logger.warning("%s", sentence)
