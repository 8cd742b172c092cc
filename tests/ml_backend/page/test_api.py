"""The API keeps to its own description, whatever is sent."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from threading import Thread
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from pydantic import SecretStr
from schemathesis import Case
from schemathesis.core.result import Ok
from werkzeug.serving import make_server

from ml_backend.page.openapi import description
from ml_backend.store import actions, projects, versions
from ml_backend.store.models import Score, ScoreState, VersionState
from ml_backend.web.app import Services, create_app
from tests.ml_backend.page.rows import metrics, suspicious_label
from tests.packaging import documents

EXAMPLES = 5


@pytest.fixture
def filled(services: Services, unlocked: Services) -> Services:
    """A project 3 with a version and a scored task."""
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(
            session,
            project,
            round=0,
            state=VersionState.SCORING,
            weights_hash="a" * 64,
            labels=("Bone",),
            metrics=metrics([0.8, 0.9, 0.7, 0.8, 0.85]),
        )
        versions.publish(session, version)
        session.add(
            Score(
                version_id=version.id,
                task_id=1,
                score=0.5,
                priority=0.5,
                quality=0.7,
                state=ScoreState.WRITTEN,
            )
        )
        label = suspicious_label(7, wrong=True)
        label.regions = [{"given": None, "seen": "Bone", "pixels": 9, "certainty": 0.9, "weight": 0.5}]
        label.regions[0]["box"] = [1, 2, 3, 4]
        session.add(label)
    return unlocked


def test_every_answer_is_as_described(filled: Services) -> None:
    # Not by its plugin for pytest, which does not know pytest 9.
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", create_app(filled))
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        def check(case: Case) -> None:
            case.call_and_validate()

        check()
    assert "POST /api/projects/{project}/actions" in {operation.label for operation in operations}


def test_a_project_that_exists_answers_as_described(filled: Services) -> None:
    client = create_app(filled).test_client()
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", create_app(filled))
    for path in description("/")["paths"]:
        if "{action}" not in path:
            operation = schema[path]["GET"]
            answer = operation.Case(path_parameters={"project": 3} if "{project}" in path else {}).call()
            assert answer.status_code == 200, path
            operation.validate_response(answer)
    assert '"published":"p3-r000-' in client.get("/api/projects/3").text
    found = client.get("/api/projects/3/suspicious").json
    assert found is not None
    assert [(one["task"], one["regions"][0]["box"]) for one in found["labels"]] == [(107, [1, 2, 3, 4])]


def test_an_action_is_answered_with_its_row(filled: Services) -> None:
    client = create_app(filled).test_client()
    answer = client.post("/api/projects/3/actions", json={"action": "pause"}, auth=("ann", ""))
    assert answer.status_code == 202
    assert answer.json is not None
    assert (answer.json["state"], answer.json["via"], answer.json["who"]) == ("waiting", "api", "ann")
    assert client.get(f"/api/actions/{answer.json['id']}").json == answer.json
    with filled.database.read() as session:
        assert len(actions.recent(session, 3)) == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"action": "publish"}, 400, "Name the version"),
        ({"action": "publish", "target": "p3-r009-x"}, 404, "has no version"),
        ({"action": "resume"}, 409, "not paused"),
        ({"action": "fly"}, 400, "must be one of"),
        ({"action": "pause", "more": 1}, 400, "Send an object"),
        ([], 400, "Send an object"),
    ],
)
def test_a_refusal_is_one_sentence(filled: Services, body: object, status: int, said: str) -> None:
    answer = create_app(filled).test_client().post("/api/projects/3/actions", json=body)
    assert answer.status_code == status
    assert answer.json is not None
    assert said in answer.json["error"]


def test_a_form_is_not_taken_as_json(client: FlaskClient) -> None:
    answer = client.post("/api/projects/3/actions", data='{"action": "pause"}', content_type="text/plain")
    assert answer.status_code == 415


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_calls_that_the_guide_shows(filled: Services) -> None:
    password = {"basic_auth_user": "dsal", "basic_auth_pass": SecretStr("PASSWORD")}
    with filled.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        later = versions.create(
            session, project, round=1, state=VersionState.SCORING, labels=("Bone",), weights_hash="b" * 64
        )
        versions.publish(session, later)
    locked = Services(filled.settings.model_copy(update=password), filled.database, filled.queues)
    server = make_server("127.0.0.1", 0, create_app(locked), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        shown, asked = (
            curl(line.replace("localhost:9090", f"127.0.0.1:{server.port}"))
            for document, line in documents.commands()
            if document == "docs/page.md" and line.startswith("curl ")
        )
    finally:
        server.shutdown()
        thread.join()
    assert shown["id"] == 3
    assert (asked["action"], asked["who"], asked["state"]) == ("rollback", "dsal", "waiting")
    with filled.database.read() as session:
        assert actions.get(session, asked["id"]) is not None


def curl(line: str) -> dict[str, Any]:
    """The answer to a call as it is written; a status of 400 or more is an error."""
    command = ["curl", "--fail", "--silent", "--show-error", "--noproxy", "*", *shlex.split(line)[1:]]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer
