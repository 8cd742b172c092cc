from rq.job import JobStatus

from ml_backend.queue.queues import JobQueues
from tests.ml_backend.queue.test_named_jobs import set_status


def test_a_lock_is_per_name_and_released_at_the_end(queues: JobQueues) -> None:
    with queues.locks.exclusive("assign-3", 60) as first, queues.locks.exclusive("assign-4", 60) as other:
        assert first
        assert other
    with queues.locks.exclusive("assign-3", 60) as again:
        assert again


def test_a_second_job_does_not_get_the_lock_and_does_not_release_it(queues: JobQueues) -> None:
    queues.request_assignment(3)
    set_status(queues, "assign-3", JobStatus.STARTED)
    queues.redis.set("dsal-alone-assign-3", "assign-3", ex=60)
    for _ in range(2):
        with queues.locks.exclusive("assign-3", 60) as second:
            assert not second


def test_the_lock_of_a_job_that_is_no_longer_executed_is_free(queues: JobQueues) -> None:
    queues.request_chunks(1, [0])
    queues.redis.set("dsal-alone-turn", "score-v1-c0")
    set_status(queues, "score-v1-c0", JobStatus.STARTED)
    assert queues.locks.is_locked("turn")
    with queues.locks.exclusive("turn", 60) as free:
        assert not free
    # Killed, and waiting to run again.
    set_status(queues, "score-v1-c0", JobStatus.QUEUED)
    assert not queues.locks.is_locked("turn")
    with queues.locks.exclusive("turn", 60) as free:
        assert free
    assert queues.redis.get("dsal-alone-turn") is None
