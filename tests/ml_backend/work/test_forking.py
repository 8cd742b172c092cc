import os
import signal

import pytest
from rq import Retry, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from ml_backend.queue.kinds import TRAIN
from ml_backend.store.liveness import start_ticks
from tests.ml_backend.work.processes import Workers, until

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
