"""A worker's lanes: quick jobs do not wait for slow ones, and a lane that is killed starts again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from ml_backend.queue.kinds import QUICK, TRAIN
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.web.app import Services
from tests.ml_backend.work.processes import until

pytestmark = pytest.mark.slow

WORK = """
import sys
from ml_backend.settings import Settings
from ml_backend.work.lanes import run_lanes
url = {"database_url": sys.argv[3]} if len(sys.argv) > 3 else {}
sys.exit(run_lanes(Settings(model_dir=sys.argv[1], redis_url=sys.argv[2], **url), packages=()))
"""


class Worker:
    """A worker with all lanes, and what its jobs recorded."""

    def __init__(self, settings: Settings, queues: JobQueues, folder: Path) -> None:
        self.settings, self.queues, self.folder = settings, queues, folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *database: str) -> psutil.Process:
        command = [
            sys.executable,
            "-c",
            WORK,
            str(self.settings.model_dir),
            self.settings.redis_url,
            *database,
        ]
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)})
        return psutil.Process(self.process.pid)

    def sleep(self, queue_name: str, record: str, seconds: float) -> None:
        queue = next(queue for queue in self.queues.all() if queue.name == queue_name)
        queue.enqueue("sleeper.sleep", args=(str(self.folder / record), seconds), result_ttl=0)

    def lines(self, record: str) -> list[str]:
        path = self.folder / record
        return path.read_text().splitlines() if path.exists() else []

    def pids(self, record: str) -> list[int]:
        return [int(line.split()[1]) for line in self.lines(record) if line.startswith("begin")]


@pytest.fixture
def worker(services: Services, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(services.settings, services.queues, tmp_path)
    yield worker
    if worker.process is not None:
        worker.process.kill()
        worker.process.wait()


def test_a_quick_job_does_not_wait_for_a_training_which_gives_way(worker: Worker) -> None:
    worker.sleep(TRAIN, "training", 60)
    worker.start()
    until(lambda: worker.pids("training"))
    worker.sleep(QUICK, "quick", 0)
    until(lambda: "end" in worker.lines("quick"))
    assert "end" not in worker.lines("training")
    quick, training = (int(worker.lines(name)[0].split()[2]) for name in ("quick", "training"))
    assert quick < training


def test_a_killed_lane_starts_again_and_finishes_its_job(worker: Worker) -> None:
    worker.sleep(TRAIN, "training", 3)
    parent = worker.start()
    until(lambda: worker.pids("training"))
    lane = psutil.Process(worker.pids("training")[0]).parent()
    assert lane.parent() == parent
    lane.kill()
    until(lambda: "end" in worker.lines("training"), 120)
    assert len(worker.pids("training")) == 2
    assert parent.is_running()


def test_a_signal_ends_all_lanes_and_their_jobs(worker: Worker) -> None:
    worker.sleep(TRAIN, "training", 60)
    parent = worker.start()
    until(lambda: worker.pids("training"))
    children = parent.children(recursive=True)
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(timeout=30) == 0
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)
    assert worker.queues.depths()[TRAIN] == 1, "the job is to be run again"


def test_no_lane_outlives_a_killed_parent(worker: Worker) -> None:
    worker.sleep(TRAIN, "training", 60)
    parent = worker.start()
    until(lambda: worker.pids("training"))
    children = parent.children(recursive=True)
    parent.kill()
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)


def test_a_lane_that_cannot_start_ends_the_worker(worker: Worker) -> None:
    worker.start("sqlite:////proc/none/none.sqlite3")
    assert worker.process is not None
    assert worker.process.wait(timeout=60) == 1
