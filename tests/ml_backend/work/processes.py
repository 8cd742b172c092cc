"""Workers as processes, and a record of what their jobs did."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rq import Retry

from ml_backend.queue.kinds import TRAIN
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings

WORK = """
import sys
from ml_backend.settings import Settings
from ml_backend.work.worker import run_worker
settings = Settings(model_dir=sys.argv[1], redis_url=sys.argv[2])
run_worker(settings, packages=(), burst=sys.argv[3] == "burst")
"""


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
