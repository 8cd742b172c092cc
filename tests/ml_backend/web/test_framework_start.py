"""The start that docs/operations.md describes: the framework's own commands, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from ml_backend.demo.processes import free_port
from ml_backend.label_studio.config import default_config
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Event, VersionState
from tests.framework import CREATE, MODEL, SCRIPT, START, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ROOT = Path(__file__).parents[3]
CONFIG = default_config(["Bone"])
DECLARED = '<?xml version="1.0" encoding="UTF-8"?>\n' + CONFIG
TASKS = [{"id": number, "data": {"image": "/data/upload/3/a.png"}} for number in (5, 6)]
START_SECONDS = 120.0


def environment(settings: Settings) -> dict[str, str]:
    """As in a terminal with this environment activated: the framework starts whatever `python` is on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"MODEL_DIR": str(settings.model_dir), "REDIS_URL": settings.redis_url}
    return {**os.environ, **own, "PATH": path, "PYTHONPATH": str(ROOT)}


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/health", timeout=5).json()["status"] == "UP":
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail(log.read_text())


@pytest.fixture
def url(settings: Settings, tmp_path: Path) -> Iterator[str]:
    """Where the documented commands serve, but for the port."""
    given = environment(settings)
    (tmp_path / SCRIPT).write_text(MODEL)
    made = subprocess.run(
        CREATE.split(), cwd=tmp_path, env=given, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert not (tmp_path / "my_backend" / "model.py").exists()
    port, log = free_port(), tmp_path / "log"
    start = START.replace("9090", str(port)).split()
    with log.open("wb") as output:
        # In a group of its own: the command starts Python through a shell, which passes no signal on.
        process = subprocess.Popen(
            start, cwd=tmp_path, env=given, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def post(url: str, **body: Any) -> Any:
    response = requests.post(url, json=body, timeout=60)
    assert response.ok, response.text
    return response.json()


def test_the_documented_start_serves(url: str, settings: Settings, tmp_path: Path) -> None:
    assert requests.get(f"{url}/health", timeout=60).json() == {"status": "UP", "model_class": "DsalModel"}
    call = {"project": "3.1795370551", "label_config": DECLARED, "tasks": TASKS}
    setup = post(f"{url}/setup", project=call["project"], schema=DECLARED, extra_params={"a": 1})
    name = setup["model_version"]
    assert post(f"{url}/predict", **call) == {"results": [[], []]}

    database = Database(settings.effective_database_url)
    with database.write() as session:
        known = projects.get(session, 3)
        assert known is not None
        assert known.label_config == DECLARED
        assert versions.current_name(session, known) == name
        version = versions.create(session, known, round=0, state=VersionState.SCORING, labels=["Bone"])
        versions.publish(session, version)
    answers = post(f"{url}/predict", **call)["results"]
    assert [one["model_version"] for answer in answers for one in answer] == [name, name]

    project = {"id": 3, "title": "Hands", "label_config": DECLARED}
    heard = post(f"{url}/webhook", action="ANNOTATION_CREATED", project=project, annotation={"id": 7})
    assert heard["result"] == {"status": "accepted"}
    with database.read() as session:
        assert [event.action for event in session.scalars(select(Event))] == ["ANNOTATION_CREATED"]
    database.close()

    for named in ({}, {"project": None}, {"project": ""}):
        answer = post(f"{url}/predict", **named, label_config=CONFIG, tasks=TASKS)
        assert answer == {"results": [[], []]}
    assert (tmp_path / "log").read_text().count("names no project") == 3
