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

from ml_backend import recovery
from ml_backend.app import Services
from ml_backend.embedded_redis import EmbeddedRedis
from ml_backend.owners import Owner, start_ticks
from ml_backend.queue import TRAIN, JobQueues, connect_redis
from ml_backend.settings import Settings
from ml_backend.store import events, projects, runs, scores, versions
from ml_backend.store.models import ProjectState, ScoreState, VersionState

WORK = """
import sys
from ml_backend.settings import Settings
from ml_backend.worker import run_worker
settings = Settings(model_dir=sys.argv[1], redis_url=sys.argv[2])
run_worker(settings, preload=(), burst=sys.argv[3] == "burst")
"""

NICEST = 19
"""Linux knows no nicer process, however nice the tests were when they started it."""


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


class Bench:
    """A queue, a record of what its jobs did, and workers as processes."""

    def __init__(self, settings: Settings, queues: JobQueues, record: Path) -> None:
        self.settings = settings
        self.queues = queues
        self.record = record
        self.workers: list[subprocess.Popen[bytes]] = []

    def enqueue(self, function: str, *arguments: object, retry: Retry | None = None) -> str:
        queue = next(queue for queue in self.queues.all() if queue.name == TRAIN)
        job = queue.enqueue(
            f"sleeper.{function}", args=(str(self.record), *arguments), retry=retry, result_ttl=0
        )
        return job.id

    def start(self, mode: str = "stay") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORK, str(self.settings.model_dir), self.settings.redis_url, mode]
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        self.workers.append(subprocess.Popen(command, env=here))
        return self.workers[-1]

    def lines(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []

    def begun(self) -> list[int]:
        return [int(line.split()[1]) for line in self.lines() if line.startswith("begin")]


@pytest.fixture
def bench(services: Services, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(services.settings, services.queues, tmp_path / "record")
    yield bench
    for worker in bench.workers:
        worker.kill()
        worker.wait()


def test_a_job_runs_in_a_nicer_child(bench: Bench) -> None:
    bench.enqueue("sleep", 0)
    worker = bench.start("burst")
    assert worker.wait() == 0
    begin, end = bench.lines()
    assert int(begin.split()[2]) == min(os.nice(0) + 10, NICEST)
    assert end == "end"


@pytest.mark.slow
def test_after_a_kill_no_orphan_works_on_and_a_new_worker_finishes_the_job(bench: Bench) -> None:
    bench.enqueue("sleep", 4)
    worker = bench.start()
    until(bench.begun)
    worker.kill()
    worker.wait()
    until(lambda: start_ticks(bench.begun()[0]) is None)
    assert "end" not in bench.lines()
    bench.start()
    until(lambda: "end" in bench.lines())
    assert len(bench.begun()) == 2


@pytest.mark.slow
def test_a_new_worker_plans_for_the_dead_one_at_once(bench: Bench) -> None:
    worker = bench.start()
    until(lambda: bench.queues.redis.exists(f"rq:scheduler-lock:{TRAIN}"))
    worker.kill()
    worker.wait()
    assert bench.queues.request_training(3, delay=0.5)
    bench.start()
    # The job's module cannot be used here, but to be tried it must have been brought on by the new scheduler.
    until(lambda: bench.queues.depths()[TRAIN] == 0 or _retried(bench))


def _retried(bench: Bench) -> bool:
    job = Job.fetch("train-3", connection=bench.queues.redis, serializer=JSONSerializer)
    return job.retries_left != 3


def test_a_stopped_worker_gives_its_job_back_at_once_and_at_no_cost(bench: Bench) -> None:
    job_id = bench.enqueue("sleep", 60, retry=Retry(max=2))
    worker = bench.start()
    until(bench.begun)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0, "the job would sleep for twice as long"
    assert bench.queues.depths()[TRAIN] == 1
    job = Job.fetch(job_id, connection=bench.queues.redis, serializer=JSONSerializer)
    assert job.retries_left == 2
    assert Worker.all(connection=bench.queues.redis) == []


@pytest.mark.slow
def test_a_killed_child_is_tried_again(bench: Bench) -> None:
    bench.enqueue("sleep", 3, retry=Retry(max=2))
    bench.start()
    until(bench.begun)
    os.kill(bench.begun()[0], signal.SIGKILL)
    until(lambda: "end" in bench.lines())
    assert len(bench.begun()) == 2


def test_a_failed_job_is_tried_again(bench: Bench) -> None:
    bench.enqueue("fail_once", retry=Retry(max=2))
    bench.start("burst").wait()
    assert bench.lines() == ["failed", "end"]


@pytest.mark.slow
def test_a_living_worker_keeps_its_job(bench: Bench) -> None:
    bench.enqueue("sleep", 4)
    bench.start()
    until(bench.begun)
    assert recovery.requeue_abandoned(bench.queues, "another#0") == 0
    bench.start()
    until(lambda: "end" in bench.lines())
    time.sleep(1)
    assert len(bench.begun()) == 1


def test_a_job_taken_and_not_begun_is_put_back(bench: Bench) -> None:
    bench.enqueue("sleep", 0)
    bench.queues.redis.lpop(f"rq:queue:{TRAIN}")
    assert recovery.requeue_lost(bench.queues) == 1
    assert recovery.requeue_lost(bench.queues) == 0
    bench.start("burst").wait()
    assert bench.lines()[-1] == "end"


def test_started_jobs_of_silent_workers_elsewhere_are_taken_over(bench: Bench) -> None:
    bench.enqueue("sleep", 4)
    bench.start()
    until(bench.begun)
    bench.workers[0].kill()
    queue = next(queue for queue in bench.queues.all() if queue.name == TRAIN)
    (ids,) = StartedJobRegistry(queue=queue).get_job_and_execution_ids(cleanup=False)
    key = f"rq:execution:{ids[0]}:{ids[1]}"
    bench.queues.redis.hset(key, "worker_name", "elsewhere_1_1_1#0")
    bench.queues.redis.hset("rq:worker:elsewhere_1_1_1#0", "last_heartbeat", "2999-01-01T00:00:00.000000Z")
    assert recovery.requeue_abandoned(bench.queues, "another#0") == 0
    bench.queues.redis.hset("rq:worker:elsewhere_1_1_1#0", "last_heartbeat", "2020-01-01T00:00:00.000000Z")
    assert recovery.requeue_abandoned(bench.queues, "another#0") == 1


def test_what_the_database_calls_unfinished_is_asked_for_when_redis_was_lost(services: Services) -> None:
    database, queues = services.database, services.queues
    with database.write() as session:
        projects.ensure(session, 1, seed=0)
        for project_id in (2, 3, 4):
            projects.ensure(session, project_id, seed=0).state = ProjectState.READY
        events.add(session, 2, "ANNOTATION_CREATED", changes=[f"annotation:{n}" for n in range(10)])
        planned = {
            part: versions.create(
                session, projects.ensure(session, 3, seed=0), round=round, state=VersionState.SCORING
            ).id
            for round, part in enumerate(("none", "half", "all", "measured"))
        }
        scores.plan(session, planned["half"], [1, 2, 3], chunk_size=2)
        scores.set_state(session, planned["half"], [1, 2], ScoreState.WRITTEN)
        scores.plan(session, planned["all"], [1], chunk_size=2)
        scores.set_state(session, planned["all"], [1], ScoreState.WRITTEN)
        scores.plan(session, planned["measured"], [1], chunk_size=2)
        scores.set_state(session, planned["measured"], [1], ScoreState.MEASURED)
        lost = runs.begin(session, 4, Owner("gone", "1", 1, 1), force=True)
        assert lost is not None
        lost.heartbeat_at -= 2 * runs.LEASE
    recovery.resume_orderings(database, queues)
    recovery.resume_trainings(services.settings, database, queues)
    waiting = {job_id for queue in queues.all() for job_id in queue.get_job_ids()}
    assert waiting == {
        "start-1",
        "train-2",
        "train-4",
        f"score-v{planned['none']}",
        f"score-v{planned['half']}-c1",
        f"publish-v{planned['all']}",
        f"rank-v{planned['measured']}",
    }


@pytest.mark.slow
def test_a_worker_outlives_its_redis(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    settings = Settings(model_dir=tmp_path, redis_url=f"unix://{server.socket}")
    bench = Bench(settings, JobQueues(connect_redis(settings)), tmp_path / "record")
    bench.enqueue("sleep", 3)
    worker = bench.start()
    try:
        until(bench.begun)
        time.sleep(1.5)  # Redis writes its file once a second.
        os.kill(int((tmp_path / "redis" / "redis.pid").read_text()), signal.SIGKILL)
        until(lambda: "end" in bench.lines())
        again = EmbeddedRedis(tmp_path / "redis")
        bench.enqueue("sleep", 0)
        until(lambda: bench.lines()[-1] == "end" and len(bench.begun()) >= 2)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        again.leave()
    finally:
        worker.kill()
        worker.wait()
        server.leave()
