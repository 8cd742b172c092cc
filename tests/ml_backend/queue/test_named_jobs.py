import time

import pytest
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import ScheduledJobRegistry
from rq.serializers import JSONSerializer

from ml_backend.queue.kinds import QUICK, SCORE, TRAIN
from ml_backend.queue.queues import JobQueues


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


def test_an_immediate_request_starts_a_scheduled_assignment(queues: JobQueues) -> None:
    assert queues.request_assignment(3, delay=100)
    assert not queues.request_assignment(3)
    assert jobs(queues, QUICK) == ["assign-3"]
