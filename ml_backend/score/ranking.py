"""Ranking: once all images of a version are measured, its strategy chooses the batch and orders the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score import packing
from ml_backend.score.prediction import load_segmenter
from ml_backend.score.publication import is_overtaken
from ml_backend.score.strategy import made_by
from ml_backend.store import labels_seen, projects, scores, versions
from ml_backend.store.models import Score, ScoreState, Version, VersionState
from model.strategies import Measurement, Strategy, last, priorities, priority


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
        rows = scores.of_version(session, version.id)
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
    return None if row.packed is None else packing.measurement(row.packed)


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
        try:
            image = context.images.read(version.project_id, task_id, data, config)
        except IMAGE_FAULTS:
            continue
        found.append(segmenter.segment([image])[0].measurement(str(task_id)).features)
    return found
