"""Pseudo-labels: unlabelled images that join a training with the champion's own masks.

They are used for training only: they do not count as labels, they validate nothing, and they are never sent
to Label Studio. PSEUDO_LABELS sets their number; see `model.research.pseudo_labels`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.learn.extra_examples import extra_examples
from ml_backend.queue.context import Context
from ml_backend.score.blind import probably_validates
from ml_backend.score.prediction import load_segmenter
from ml_backend.store import labels_seen, projects, scores
from ml_backend.store.models import Part, Score, Version
from model.classes import Classes
from model.consistency import Consistency
from model.imaging.preprocessing import PreprocessingSettings
from model.research.pseudo_labels import most_consistent, pseudo_labelled
from model.training.dataset import Example, make_example

if TYPE_CHECKING:
    from model.segmenter import Segmenter

logger = logging.getLogger(__name__)


@extra_examples("pseudo_labels")
def pseudo_labels(
    context: Context,
    champion: Version | None,
    config: LabelConfig,
    preprocessing: PreprocessingSettings,
    labelled: int,
) -> list[Example]:
    """PSEUDO_LABELS pseudo-labels for each of the `labelled` tasks; see `read_pseudo_labels`."""
    count = round(context.settings.pseudo_labels * labelled)
    return read_pseudo_labels(context, champion, config, preprocessing, count)


def read_pseudo_labels(
    context: Context,
    champion: Version | None,
    config: LabelConfig,
    preprocessing: PreprocessingSettings,
    count: int,
) -> list[Example]:
    """At most `count` unlabelled images with the champion's masks, the most consistent first.

    The same champion, scores and tasks give the same examples. An image that cannot be read is left out and
    not replaced, so no more than `count` are ever fetched. Empty if the champion was not trained on labels,
    or does not know all labels: what it cannot draw would be learned as background.

    Raises:
        LabelStudioError: the tasks cannot be listed, or there is no token to fetch images with.
        WeightStoreError: the champion's weights cannot be read.
    """
    if champion is None or champion.weights_hash is None or not champion.labels_used or count < 1:
        return []
    if Classes(config.labels, config.indices).shared(champion.labels) != config.labels:
        logger.info("No pseudo-labels: %s does not know all labels of the labeling config.", champion.name)
        return []
    waiting = _unlabelled(context, champion.project_id)
    with context.database.read() as session:
        rows = scores.of_version(session, champion.id)
    picked = pick(rows, waiting.keys(), count)
    if not picked:
        return []
    segmenter = load_segmenter(context.settings, context.weights.get(champion.weights_hash))
    teacher = _Teacher(context, champion, segmenter, config, preprocessing)
    found: list[Example] = []
    for task_id in picked:
        with contained(f"The pseudo-label of task {task_id}", logger.warning):
            example = teacher.example(task_id, waiting[task_id])
            found += [] if example is None else [example]
    return found


def pick(rows: Iterable[Score], free: Collection[int], count: int) -> list[int]:
    """The `count` tasks of `free` with the most consistent masks, best first, ties by id.

    Tasks whose mask is blank, whose image failed, or that were not measured are never picked.
    """
    drawn = {
        row.task_id: Consistency(row.l_dsc, row.m_dsc, (row.l_dsc + row.m_dsc) / 2, row.blank)
        for row in sorted(rows, key=lambda row: row.task_id)
        if row.task_id in free and row.error is None and row.l_dsc is not None and row.m_dsc is not None
    }
    tasks = list(drawn)
    return [tasks[index] for index in most_consistent(list(drawn.values()), count)]


def _unlabelled(context: Context, project_id: int) -> dict[int, dict[str, Any]]:
    """Data of the tasks that are neither annotated nor skipped, nor (probably) on the validation side."""
    waiting = {
        task.id: task.data
        for task in context.label_studio.tasks(project_id, unlabelled=True)
        if not task.cancelled_annotations
    }
    with context.database.read() as session:
        settled = labels_seen.split(session, project_id)
        project = projects.get(session, project_id)
    assert project is not None  # a training has read its labeling config
    fraction = context.settings.validation_fraction

    def may_teach(task_id: int) -> bool:
        if task_id in settled:
            return settled[task_id] is Part.TRAINING
        return not probably_validates(task_id, fraction, project.seed)

    return {task_id: data for task_id, data in waiting.items() if may_teach(task_id)}


@dataclass(frozen=True)
class _Teacher:
    """The champion, which draws the masks."""

    context: Context
    champion: Version
    segmenter: Segmenter
    config: LabelConfig
    preprocessing: PreprocessingSettings

    def example(self, task_id: int, data: Mapping[str, Any]) -> Example | None:
        """A task with its mask; None if its image cannot be read or its mask is blank."""
        try:
            image = self.context.images.read(self.champion.project_id, task_id, data, self.config)
        except IMAGE_FAULTS as error:
            logger.warning("No pseudo-label: %s", error)
            return None
        # Without the labeling config's threshold, which is for what people see: a network trained on
        # thresholded masks would move them a little further with each training.
        (found,) = self.segmenter.segment([image])
        classes = Classes(self.config.labels, self.config.indices)
        mask = classes.translate(found.final, self.champion.labels)
        if not mask.any():
            return None
        example = make_example(f"task {task_id} pseudo-label", image, mask, self.preprocessing)
        return pseudo_labelled(example, example.mask)
