"""The order in which a worker takes the jobs of several projects."""

from __future__ import annotations

from rq import Queue
from rq.job import Job, JobStatus

from ml_backend.queue.kinds import QUICK, SCORE, TRAIN, UPKEEP
from ml_backend.queue.queues import JobQueues
from ml_backend.store import projects, versions
from ml_backend.store.models import VersionState
from ml_backend.web.app import Services
from ml_backend.work import fairness

LARGE, SMALL = 1, 2


def order(services: Services, last: str) -> list[str]:
    return [queue.name for queue in fairness.order(services.queues.all(), last, services.database)]


def score(services: Services, project_id: int) -> int:
    """Create a version that is being scored; returns its id."""
    with services.database.write() as session:
        project = projects.ensure(session, project_id, seed=0)
        return versions.create(session, project, round=0, state=VersionState.SCORING).id


def fetch(queue: Queue, name: str) -> Job:
    job = queue.fetch_job(name)
    assert job is not None
    return job


def test_quick_jobs_come_first_then_scoring_then_training_and_upkeep_in_turn(services: Services) -> None:
    for last in (QUICK, SCORE, UPKEEP):
        assert order(services, last) == [QUICK, SCORE, TRAIN, UPKEEP]
    assert order(services, TRAIN) == [QUICK, SCORE, UPKEEP, TRAIN]


def test_after_a_chunk_a_training_of_another_project_is_next(services: Services) -> None:
    score(services, LARGE)
    for project_id in (LARGE, SMALL, 3):
        services.queues.request_training(project_id)
    assert order(services, SCORE) == [QUICK, TRAIN, UPKEEP, SCORE]
    training = next(queue for queue in services.queues.all() if queue.name == TRAIN)
    assert training.get_job_ids() == [f"train-{SMALL}", "train-3", f"train-{LARGE}"]
    assert order(services, TRAIN) == [QUICK, SCORE, UPKEEP, TRAIN]


def test_a_project_finishes_its_scores_before_it_trains_again(services: Services) -> None:
    score(services, LARGE)
    services.queues.request_training(LARGE)
    assert order(services, SCORE) == [QUICK, SCORE, TRAIN, UPKEEP]


def test_a_version_has_only_a_few_chunks_in_the_queue(queues: JobQueues) -> None:
    assert queues.request_chunks(1, range(10)) == 2
    assert queues.request_chunks(2, range(3)) == 2
    waiting = next(queue for queue in queues.all() if queue.name == SCORE)
    assert waiting.get_job_ids() == ["score-v1-c0", "score-v1-c1", "score-v2-c0", "score-v2-c1"]
    assert queues.request_chunks(1, range(10)) == 0

    # The first has ended; the next is queued behind those of the other version.
    fetch(waiting, "score-v1-c0").delete()
    assert queues.request_chunks(1, range(1, 10)) == 1
    assert waiting.get_job_ids() == ["score-v1-c1", "score-v2-c0", "score-v2-c1", "score-v1-c2"]


def test_a_failed_chunk_is_skipped_unless_requested_again(queues: JobQueues) -> None:
    queues.request_chunks(1, [0, 1])
    waiting = next(queue for queue in queues.all() if queue.name == SCORE)
    fetch(waiting, "score-v1-c0").set_status(JobStatus.FAILED)
    waiting.remove("score-v1-c0")
    assert queues.request_chunks(1, [0, 1, 2]) == 1
    assert waiting.get_job_ids() == ["score-v1-c1", "score-v1-c2"]
    fetch(waiting, "score-v1-c1").delete()
    assert queues.request_chunks(1, [0, 2], again=True) == 1
    assert waiting.get_job_ids() == ["score-v1-c2", "score-v1-c0"]


def test_the_jobs_of_a_purged_project_are_deleted(queues: JobQueues) -> None:
    queues.request_training(LARGE)
    queues.request_training(SMALL, delay=100)
    queues.request_score_chunk(7, 0)
    queues.request_score_chunk(8, 0)
    queues.forget_project(LARGE, [7])
    assert queues.depths() == {QUICK: 0, SCORE: 1, TRAIN: 1, UPKEEP: 0}
    queues.forget_project(SMALL, [8])
    assert queues.depths() == {QUICK: 0, SCORE: 0, TRAIN: 0, UPKEEP: 0}
