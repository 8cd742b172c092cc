"""Scoring: every unlabelled task gets a mask and a score, chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.blind import BlindTasks
from ml_backend.score.failed_images import plan_retries
from ml_backend.score.prediction import scorer
from ml_backend.score.publication import is_overtaken, make_current
from ml_backend.score.ranking import take_over
from ml_backend.score.recording import prediction, record
from ml_backend.score.strategy import made_by, prediction_fingerprint, wanted
from ml_backend.store import projects, scores, versions
from ml_backend.store.models import Score, ScoreState, Version, VersionState
from model.strategies import DEFAULT, Strategy, parse

logger = logging.getLogger(__name__)

MOST_CHUNKS = 64
"""Each chunk is a job that loads the network again: large projects get larger chunks instead of more."""


@job(kinds.SCORE_VERSION)
def score_version(context: Context, version_id: int) -> None:
    """Plan the scores of all unlabelled tasks under a new version, and request its chunks."""
    version = _version(context, version_id)
    if version is None or is_overtaken(context, version):
        return
    _request_chunks(context, version)


@job(kinds.SCORE_NEW)
def score_new_tasks(context: Context, project_id: int) -> None:
    """Plan the scores of unlabelled tasks that the published version has not scored yet."""
    if not context.is_active(project_id):
        return
    with context.database.read() as session:
        version = versions.published(session, project_id)
    if version is not None:
        _request_chunks(context, version)


@job(kinds.SCORE_CHUNK)
def score_chunk(context: Context, version_id: int, chunk: int) -> None:
    """Score one chunk of a version; the last chunk to finish requests the version's next step.

    That is the ranking (`ml_backend.score.ranking`) if the strategy chooses whole batches, then the sending
    (`ml_backend.score.sending`). Chunks of a version that is published have the tasks that were added since,
    and are sent at once. Run again after a kill, it writes only what is not in Label Studio yet.
    """
    version = _version(context, version_id)
    if version is None or is_overtaken(context, version):
        return
    try:
        _score_chunk(context, version, chunk)
    finally:
        # The version continues with its next chunk even if this one failed.
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
    fresh = [row for row in waiting if not row.packed]
    if fresh:
        _score(context, version, fresh)


def _version(context: Context, version_id: int) -> Version | None:
    with context.database.read() as session:
        version = versions.in_work(session, version_id, VersionState.SCORING, VersionState.PUBLISHED)
    if version is None:
        logger.info("Version %s is no longer to be scored.", version_id)
    return version


def _request_chunks(context: Context, version: Version) -> None:
    # Faults of the whole project are reported here, once, and not by every chunk.
    config = context.read_config(version.project_id)
    if version.fingerprint is None and version.state is VersionState.SCORING:
        strategy = _feasible(context, version, wanted(context.settings, config))
        with context.database.write() as session:
            current = session.get_one(Version, version.id)
            current.strategy = version.strategy = strategy.name
            current.fingerprint = prediction_fingerprint(context.settings, config, version)
    _forget_lost(context, version)
    unlabelled = [task.id for task in context.label_studio.tasks(version.project_id, unlabelled=True)]
    with context.database.write() as session:
        size = max(context.settings.score_chunk, -(-len(unlabelled) // MOST_CHUNKS))
        scores.plan(session, version.id, unlabelled, chunk_size=size)
    if version.state is VersionState.SCORING:
        take_over(context, version, config)
    with context.database.read() as session:
        chunks = scores.unfinished_chunks(session, version.id)
    context.queues.request_chunks(version.id, chunks, again=True)
    if not chunks:
        _finish(context, version)


def _feasible(context: Context, version: Version, strategy: Strategy) -> Strategy:
    """The strategy itself, or the default one if the version's network was not trained for it."""
    # Here and not above: reconciling alone need not wait for torch.
    from model.weights import read_card

    if strategy.probe() is None or version.weights_hash is None:
        return strategy
    if strategy.can_probe(read_card(context.weights.get(version.weights_hash)).network):
        return strategy
    logger.warning("%s was not trained for %s: it is ordered by %s.", version.name, strategy.name, DEFAULT)
    return parse(DEFAULT)


def _forget_lost(context: Context, version: Version) -> None:
    """Remove scores that Label Studio no longer contains, so that their tasks are planned again.

    After all tasks are deleted, new ones get their ids, and deleting all sends no event.
    """
    with context.database.read() as session:
        written = set(scores.tasks_in(session, version.id, ScoreState.WRITTEN))
    if context.label_studio.model_versions(version.project_id).get(version.name, 0) >= len(written):
        return
    there = context.label_studio.predictions_of(version.project_id, sorted(written), version.name)
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, written - there)


def _without_written(context: Context, version: Version, waiting: Sequence[Score]) -> list[Score]:
    """Leave out the scores that a killed job, or /predict, has already written to Label Studio."""
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
    assert project is not None  # guaranteed by read_config
    with context.database.read() as session:
        blind = BlindTasks.read(session, context.settings, project, config)
    score = scorer(context.settings, context.weights, context.images, version, project.seed, config, blind)
    found = [score(task_id, task_data) for task_id, task_data in data.items()]
    gone = {row.task_id for row in rows} - data.keys()
    state = _state_when_scored(version)
    with context.database.write() as session:
        if session.get_one(Version, version.id).state is not version.state:
            # Its last rows were taken over, or it was overtaken, while this job read the images.
            logger.info("%s is no longer to be scored.", version.name)
            return
        if state is not ScoreState.WRITING:
            scores.remove_tasks(session, version.id, gone)
        record(session, version, found, state)
        plan_retries(session, version, found)
    if state is not ScoreState.WRITING:
        return
    there = context.label_studio.predictions_of(project_id, list(data), version.name)
    sent = [prediction(one, version.name) for one in found if one.task_id not in there]
    imported = context.label_studio.import_predictions(project_id, sent)
    _settle(context, version, data.keys(), gone | set(imported.missing))


def _state_when_scored(version: Version) -> ScoreState:
    """What scores are after their computation: to be ranked with all others, to be sent, or being sent.

    Tasks that arrive after the publication are placed and sent at once, as nothing may overtake the batch.
    """
    if version.state is not VersionState.SCORING:
        return ScoreState.WRITING
    is_ranked = version.weights_hash is not None and made_by(version).batch_aware
    return ScoreState.MEASURED if is_ranked else ScoreState.RANKED


def _settle(context: Context, version: Version, task_ids: Iterable[int], gone: set[int]) -> None:
    """Record that these predictions are in Label Studio, and remove tasks that no longer are."""
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, gone)
        scores.set_state(session, version.id, set(task_ids) - gone, ScoreState.WRITTEN)


def _finish(context: Context, version: Version) -> None:
    if version.state is VersionState.PUBLISHED:
        make_current(context, version)
        context.request_assignment(version.project_id)
        return
    with context.database.read() as session:
        unfinished = scores.unfinished(session, version.id)
    if not unfinished.chunks:
        context.queues.request_next_step(version.id, unfinished)
