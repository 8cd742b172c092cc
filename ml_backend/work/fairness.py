"""Whose job is next: scoring and training take turns, so that no project waits for all of another's work."""

from __future__ import annotations

from collections.abc import Sequence

from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from ml_backend.queue.kinds import QUEUES, SCORE, TRAIN
from ml_backend.store import versions
from ml_backend.store.database import Database
from ml_backend.store.models import VersionState


def order(queues: Sequence[Queue], last: str, database: Database) -> list[Queue]:
    """The queues in the order in which a worker shall look at them, after a job from the queue named `last`.

    Quick jobs come first. After a chunk of scores it is a training's turn, if one waits whose project is not
    being scored itself: its new order is nearer than its next training, which would only overtake it. That
    training is brought to the front. After a training it is the scores' turn.
    """
    usual = sorted(queues, key=lambda queue: QUEUES.index(queue.name))
    training = next((queue for queue in queues if queue.name == TRAIN), None)
    if last != SCORE or training is None or not _bring_forward(training, database):
        return usual
    return sorted(usual, key=lambda queue: (queue.name == SCORE, QUEUES.index(queue.name)))


def _bring_forward(training: Queue, database: Database) -> bool:
    """Turn the queue until a training of a project that is not being scored is first; True if any is."""
    waiting = training.get_job_ids()
    if not waiting:
        return False
    with database.read() as session:
        scoring = {version.project_id for version in versions.in_state(session, VersionState.SCORING)}
    jobs = Job.fetch_many(waiting, connection=training.connection, serializer=JSONSerializer)
    for steps, job in enumerate(jobs):
        if job is not None and job.kwargs.get("project_id") not in scoring:
            for _ in range((len(waiting) - steps) % len(waiting)):
                training.connection.rpoplpush(training.key, training.key)
            return True
    return False
