"""Chunks: tasks of a version that are scored together. A turn scores one after another with one network."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from ml_backend.queue.context import Context
from ml_backend.score.failed_images import plan_retries
from ml_backend.score.importing import import_scored
from ml_backend.score.prediction import KeepLoaded
from ml_backend.score.recording import prediction, record
from ml_backend.score.scorers import scorer_for
from ml_backend.score.strategy import made_by
from ml_backend.settings import Settings
from ml_backend.store import scores
from ml_backend.store.models import Score, ScoreState, Version, VersionState

logger = logging.getLogger(__name__)

MOST_CHUNKS = 64
"""Large projects get larger chunks instead of more: every chunk costs a few requests."""

LOCK_SECONDS = 900
"""Longest turn. A lock of a job that was killed is free as soon as the job is no longer executed."""


def chunk_size(settings: Settings, tasks: int) -> int:
    """How many of so many tasks make a chunk."""
    return max(settings.score_chunk, -(-tasks // MOST_CHUNKS))


class Turn:
    """The chunks that one job scores; a context manager, which sends what is to be sent at its end.

    Other jobs leave a chunk alone from its start to the end of the turn.

    Attributes:
        tried: numbers of the chunks of this turn, those that another job works on included.
    """

    def __init__(self, context: Context, version: Version) -> None:
        """Begin a turn of a version that is scored or published; it must not change its state meanwhile."""
        self.tried: set[int] = set()
        self._context, self._version = context, version
        self._load = KeepLoaded()
        self._locks = ExitStack()
        self._unsent: list[dict[str, Any]] = []
        self._gone: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._locks:
            if self._unsent or self._gone:
                self._send()

    def score(self, chunk: int) -> None:
        """Score a chunk unless another job does.

        Raises:
            LabelStudioError: Label Studio does not answer.
        """
        self.tried.add(chunk)
        context, version = self._context, self._version
        name = context.queues.chunk_name(version.id, chunk)
        if not self._locks.enter_context(context.queues.locks.exclusive(name, LOCK_SECONDS)):
            return
        with context.database.read() as session:
            waiting = [
                score
                for score in scores.of_chunk(session, version.id, chunk)
                if score.state is not ScoreState.WRITTEN
            ]
        waiting = _without_written(context, version, waiting)
        fresh = [row for row in waiting if not row.packed]
        if fresh:
            self._score(fresh)

    def _score(self, rows: Sequence[Score]) -> None:
        context, version = self._context, self._version
        data = context.label_studio.task_data(version.project_id, [row.task_id for row in rows])
        found = list(scorer_for(context, version, load=self._load)(data))
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
        if state is ScoreState.WRITING:
            self._unsent += [prediction(one, version.name) for one in found]
            self._gone |= gone

    def _send(self) -> None:
        """Import a published version's predictions together: each import costs Label Studio a recount."""
        project_id, name = self._version.project_id, self._version.name
        tasks = [one["task"] for one in self._unsent]
        there = self._context.label_studio.predictions_of(project_id, tasks, name)
        left = [one for one in self._unsent if one["task"] not in there]
        missing = import_scored(self._context, self._version, left)
        _settle(self._context, self._version, tasks, self._gone | missing)


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
