"""Scoring: every unlabelled task gets a mask and a score, chunk by chunk; jobs plan and share the chunks."""

from __future__ import annotations

import logging
import time

from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.candidates import keep_former
from ml_backend.score.chunks import Turn, chunk_size
from ml_backend.score.publication import is_overtaken, make_current
from ml_backend.score.ranking import take_over
from ml_backend.score.strategy import prediction_fingerprint, wanted
from ml_backend.store import scores, versions
from ml_backend.store.models import ScoreState, Version, VersionState
from model.strategies import DEFAULT, Strategy, parse

logger = logging.getLogger(__name__)

TURN_SECONDS = 30.0
"""A job that has scored for so long ends with its present chunk; its version's next job continues."""


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
    """Score one chunk of a version, then its other chunks for as long as no other job waits.

    So a large project loads its network once in `TURN_SECONDS`, and not for every chunk. The last chunk to
    finish requests the version's next step: the ranking (`ml_backend.score.ranking`) if the strategy chooses
    whole batches, then the sending (`ml_backend.score.sending`). Chunks of a version that is published have
    the tasks that were added since, and are sent at the end of the turn. Run again after a kill, it writes
    only what is not in Label Studio yet.
    """
    version = _version(context, version_id)
    if version is None or is_overtaken(context, version):
        return
    turn = Turn(context, version)
    try:
        with turn:
            _take_turn(context, turn, version, chunk)
    finally:
        # The version continues with its next chunks even if one of these failed.
        with context.database.read() as session:
            unfinished = scores.unfinished_chunks(session, version_id)
        left = [one for one in unfinished if one not in turn.tried]
        context.queues.request_chunks(version_id, left)
    _finish(context, version)


def _take_turn(context: Context, turn: Turn, version: Version, chunk: int) -> None:
    """Score `chunk`, then further ones until none is left, another job waits, or the version has changed."""
    ends = time.monotonic() + TURN_SECONDS
    following: int | None = chunk
    while following is not None:
        turn.score(following)
        if time.monotonic() > ends or context.queues.others_wait(version.id):
            return
        current = _version(context, version.id)
        if current is None or current.state is not version.state or is_overtaken(context, current):
            return
        with context.database.read() as session:
            unfinished = scores.unfinished_chunks(session, version.id)
        following = next((one for one in unfinished if one not in turn.tried), None)


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
        size = chunk_size(context.settings, len(unlabelled))
        scores.plan(session, version.id, unlabelled, chunk_size=size)
    if version.state is VersionState.SCORING:
        take_over(context, version, config)
        keep_former(context, version, config)
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


def _finish(context: Context, version: Version) -> None:
    if version.state is VersionState.PUBLISHED:
        make_current(context, version)
        context.request_assignment(version.project_id)
        return
    with context.database.read() as session:
        unfinished = scores.unfinished(session, version.id)
    if not unfinished.chunks:
        context.queues.request_next_step(version.id, unfinished)
