import time

import pytest
import redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import ScheduledJobRegistry
from rq.serializers import JSONSerializer

from ml_backend.queue.kinds import EXAMINE, QUICK, SCORE, TRAIN
from ml_backend.queue.queues import JobQueues, connect_redis
from ml_backend.settings import Settings


def jobs(queues: JobQueues, name: str) -> list[str]:
    return Queue(name, connection=queues.redis, serializer=JSONSerializer).get_job_ids()


def set_status(queues: JobQueues, job_id: str, status: JobStatus) -> None:
    Job.fetch(job_id, connection=queues.redis, serializer=JSONSerializer).set_status(status)
    queues.redis.lrem(f"rq:queue:{TRAIN}", 0, job_id)


def test_a_waiting_job_is_not_added_twice(queues: JobQueues) -> None:
    assert queues.request_score_chunk(1, 0)
    assert not queues.request_score_chunk(1, 0)
    assert queues.request_score_chunk(1, 1)
    assert jobs(queues, SCORE) == ["score-v1-c0", "score-v1-c1"]


def test_jobs_contain_ids_as_json_and_no_pickle(queues: JobQueues) -> None:
    queues.request_training(3)
    job = Job.fetch("train-3", connection=queues.redis, serializer=JSONSerializer)
    assert (job.func_name, job.kwargs) == ("train", {"project_id": 3})
    assert job.retries_left == 3


def test_a_delayed_request_postpones_a_training_and_an_immediate_one_starts_it(queues: JobQueues) -> None:
    assert queues.request_training(3, delay=100)
    registry = ScheduledJobRegistry(TRAIN, connection=queues.redis, serializer=JSONSerializer)
    assert not queues.request_training(3, delay=500)
    assert not queues.request_training(3, delay=10)
    assert queues.redis.zscore(registry.key, "train-3") == pytest.approx(time.time() + 500, abs=5)
    assert not queues.training_waits(3)
    assert not queues.request_training(3)
    assert queues.training_waits(3)
    assert jobs(queues, TRAIN) == ["train-3"]
    assert queues.depths()[TRAIN] == 1


def test_while_a_training_runs_one_more_can_wait(queues: JobQueues) -> None:
    queues.request_training(3)
    set_status(queues, "train-3", JobStatus.STARTED)
    assert queues.request_training(3)
    assert not queues.request_training(3)
    assert jobs(queues, TRAIN) == ["train-3-again-1"]


def test_a_chunk_that_is_being_scored_is_not_requested_again(queues: JobQueues) -> None:
    queues.request_score_chunk(1, 0)
    set_status(queues, "score-v1-c0", JobStatus.STARTED)
    assert not queues.request_score_chunk(1, 0)


@pytest.mark.parametrize("end", [JobStatus.FAILED, JobStatus.FINISHED, JobStatus.STOPPED])
def test_a_job_that_ended_is_replaced(queues: JobQueues, end: JobStatus) -> None:
    queues.request_training(3)
    set_status(queues, "train-3", end)
    assert queues.request_training(3)
    assert jobs(queues, TRAIN) == ["train-3"]


def test_an_unreachable_redis_is_reported_at_once(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    with pytest.raises(redis.exceptions.ConnectionError):
        connect_redis(nowhere)


def test_an_immediate_request_starts_a_scheduled_assignment(queues: JobQueues) -> None:
    assert queues.request_assignment(3, delay=100)
    assert not queues.request_assignment(3)
    assert jobs(queues, QUICK) == ["assign-3"]


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


def test_a_chunk_that_a_turn_works_on_is_requested_by_nobody(queues: JobQueues) -> None:
    with queues.locks.exclusive(queues.chunk_name(1, 0), 60):
        assert queues.is_scored_now(1, [0])
        assert queues.request_chunks(1, [0, 1, 2]) == 1, "two at once: one is worked on, one is added"
        assert queues.depths()[SCORE] == 1
    assert queues.request_chunks(1, [0, 1, 2]) == 1


def test_only_other_work_ends_a_turn(queues: JobQueues) -> None:
    queues.request_chunks(1, [0, 1])
    assert not queues.others_wait(1)
    assert queues.others_wait(11), "another version's chunks wait"
    queues.request_training(1)
    assert not queues.others_wait(1), "trainings have a lane of their own"
    queues.request_score_new(1)
    assert queues.others_wait(1)


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


def test_an_examination_that_waits_takes_no_training_its_turn(queues: JobQueues) -> None:
    queues.request_training(3)
    queues.request_examination(4)
    assert not queues.others_train(3)
    queues.request_training(5)
    assert queues.others_train(3)


def test_the_queues_are_idle_beside_an_examination_and_upkeep_that_runs(queues: JobQueues) -> None:
    queues.request_examination(4)
    assert queues.is_idle(EXAMINE)
    for request in (queues.request_order, queues.request_redraw, queues.request_training):
        request(3)
        assert not queues.is_idle(EXAMINE)
        queues.forget_project(3, ())
        assert queues.is_idle(EXAMINE)
    queues.request_training(3, delay=100)
    assert queues.is_idle(EXAMINE), "a training that waits for a quiet moment"
