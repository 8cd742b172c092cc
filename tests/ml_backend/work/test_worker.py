import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from ml_backend.store.liveness import ProcessId, start_ticks
from ml_backend.web.app import Services

WORK = """
import sys
from ml_backend.settings import Settings
from ml_backend.work.worker import run_worker
settings = Settings(model_dir=sys.argv[1], redis_url=sys.argv[2])
run_worker(settings, packages=(), burst=sys.argv[3] == "burst")
"""


STOPPED_AT_THE_FORK = """
import os, signal, time
from ml_backend.work.worker import JobWorker
fork, fork_work_horse = os.fork, JobWorker.fork_work_horse

def stopped():
    child = fork()
    if child:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        time.sleep(0.5)
    return child

def fork_and_stop(self, job, queue):
    os.fork = stopped
    try:
        fork_work_horse(self, job, queue)
    finally:
        os.fork = fork

JobWorker.fork_work_horse = fork_and_stop
"""
"""The worker is told to stop after it has forked a job, before either process has gone on."""

MAX_NICENESS = 19
"""Linux has no higher niceness, whatever the niceness of the tests."""


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


class Workers:
    """Worker processes, their queue, and a record of what its jobs did."""

    def __init__(self, settings: Settings, queues: JobQueues, record: Path) -> None:
        self.settings = settings
        self.queues = queues
        self.record = record
        self.processes: list[subprocess.Popen[bytes]] = []

    def enqueue(self, function: str, *arguments: object, retry: Retry | None = None) -> str:
        queue = next(queue for queue in self.queues.all() if queue.name == TRAIN)
        job = queue.enqueue(
            f"sleeper.{function}", args=(str(self.record), *arguments), retry=retry, result_ttl=0
        )
        return job.id

    def start(self, mode: str = "stay", before: str = "") -> subprocess.Popen[bytes]:
        options = (str(self.settings.model_dir), self.settings.redis_url, mode)
        command = [sys.executable, "-c", before + WORK, *options]
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        self.processes.append(subprocess.Popen(command, env=here, start_new_session=True))
        return self.processes[-1]

    def lines(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []

    def begun(self) -> list[int]:
        return [int(line.split()[1]) for line in self.lines() if line.startswith("begin")]


@pytest.fixture
def workers(services: Services, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(services.settings, services.queues, tmp_path / "record")
    yield workers
    for worker in workers.processes:
        worker.kill()
        worker.wait()


@pytest.mark.slow
def test_a_job_runs_in_a_child_of_lower_priority(workers: Workers) -> None:
    workers.enqueue("sleep", 0)
    worker = workers.start("burst")
    assert worker.wait() == 0
    begin, end = workers.lines()
    assert int(begin.split()[2]) == min(os.nice(0) + 10, MAX_NICENESS)
    assert end == "end"


@pytest.mark.slow
def test_after_a_kill_no_orphan_continues_and_a_new_worker_finishes_the_job(workers: Workers) -> None:
    workers.enqueue("sleep", 4)
    worker = workers.start()
    until(workers.begun)
    worker.kill()
    worker.wait()
    until(lambda: start_ticks(workers.begun()[0]) is None)
    assert "end" not in workers.lines()
    workers.start()
    until(lambda: "end" in workers.lines())
    assert len(workers.begun()) == 2


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
def test_a_stopped_worker_requeues_its_job_without_using_up_a_retry(workers: Workers) -> None:
    job_id = workers.enqueue("sleep", 60, retry=Retry(max=2))
    worker = workers.start()
    until(workers.begun)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0, "the job would sleep for twice as long"
    assert workers.queues.depths()[TRAIN] == 1
    job = Job.fetch(job_id, connection=workers.queues.redis, serializer=JSONSerializer)
    assert job.retries_left == 2
    assert Worker.all(connection=workers.queues.redis) == []


@pytest.mark.slow
def test_a_worker_stopped_while_it_forks_a_job_requeues_it(workers: Workers) -> None:
    job_id = workers.enqueue("sleep", 60, retry=Retry(max=2))
    worker = workers.start(before=STOPPED_AT_THE_FORK)
    assert worker.wait(timeout=30) == 0
    assert "end" not in workers.lines()
    assert workers.queues.depths()[TRAIN] == 1
    job = Job.fetch(job_id, connection=workers.queues.redis, serializer=JSONSerializer)
    assert job.retries_left == 2


@pytest.mark.slow
def test_the_job_of_a_killed_child_is_retried(workers: Workers) -> None:
    workers.enqueue("sleep", 3, retry=Retry(max=2))
    workers.start()
    until(workers.begun)
    os.kill(workers.begun()[0], signal.SIGKILL)
    until(lambda: "end" in workers.lines())
    assert len(workers.begun()) == 2


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
