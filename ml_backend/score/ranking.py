"""Ranking: once all images of a version are measured, its strategy chooses the batch and orders the rest.

If only the strategy has changed, the images need not be measured again: the new version takes over what its
parent measured.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score import packing
from ml_backend.score.blind import BlindTasks
from ml_backend.score.prediction import image_of, load_segmenter
from ml_backend.score.publication import is_overtaken
from ml_backend.score.strategy import differs_only_in_strategy, made_by
from ml_backend.store import labels_seen, projects, scores, versions
from ml_backend.store.models import Score, ScoreState, Version, VersionState
from model.strategies import Measurement, Strategy, last, priorities, priority, published

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 200
"""Scores that are taken over in one transaction, so that no other writer waits long."""


def take_over(context: Context, version: Version, config: LabelConfig) -> int:
    """Take over the parent's measurements and masks if the two versions differ only in the strategy.

    Images that the parent could not read remain to be scored, and so do those that it measured or drew in
    another way: their tasks were blind, or drawn by a draft, or added after its publication, or had another
    image.

    Args:
        context: the context of the job.
        version: a version whose scores are planned.
        config: the labeling config.

    Returns:
        The number of images that need not be measured again.
    """
    with context.database.read() as session:
        parent = None if version.parent_id is None else versions.get(session, version.parent_id)
        pending = scores.tasks_in(session, version.id, ScoreState.PENDING)
        project = projects.get(session, version.project_id)
        assert project is not None
        blind = BlindTasks.read(session, context.settings, project, config)
    if parent is None or not _measures_alike(context, parent, version, config):
        return 0
    taken = 0
    for part in known_scores(context, parent, pending, config):
        with context.database.write() as session:
            rows = scores_of(session, version, part)
            for known, image in part:
                is_blind = known.task_id in blind
                taken += _take(rows.get(known.task_id), version, known, image, project.seed, is_blind)
    logger.info("%s takes over %d of %d images from %s.", version.name, taken, len(pending), parent.name)
    return taken


def known_scores(
    context: Context, version: Version, tasks: Sequence[int], config: LabelConfig
) -> Iterator[list[tuple[Score, str]]]:
    """The scores that these tasks have under another version, in parts of at most `ROWS_AT_ONCE`.

    Each comes with its packed data, and with the image that its task has now (`image_of`).
    """
    for first in range(0, len(tasks), ROWS_AT_ONCE):
        part = tasks[first : first + ROWS_AT_ONCE]
        data = context.label_studio.task_data(version.project_id, part)
        with context.database.read() as session:
            rows = scores.of_tasks(session, version.id, [task for task in part if task in data])
        yield [(row, image_of(data[row.task_id], config)) for row in rows]


def scores_of(session: Session, version: Version, part: Sequence[tuple[Score, str]]) -> dict[int, Score]:
    """A version's scores of the tasks of a part of `known_scores`, by task: one query instead of hundreds."""
    tasks = [known.task_id for known, _ in part]
    return {row.task_id: row for row in scores.of_tasks(session, version.id, tasks)}


def _measures_alike(context: Context, parent: Version, version: Version, config: LabelConfig) -> bool:
    if version.weights_hash is None or parent.weights_hash != version.weights_hash:
        return False
    has_all = made_by(version).probe() is None
    return has_all and differs_only_in_strategy(context.settings, config, parent)


def _take(row: Score | None, version: Version, known: Score, image: str, seed: int, is_blind: bool) -> bool:
    """Take over one image's measurement and mask under the version's strategy; False if it must be scored."""
    if known.drawn_by_run is not None or known.due:
        return False
    with contained(f"The former score of task {known.task_id}", logger.warning):
        found = copy_known(row, version, known, image, is_blind=is_blind)
        if row is not None and found is not None:
            strategy = made_by(version)
            row.state = ScoreState.MEASURED if strategy.batch_aware else ScoreState.RANKED
            row.priority = None if strategy.batch_aware else priority(strategy, found, seed)
            return True
    return False


