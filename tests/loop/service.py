"""`dsal serve` and `dsal worker` as real processes, with a real Label Studio."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]
import requests
from rq.job import JobStatus
from rq.utils import as_text

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.processes import Processes, free_port
from ml_backend.label_studio.client import LabelStudio
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.context import Context, image_reader
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore
from model.strategies import PAPER
from tests.loop.fork_server import ForkServer, Worker

AUTH = ("label-studio", "a password")
POLL_SECONDS = 0.05
Found = TypeVar("Found")


class Service:
    """The running service; its worker can be killed and restarted with other settings."""

    def __init__(self, server: LabelStudioServer, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "LABEL_STUDIO_URL": server.url,
            "LABEL_STUDIO_API_KEY": server.token,
            "MODEL_DIR": str(folder / "data"),
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "STORE_URL": "",
            "HOST": "127.0.0.1",
            "PORT": str(free_port()),
            "BASIC_AUTH_USER": AUTH[0],
            "BASIC_AUTH_PASS": AUTH[1],
            "NETWORK_WIDTH": "4",
            "IMAGE_SIZE": "128",
            "TRAIN_STEPS": "60",
            "TRAIN_SECONDS": "",
            "RETRAIN_EVERY": "3",
            "QUIET_SECONDS": "6",
            # Most tests count versions and runs; tests/loop/test_continuous.py sets it.
            "LEARN_FROM": "0",
            # tests/loop/test_suspicious.py sets it.
            "EXAMINE_FROM": "0",
            "SCORE_CHUNK": "4",
            "ASSIGNMENT_SIZE": "3",
            "QUERY_SIZE": "3",
            # Networks that train for a second draw badly; tests compare what is shown with what they drew.
            "MASK_FLOOR": "0",
            "SMALLEST_REGION": "0",
            "MAX_REGIONS": "200",
            "INITIAL_WEIGHTS": "none",
            # They take a third of a training; tests/loop/test_clicks.py sets it.
            "PROMPT_EPISODES": "0",
            # Most tests read the order from its top.
            "STRATEGY": PAPER,
            "PREDICT_SECONDS": "0.5",
            # Tests reconcile explicitly.
            "RECONCILE_SECONDS": "0",
            "OMP_NUM_THREADS": "1",
        }
        names = {name.lower(): value for name, value in self.environment.items() if value}
        self.settings = Settings.model_validate(names)
        self.label_studio = LabelStudio(server.url, server.token)
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self.logs = folder / "logs"
        self._server = Processes(self.logs, self.environment)
        self._fork_server = ForkServer()
        self._worker: Worker | None = None
        self._worker_settings: dict[str, str] = {}

    def start(self) -> None:
        """Start the web service; the worker is started by `work`."""
        self._server.start("serve", ["serve"])
        self._server.wait_until_healthy(f"{self.url}/health")
        self.database = Database(self.settings.effective_database_url)
        self.weights = WeightStore(self.settings.effective_store_url, self.settings.weights_cache_dir)

    def stop(self) -> None:
        """Stop all processes."""
        self.rest()
        self._fork_server.close()
        self._server.stop()

    def work(self, **settings: str) -> int:
        """Ensure a worker is running with `settings` added to the service's; returns its process id."""
        if self._worker is None or settings != self._worker_settings:
            self.rest()
            self._worker = self._fork_server.worker(self.environment | settings, self.logs / "worker.log")
            self._worker_settings = settings
        return self._worker.pid

    def rest(self) -> None:
        """Stop the worker."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the web service during the block: Label Studio's calls get no answer."""
        self._server.stop()
        try:
            yield
        finally:
            self._server.start("serve", ["serve"])
            self._server.wait_until_healthy(f"{self.url}/health")

    @contextmanager
    def context(self) -> Iterator[Context]:
        """The context of a job."""
        client = connect_redis(self.settings)
        queues, images = JobQueues(client), image_reader(self.settings, self.label_studio)
        try:
            yield Context(self.settings, self.label_studio, self.database, self.weights, queues, images)
        finally:
            client.close()

    def settle(self) -> None:
        """Wait until no job is queued or running; scheduled jobs are ignored."""
        busy = {JobStatus.QUEUED, JobStatus.STARTED}
        with self.context() as context:
            redis = context.queues.redis

            def settled() -> bool:
                # A job may be in neither the queue nor a registry for a moment; its own record has its
                # status.
                states = [redis.hget(key, "status") for key in redis.scan_iter("rq:job:*", _type="HASH")]
                return not any(JobStatus(as_text(state)) in busy for state in states if state)

            self.wait(settled, "the end of all jobs")

    def kill_worker(self) -> list[psutil.Process]:
        """Kill (-9) the worker's parent process; returns the children it had."""
        assert self._worker is not None
        pid = self._worker.pid
        children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        self.rest()
        return children

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the worker and its job during the block, at a moment without a lock on the database."""
        assert self._worker is not None
        worker = psutil.Process(self._worker.pid)
        path = self.settings.model_dir / "dsal.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            suspended = [worker, *worker.children(recursive=True)]
            for process in suspended:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            connection.execute("ROLLBACK")
        try:
            yield
        finally:
            # Children first: one that ended just before it was suspended is gone once the worker resumes.
            for process in reversed(suspended):
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def check(self) -> None:
        """Raise an error if a process that should be running has ended."""
        for processes in (self._server, self._worker):
            if processes is not None:
                processes.check()

    def log(self, name: str) -> str:
        """The log of a process so far."""
        return (self.logs / f"{name}.log").read_text()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request to the service, with its password."""
        return requests.request(method, f"{self.url}{path}", auth=AUTH, timeout=30, **options)

    def ask_label_studio(
        self, method: str, path: str, *, by: LabelStudio | None = None, **options: Any
    ) -> Any:
        """Send one request to Label Studio as its user, or as `by`; returns the JSON response."""
        headers = {"Authorization": (by or self.label_studio).authorization()}
        url = f"{self.label_studio.url}{path}"
        answer = requests.request(method, url, headers=headers, timeout=120, **options)
        answer.raise_for_status()
        return answer.json()

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `dsal ARGUMENTS` with `settings` added to the service's."""
        return subprocess.run(
            [sys.executable, "-m", "ml_backend", *arguments],
            env={**os.environ, **self.environment, "COLUMNS": "200", **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def wait(self, condition: Callable[[], Found | None], what: str, seconds: float = 240.0) -> Found:
        """Poll until `condition` returns something true, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            if found := condition():
                return found
            self.check()
            assert time.monotonic() < deadline, (
                f"{what} did not happen within {seconds:.0f} s; {self._tails()}"
            )
            # A slow condition takes time from the processes it waits for.
            time.sleep(max(POLL_SECONDS, 2 * (time.monotonic() - began)))

    @contextmanager
    def frozen_when(self, query: str, *values: Any, seconds: float = 240.0) -> Iterator[None]:
        """Wait until `query` returns a row, and block all writes to the database until the end of the block.

        A worker cannot take its next step meanwhile, so the block sees what a user sees at this moment of its
        work. The block must take less than the 10 s that writers wait.
        """
        path = self.settings.model_dir / "dsal.sqlite3"
        deadline = time.monotonic() + seconds
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            while True:
                connection.execute("BEGIN IMMEDIATE")
                if connection.execute(query, values).fetchone() is not None:
                    break
                connection.execute("ROLLBACK")
                assert time.monotonic() < deadline, f"No row for {query}; {self._tails()}"
                time.sleep(0.01)
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    def _tails(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.logs.glob("*.log"))
        )
