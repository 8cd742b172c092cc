"""`dsal connect` and `dsal disconnect` with a real Label Studio: what is there before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from ml_backend.label_studio.blueprint import BATCH_VERSION, assignment_version
from ml_backend.label_studio.config import default_config
from ml_backend.store.models import Event, Project
from ml_backend.store.version_names import open_name, version_name
from tests.label_studio.tiny_backend import TinyBackend
from tests.loop.service import Service
from tests.ml_backend.cli.conftest import Run, run

__all__ = ["run"]

Dsal = Callable[..., str]

FIELDS = (
    "label_config",
    "sampling",
    "model_version",
    "show_collab_predictions",
    "evaluate_predictions_automatically",
    "min_annotations_to_start_training",
)
STRANGER = "http://localhost:1/webhook"


def everything(service: Service, project: int) -> dict[str, Any]:
    """All that connecting and publishing may change in a project."""
    client = service.label_studio
    fields = client.project(project)
    backends = client.ml_backends(project)
    return {
        "fields": {name: fields[name] for name in FIELDS},
        # Each listing makes Label Studio look at them again.
        "ML backends": [{key: one[key] for key in one if key != "updated_at"} for one in backends],
        "webhooks": client.webhooks(project),
        "views": client.views(project),
        "versions": client.model_versions(project),
    }


@pytest.fixture
def dsal(run: Run, service: Service, monkeypatch: pytest.MonkeyPatch) -> Dsal:
    """Runs `dsal` in this process, as the service is set up, and returns what it says."""

    def dsal(*arguments: object, status: int = 0) -> str:
        for name, value in {**service.environment, "COLUMNS": "200"}.items():
            monkeypatch.setenv(name, value)
        ended, out, err = run(*arguments)
        assert ended == status, err
        return out + err

    return dsal


@pytest.fixture
def project(service: Service) -> Iterator[int]:
    """A project with a stranger's webhook, a view of its owner, three tasks and one label."""
    client = service.label_studio
    number = int(client.create_project("Way out", default_config(["Bone"]))["id"])
    client.create_webhook(number, STRANGER)
    client.create_view(number, {"title": "Mine", "type": "list", "target": "tasks"})
    tasks = client.create_tasks(number, [{"image": f"http://localhost:1/{n}.png"} for n in range(3)])
    client.submit_annotation(tasks[0], [])
    yield number
    client.delete_project(number)


def test_disconnect_takes_back_what_connect_made_and_keeps_the_rest(
    service: Service, project: int, dsal: Dsal
) -> None:
    client = service.label_studio
    # A worker of another test would publish an order of its own meanwhile.
    service.rest()
    with TinyBackend() as other:
        client.create_ml_backend(project, other.url, "another model")
        client.patch_project(project, model_version="", sampling="Uniform sampling")
        before = everything(service, project)
        said = dsal("connect", "--project", project, "--backend", service.url, "--interactive")
        assert "1 label is there to be learned" in said
        _publish(service, project)

        connected = everything(service, project)
        assert f"{service.url}/webhook" in dsal("disconnect", "--project", project, "--dry-run")
        refused = dsal("disconnect", "--project", project, "--token", "f" * 40, status=1)
        assert "refuses the token" in refused
        assert everything(service, project) == connected, "nothing was taken back yet"
        assert _is_served(service, project)

        dsal("disconnect", "--project", project, "--predictions")
        assert everything(service, project) == before
        assert client.extent(project).annotations == 1, "the label stays"
        assert not _is_served(service, project)
        assert "Nothing of this service is left" in dsal("disconnect", "--project", project)

        dsal("connect", "--project", project, "--backend", service.url)
        assert len(client.views(project)) == len(before["views"]) + 1
        assert _is_served(service, project)
        # Half of it is gone when the next one is asked for.
        (ours,) = (one for one in client.ml_backends(project) if one["title"] == "dsal")
        client.delete_ml_backend(ours["id"])
        client.delete_view(next(v["id"] for v in client.views(project) if v["data"]["title"] != "Mine"))
        dsal("disconnect", "--project", project)
        assert everything(service, project) == before


def _publish(service: Service, project: int) -> None:
    """Leave in Label Studio what versions, open pages, batches and assignments leave there."""
    client = service.label_studio
    names = [version_name(project, 1, 0), open_name(project, date(2026, 11, 23)), BATCH_VERSION]
    names.append(assignment_version("ann@example.com"))
    task = next(iter(client.tasks(project))).id
    client.import_predictions(
        project, [{"task": task, "result": [], "score": 0.5, "model_version": name} for name in names]
    )
    client.patch_project(project, model_version=names[0])


def _is_served(service: Service, project: int) -> bool:
    with service.database.read() as session:
        return session.get_one(Project, project).archived_at is None


def test_an_annotation_is_reported_once_after_a_change_of_address(
    service: Service, project: int, dsal: Dsal
) -> None:
    client = service.label_studio
    dsal("connect", "--project", project, "--backend", service.url.replace("127.0.0.1", "localhost"))
    (former,) = (one for one in client.webhooks(project) if one["url"] != STRANGER)
    # Of two more, one leads nowhere now but names this service; one is as former releases made them.
    client.create_webhook(project, "http://localhost:2/webhook", headers=former["headers"])
    client.patch_webhook(former["id"], former["url"], former["actions"], headers={})
    client.delete_ml_backend(client.ml_backends(project)[0]["id"])
    said = dsal("connect", "--project", project, "--backend", service.url)
    assert f"/projects/{project}/data?tab=" in said
    assert sorted(one["url"] for one in client.webhooks(project)) == [f"{service.url}/webhook", STRANGER]
    made = client.submit_annotation(list(client.tasks(project))[1].id, [])["id"]
    with service.database.read() as session:
        created = select(Event).where(Event.project_id == project, Event.action == "ANNOTATION_CREATED")
        rows = session.scalars(created).all()
    assert [row.changes for row in rows] == [[f"annotation:{made}"]]
