"""Scoring: every unlabelled task gets a mask and a consistency score, chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ml_backend.jobs.context import Context, job, open_context
from ml_backend.jobs.publish import is_overtaken, make_current
from ml_backend.prediction import Scored, scorer
from ml_backend.store import projects, scores, versions
from ml_backend.store.models import Score, ScoreState, Version, VersionState, now

logger = logging.getLogger(__name__)

MOST_CHUNKS = 64
"""A chunk is one bulk import, and each import makes Label Studio recount all tasks of the project, about
0.7 ms a task: large projects get larger chunks instead of more of them."""


@job
def run_score_version(version_id: int) -> None:
    """Plan the scores of all unlabelled tasks under a new version, and ask for its chunks."""
    with open_context() as context:
        version = _version(context, version_id)
        if version is None or is_overtaken(context, version):
            return
        _request_chunks(context, version)


@job
def run_score_new(project_id: int) -> None:
    """Have the published version score the unlabelled tasks that it has not scored yet."""
    with open_context() as context:
        if not context.is_active(project_id):
            return
        with context.database.read() as session:
            version = versions.published(session, project_id)
        if version is not None:
            _request_chunks(context, version)


@job
def run_score_chunk(version_id: int, chunk: int) -> None:
    """Score one chunk of a version; the last chunk to end asks for the publication.

    Run again after a kill it writes only what is not in Label Studio yet.
    """
    with open_context() as context:
        version = _version(context, version_id)
        if version is None or is_overtaken(context, version):
            return
        try:
            _score_chunk(context, version, chunk)
        finally:
            # However this one ended, the version goes on with its next chunk.
            with context.database.read() as session:
                left = [one for one in scores.unfinished_chunks(session, version_id) if one != chunk]
            context.queues.request_chunks(version_id, left)
        _finish(context, version)


def _score_chunk(context: Context, version: Version, chunk: int) -> None:
    with context.database.read() as session:
        waiting = [
            score
            for score in scores.of_chunk(session, version.id, chunk)
            if score.state is not ScoreState.WRITTEN
        ]
    waiting = _without_written(context, version, waiting)
    if waiting:
        _score(context, version, waiting)


def _version(context: Context, version_id: int) -> Version | None:
    with context.database.read() as session:
        version = versions.get(session, version_id)
        active = version is not None and projects.is_active(session, version.project_id)
    if version is None or not active or version.state not in (VersionState.SCORING, VersionState.PUBLISHED):
        logger.info("Version %s is no longer to be scored.", version_id)
        return None
    return version


def _request_chunks(context: Context, version: Version) -> None:
    # What is wrong with the project as a whole is told here, once, and not by every chunk.
    context.read_config(version.project_id)
    _forget_lost(context, version)
    unlabelled = [task.id for task in context.label_studio.tasks(version.project_id, unlabelled=True)]
    with context.database.write() as session:
        size = max(context.settings.score_chunk, -(-len(unlabelled) // MOST_CHUNKS))
        scores.plan(session, version.id, unlabelled, chunk_size=size)
        chunks = scores.unfinished_chunks(session, version.id)
    context.queues.request_chunks(version.id, chunks, again=True)
    if not chunks:
        _finish(context, version)


def _forget_lost(context: Context, version: Version) -> None:
    """Forget scores that Label Studio no longer holds, so that their tasks are planned anew.

    Once all its tasks were deleted it gives their ids to the next ones, and deleting all sends no event.
    """
    with context.database.read() as session:
        written = {
            score.task_id
            for score in scores.of_version(session, version.id)
            if score.state is ScoreState.WRITTEN
        }
    if context.label_studio.model_versions(version.project_id).get(version.name, 0) >= len(written):
        return
    there = context.label_studio.predictions_of(version.project_id, sorted(written), version.name)
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, written - there)


def _without_written(context: Context, version: Version, waiting: Sequence[Score]) -> list[Score]:
    """Drop the scores that a killed job, or /predict, has put into Label Studio already."""
    doubtful = [
        score.task_id
        for score in waiting
        if score.state is ScoreState.WRITING or version.state is VersionState.PUBLISHED
    ]
    if not doubtful:
        return list(waiting)
    there = context.label_studio.predictions_of(version.project_id, doubtful, version.name)
    known = {score.task_id for score in waiting if score.score is not None}
    with context.database.write() as session:
        scores.set_state(session, version.id, there & known, ScoreState.WRITTEN)
    return [score for score in waiting if score.task_id not in there & known]


def _score(context: Context, version: Version, rows: Sequence[Score]) -> None:
    project_id = version.project_id
    data = context.label_studio.task_data(project_id, [row.task_id for row in rows])
    config = context.read_config(project_id)
    with context.database.read() as session:
        project = projects.get(session, project_id)
    assert project is not None  # read_config made sure of it
    score = scorer(context.settings, context.weights, context.images, version, project.seed, config)
    found = [score(task_id, task_data) for task_id, task_data in data.items()]
    note(context, version, found)
    there = context.label_studio.predictions_of(project_id, list(data), version.name)
    sent = [prediction(one, version.name) for one in found if one.task_id not in there]
    imported = context.label_studio.import_predictions(project_id, sent)
    gone = {row.task_id for row in rows} - data.keys() | set(imported.missing)
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, gone)
        scores.set_state(session, version.id, data.keys() - gone, ScoreState.WRITTEN)


def note(context: Context, version: Version, found: Sequence[Scored]) -> None:
    """Keep the scores before they are sent, so that a kill in between leaves no score unknown to us."""
    with context.database.write() as session:
        for one in found:
            row = session.get_one(Score, (version.id, one.task_id))
            row.l_dsc, row.m_dsc, row.score = one.l_dsc, one.m_dsc, one.score
            row.blank, row.error, row.state = one.blank, one.error, ScoreState.WRITING
            if one.transient:
                scores.postpone(row)
            else:
                row.retry_at, row.tries = None, 0


def prediction(one: Scored, version: str) -> dict[str, Any]:
    """What Label Studio is sent for a scored task."""
    return {"task": one.task_id, "result": one.result, "score": one.score, "model_version": version}


def _finish(context: Context, version: Version) -> None:
    if version.state is VersionState.PUBLISHED:
        make_current(context, version)
        context.request_deal(version.project_id)
        return
    with context.database.write() as session:
        if scores.unfinished_chunks(session, version.id):
            return
        current = session.get_one(Version, version.id)
        current.seconds_scoring = (now() - current.created_at).total_seconds()
    context.queues.request_publish(version.id)
