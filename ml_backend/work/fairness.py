"""Order of the queues: scoring and training alternate, so that no project waits for all work of another.

This matters only to a worker that serves both queues; the lanes of `dsal worker` never do.
"""

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
    """The queues in the order in which a worker reads them after a job from the queue named `last`.

    Quick jobs come first, then scoring, then training and upkeep in turn. After a chunk of scores, a training
    comes before the next chunk if its project is not being scored; it is moved to the front of its queue. A
    project that is being scored gets its new order before its next training, which would otherwise overtake
    it.
    """
    by_priority = sorted(queues, key=lambda queue: QUEUES.index(queue.name))
    if last == TRAIN:
        return sorted(by_priority, key=lambda queue: queue.name == TRAIN)
    training = next((queue for queue in queues if queue.name == TRAIN), None)
    if last != SCORE or training is None or not _bring_forward(training, database):
        return by_priority
    return sorted(by_priority, key=lambda queue: (queue.name == SCORE, QUEUES.index(queue.name)))


def _bring_forward(training: Queue, database: Database) -> bool:
    """Rotate the queue until a training of a project that is not being scored is first; False if none is."""
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
