import os
import signal
import time
from pathlib import Path

import pytest
from rq import Retry, Worker
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from ml_backend.queue import recovery
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.queue.kinds import TRAIN
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.liveness import ProcessId
from tests.ml_backend.work.processes import Workers, until


@pytest.mark.slow
def test_a_new_worker_takes_over_the_schedule_of_a_dead_one(workers: Workers) -> None:
    worker = workers.start()
    until(lambda: workers.queues.redis.exists(f"rq:scheduler-lock:{TRAIN}"))
    worker.kill()
    worker.wait()
    assert workers.queues.request_training(3, delay=0.5)
    workers.start()
    # The job's function is not registered here, but an attempt shows that the new scheduler enqueued it.
    until(lambda: workers.queues.depths()[TRAIN] == 0 or _retried(workers))


def _retried(workers: Workers) -> bool:
    job = Job.fetch("train-3", connection=workers.queues.redis, serializer=JSONSerializer)
    return job.retries_left != 3


@pytest.mark.slow
def test_a_failed_job_is_retried(workers: Workers) -> None:
    workers.enqueue("fail_once", retry=Retry(max=2))
    workers.start("burst").wait()
    assert workers.lines() == ["failed", "end"]


@pytest.mark.slow
def test_a_live_worker_keeps_its_job(workers: Workers) -> None:
    workers.enqueue("sleep", 4)
    workers.start()
    until(workers.begun)
    assert recovery.requeue_abandoned(workers.queues, "another#0") == 0
    workers.start()
    until(lambda: "end" in workers.lines())
    time.sleep(1)
    assert len(workers.begun()) == 1


@pytest.mark.slow
def test_a_job_taken_but_not_started_is_requeued(workers: Workers) -> None:
    workers.enqueue("sleep", 0)
    workers.queues.redis.lpop(f"rq:queue:{TRAIN}")
    assert recovery.requeue_lost(workers.queues) == 1
    assert recovery.requeue_lost(workers.queues) == 0
    workers.start("burst").wait()
    assert workers.lines()[-1] == "end"


def test_a_job_that_a_live_worker_has_taken_is_not_lost(workers: Workers) -> None:
    job_id = workers.enqueue("sleep", 0)
    queue = next(queue for queue in workers.queues.all() if queue.name == TRAIN)
    redis = workers.queues.redis
    worker = Worker([queue], f"{ProcessId.current()}#0", connection=redis, serializer=JSONSerializer)
    redis.lpop(queue.key)
    # The child that runs the job has not started it yet.
    worker.prepare_execution(Job.fetch(job_id, connection=redis, serializer=JSONSerializer))
    assert recovery.requeue_lost(workers.queues) == 0
    assert recovery.requeue_abandoned(workers.queues, "another#0") == 0

    # When that worker is dead, another one takes the job.
    assert recovery.requeue_abandoned(workers.queues, f"{ProcessId.current()}#1") == 1
    assert queue.get_job_ids() == [job_id]


@pytest.mark.slow
def test_jobs_of_remote_workers_without_heartbeats_are_requeued(workers: Workers) -> None:
    workers.enqueue("sleep", 4)
    workers.start()
    until(workers.begun)
    workers.processes[0].kill()
    queue = next(queue for queue in workers.queues.all() if queue.name == TRAIN)
    (ids,) = StartedJobRegistry(queue=queue).get_job_and_execution_ids(cleanup=False)
    key = f"rq:execution:{ids[0]}:{ids[1]}"
    workers.queues.redis.hset(key, "worker_name", "elsewhere_1_1_1#0")
    # The other machine's clock is years behind, but Redis still has the worker's record.
    workers.queues.redis.hset("rq:worker:elsewhere_1_1_1#0", "last_heartbeat", "2020-01-01T00:00:00.000000Z")
    assert recovery.requeue_abandoned(workers.queues, "another#0") == 0
    workers.queues.redis.expire("rq:worker:elsewhere_1_1_1#0", 0)
    assert recovery.requeue_abandoned(workers.queues, "another#0") == 1


@pytest.mark.slow
def test_a_worker_survives_a_killed_redis(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    settings = Settings(model_dir=tmp_path, redis_url=f"unix://{server.socket}")
    workers = Workers(settings, JobQueues(connect_redis(settings)), tmp_path / "record")
    workers.enqueue("sleep", 3)
    worker = workers.start()
    try:
        until(workers.begun)
        time.sleep(1.5)  # Redis writes its file once a second.
        os.kill(int((tmp_path / "redis" / "redis.pid").read_text()), signal.SIGKILL)
        until(lambda: "end" in workers.lines())
        again = EmbeddedRedis(tmp_path / "redis")
        workers.enqueue("sleep", 0)
        until(lambda: workers.lines()[-1] == "end" and len(workers.begun()) >= 2)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        again.leave()
    finally:
        worker.kill()
        worker.wait()
        server.leave()
