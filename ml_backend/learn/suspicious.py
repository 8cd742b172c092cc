"""Labels to look at again: each annotation against a network that has not learned from it, and all in words.

Which network that is, and when labels are examined, says `ml_backend.learn.examination`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.label_studio.client import Annotation
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.label_studio.views import set_check_view
from ml_backend.learn.evidence import evidence_of, figures_of, picture, place, regions_of
from ml_backend.learn.label_updates import LabelReader
from ml_backend.learn.labels import LabelledTask
from ml_backend.queue.context import Context
from ml_backend.store import suspicious
from ml_backend.store.models import ExaminedLabel
from ml_backend.store.suspicious import CurrentLabel
from model.imaging.decoding import Grey
from model.segmenter import Segmenter
from model.suspicion import examine, in_words, judge

logger = logging.getLogger(__name__)

SHOWN = 50
"""Most labels that are shown in the view of Label Studio, the most suspicious ones."""
PICTURES = 50
"""Labels of a project of which a picture is kept, the most suspicious ones."""


def update(context: Context, project_id: int) -> None:
    """Note which of the examined labels were changed, deleted or confirmed since.

    Raises:
        LabelConfigError, LabelStudioError: the labels cannot be read.
    """
    config = context.read_config(project_id)
    note_changes(context, project_id, LabelReader(context, project_id, config).read().labelled)


def note_changes(context: Context, project_id: int, tasks: list[LabelledTask]) -> None:
    """The same, with the labels as they are now."""
    current = {
        one.id: CurrentLabel(task.digests[one.id], one.updated_at) for task in tasks for one in task.counting
    }
    with context.database.write() as session:
        suspicious.update(session, project_id, current)


def show_in_view(context: Context, project_id: int) -> tuple[int, int]:
    """Show the labels to look at again, at least one, in a view of Label Studio; its id, and how many tasks.

    Raises:
        LabelStudioError: Label Studio does not answer.
    """
    with context.database.read() as session:
        found = suspicious.listed(session, project_id)[:SHOWN]
    tasks = list(dict.fromkeys(row.task_id for row in found))
    return set_check_view(context.label_studio, project_id, tasks), len(tasks)


def examine_task(
    context: Context,
    project_id: int,
    config: LabelConfig,
    task: LabelledTask,
    segmenter: Segmenter,
    version: str,
) -> list[ExaminedLabel]:
    """The annotations of a task that count, compared with a network; not yet judged among the others.

    An annotation or image that cannot be used is examined too: nothing speaks against it, and its reason says
    why. So it is not tried again until it changes.

    Raises:
        ImageUnavailable: the image may be available later.
        LabelStudioError: Label Studio does not answer.
    """
    faults: list[str] = []
    rows: list[ExaminedLabel] = []
    try:
        image = context.images.read(project_id, task.task_id, task.data, config)
        with contained(f"Task {task.task_id}", faults.append):
            rows = list(_examined(context, project_id, config, task, image, segmenter, version))
    except IMAGE_FAULTS as error:
        if isinstance(error, ImageUnavailable) and error.transient:
            raise
        faults.append(str(error))
    known = {row.annotation_id for row in rows}
    unread = [one for one in task.counting if one.id not in known]
    reason = faults[0] if faults else "No mask can be read."
    return [*rows, *(_row(project_id, task, one, version, reason) for one in unread)]


def judge_all(session: Session, project_id: int, config: LabelConfig) -> int:
    """Judge all examined labels of a project among each other, in words; returns how many are suspicious.

    The figures of former networks count like those of present ones until these have examined the label.
    """
    rows = [row for row in suspicious.of_project(session, project_id) if row.figures]
    found = [evidence_of(row, config.labels) for row in rows]
    for row, evidence, suspicion in zip(rows, found, judge(found), strict=True):
        row.score, row.is_suspicious = suspicion.score, suspicion.is_listed
        row.reason = in_words(evidence, suspicion, config.labels) if suspicion.is_listed else ""
    session.flush()
    suspicious.keep_pictures(session, project_id, PICTURES)
    return sum(row.is_suspicious for row in rows)


def _examined(
    context: Context,
    project_id: int,
    config: LabelConfig,
    task: LabelledTask,
    image: Grey,
    segmenter: Segmenter,
    version: str,
) -> Iterator[ExaminedLabel]:
    overlap = context.settings.for_project(config.knobs.overrides).overlap
    probabilities = segmenter.segment([image])[0].probabilities
    seen = probabilities.argmax(axis=0).astype(np.uint8)
    for one in task.counting:
        mask = label_map(one.result, config, (image.shape[0], image.shape[1]), overlap).known_map
        if mask is None:
            continue
        evidence = examine(probabilities, mask, size=segmenter.card.preprocessing.size)
        row = _row(project_id, task, one, version)
        row.regions, row.figures = regions_of(evidence, config.labels), figures_of(evidence)
        row.shift_x, row.shift_y = evidence.displacement
        # Whether it is listed depends on the other labels; `judge_all` deletes the surplus.
        row.picture, row.mark = picture(image, mask, seen, place(evidence, mask))
        yield row


def _row(
    project_id: int, task: LabelledTask, one: Annotation, version: str, reason: str = ""
) -> ExaminedLabel:
    return ExaminedLabel(
        project_id=project_id,
        annotation_id=one.id,
        task_id=task.task_id,
        digest=task.digests[one.id],
        changed_at=one.updated_at,
        score=0.0,
        is_suspicious=False,
        reason=reason,
        regions=[],
        shift_x=0,
        shift_y=0,
        figures={},
        version=version,
        mark=[],
    )