def copy_known(
    row: Score | None, version: Version, known: Score, image: str, *, is_blind: bool
) -> Measurement | None:
    """Copy one image's measurement and mask into a version's pending score.

    Args:
        row: the new version's score of the image, of a writing session; None if there is none.
        version: the new version.
        known: the image's score under another version, with its packed data.
        image: which image the task has now (`image_of`).
        is_blind: whether the task is to be shown without a mask.

    Returns:
        The measurement; the score's state and priority are left to the caller. None if the image has to be
        scored, because nothing is known of it, or its image or its blindness has changed, or another job has
        scored it meanwhile.
    """
    if row is None or row.state is not ScoreState.PENDING or known.packed is None:
        return None
    unpacked = packing.unpack(known.packed)
    found = unpacked.measurement
    if found is None or not unpacked.can_be_taken_over(image):
        return None
    has_mask = not (known.hidden or known.blank)
    if has_mask and bool(unpacked.result) is is_blind:
        return None
    row.l_dsc, row.m_dsc, row.blank = known.l_dsc, known.m_dsc, known.blank
    row.hidden, row.quality, row.margin = known.hidden, known.quality, known.margin
    row.score, row.packed = published(made_by(version), found.consistency), known.packed
    row.picture = known.picture
    return found


@job(kinds.RANK)
def rank_version(context: Context, version_id: int) -> None:
    """Order all measured images of a version, and request that their predictions are sent."""
    with context.database.read() as session:
        version = versions.in_work(session, version_id, VersionState.SCORING)
    if version is None or is_overtaken(context, version):
        return
    with context.database.read() as session:
        counted = scores.count(session, version_id)
    if not counted[ScoreState.PENDING]:
        _rank(context, version)
    with context.database.read() as session:
        unfinished = scores.unfinished(session, version_id)
    context.queues.request_next_step(version_id, unfinished)


def _rank(context: Context, version: Version) -> None:
    """Order all images together; images measured again after a lost prediction are placed individually."""
    with context.database.read() as session:
        # Scores of a version before do not compete for the batch: another network measured them.
        rows = scores.of_version(session, version.id, packed=True, due=False)
        project = projects.get(session, version.project_id)
    assert project is not None
    waiting = [row for row in rows if row.state is ScoreState.MEASURED]
    if len(waiting) == len(rows):
        found = _order_together(context, version, waiting, project.seed)
    else:
        found = {row.task_id: _place_individually(version, row, project.seed) for row in waiting}
    with context.database.write() as session:
        for task_id, place in found.items():
            row = session.get_one(Score, (version.id, task_id))
            row.priority, row.state = place, ScoreState.RANKED


def _order_together(context: Context, version: Version, rows: Sequence[Score], seed: int) -> dict[int, float]:
    """Priorities by task, in [0, 1]: the strategy's batch comes first, unreadable images come last."""
    strategy = made_by(version)
    pool = {row.task_id: known for row in rows if (known := _measurement(row)) is not None}
    labelled = _labelled(context, version, strategy)
    values = priorities(strategy, list(pool.values()), labelled, context.settings.query_size, seed)
    return {row.task_id: last(strategy) for row in rows} | dict(zip(pool, values.tolist(), strict=True))


def _place_individually(version: Version, row: Score, seed: int) -> float:
    if row.priority is not None:
        return row.priority
    strategy, known = made_by(version), _measurement(row)
    return last(strategy) if known is None else priority(strategy, known, seed)


def _measurement(row: Score) -> Measurement | None:
    """The measurement of a row; None for an unreadable image, and for one whose data are damaged."""
    with contained(f"The measurement of task {row.task_id}", logger.warning):
        return None if row.packed is None else packing.measurement(row.packed)
    return None


def _labelled(context: Context, version: Version, strategy: Strategy) -> list[NDArray[np.float32]]:
    """What a strategy reads of the labelled images: feature vectors (D,), empty ones (0,), or nothing."""
    if not (strategy.reads_labelled or strategy.counts_labelled):
        return []
    with context.database.read() as session:
        tasks = labels_seen.labelled_tasks(session, version.project_id)
    if strategy.reads_labelled:
        return _features(context, version, tasks)
    return [np.empty(0, np.float32)] * len(tasks)


def _features(context: Context, version: Version, tasks: Iterable[int]) -> list[NDArray[np.float32]]:
    """Feature vectors (D,) of the images of these tasks; unreadable images are left out."""
    assert version.weights_hash is not None
    config = context.read_config(version.project_id)
    segmenter = load_segmenter(context.settings, context.weights.get(version.weights_hash))
    found = []
    for task_id, data in context.label_studio.task_data(version.project_id, sorted(tasks)).items():
        with contained(f"Task {task_id}", logger.warning), suppress(*IMAGE_FAULTS):
            image = context.images.read(version.project_id, task_id, data, config)
            found.append(segmenter.segment([image])[0].measurement(str(task_id)).features)
    return found
