"""Our model behind the framework's own routes, called by the real Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import requests
from pydantic import SecretStr
from sqlalchemy import select
from werkzeug.serving import make_server

from ml_backend.label_studio.client import LabelStudio
from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Event, VersionState
from ml_backend.web.framework import model_class
from tests.connecting import connect
from tests.framework import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def settings(tmp_path: Path, client: LabelStudio) -> Iterator[Settings]:
    redis = EmbeddedRedis(tmp_path / "redis")
    yield Settings(
        model_dir=tmp_path / "data",
        redis_url=f"unix://{redis.socket}",
        label_studio_url=client.url,
        # With a password in its environment, the framework asks for it, and we take in new projects at once.
        basic_auth_user="label-studio",
        basic_auth_pass=SecretStr("password"),
    )
    redis.leave()


@pytest.fixture
def url(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address where the framework serves our model, as `label-studio-ml start` does."""
    # The framework creates its cache there on import.
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    from label_studio_ml.api import init_app

    server = make_server("127.0.0.1", 0, init_app(model_class=model_class(settings)), threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_project_is_connected_and_gets_predictions_and_webhooks(
    client: LabelStudio, project: int, settings: Settings, url: str
) -> None:
    connect(client, backend_url=url, project=project)
    (backend,) = client.ml_backends(project)
    assert backend["readable_state"] == "Connected"
    database = Database(settings.effective_database_url)
    with database.write() as session:
        known = projects.get(session, project)
        assert known is not None
        assert backend["model_version"] == versions.current_name(session, known)
        version = versions.create(session, known, round=0, state=VersionState.SCORING, labels=["Bone"])
        versions.publish(session, version)

    (task,) = client.create_tasks(project, [{"image": "http://localhost:1/0.png"}])
    # When a task without predictions is opened, Label Studio requests one.
    headers = {"Authorization": client.authorization()}
    requests.get(f"{client.url}/api/tasks/{task}/", headers=headers, timeout=60).raise_for_status()
    (prediction,) = client.predictions(task)
    assert prediction["model_version"] == backend["model_version"]

    client.submit_annotation(task, [])
    client.start_training(backend["id"])
    with database.read() as session:
        heard = [event.action for event in session.scalars(select(Event).order_by(Event.id))]
    database.close()
    assert heard == ["ANNOTATION_CREATED", "START_TRAINING"]
