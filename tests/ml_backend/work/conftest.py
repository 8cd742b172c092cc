from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_backend.web.app import Services
from tests.ml_backend.work.processes import Workers


@pytest.fixture
def workers(services: Services, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(services.settings, services.queues, tmp_path / "record")
    yield workers
    for worker in workers.processes:
        worker.kill()
        worker.wait()
