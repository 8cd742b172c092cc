"""Who may use the service without a password, and what may be said of projects that nobody knows."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.config.extent import MOST_CONTROLS, MOST_TAGS
from ml_backend.label_studio.config.labeling import LabelConfigError
from ml_backend.label_studio.config.parsing import parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.images.reader import ImageReader
from ml_backend.queue.context import Context
from ml_backend.queue.unconfirmed import MOST_UNCONFIRMED
from ml_backend.reconcile.confirmation import confirm_projects
from ml_backend.settings import Settings
from ml_backend.store import projects
from ml_backend.store.version_names import version_name
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services, create_app
from ml_backend.web.gunicorn import OpenDoorError, serve

CONFIG = default_config(["Bone"])


@pytest.fixture
def open_services(services: Services) -> Services:
    settings = services.settings.model_copy(update={"basic_auth_user": ""})
    return Services(settings, services.database, services.queues)


@pytest.fixture
def anybody(open_services: Services) -> FlaskClient:
    return create_app(open_services).test_client()


def known(services: Services) -> list[int]:
    with services.database.read() as session:
        return [project.id for project in projects.all_projects(session)]


def waiting(services: Services) -> list[str]:
    return [name for queue in services.queues.all() for name in queue.get_job_ids()]


def confirm(services: Services, answers: dict[int, Any]) -> None:
    """Do the job, with a Label Studio that answers so; of other projects it knows nothing."""

    def project(number: int) -> dict[str, Any]:
        found = answers.get(number, LabelStudioError("No such project.", 404))
        if isinstance(found, Exception):
            raise found
        return cast("dict[str, Any]", found)

    unused = SimpleNamespace()
    context = Context(
        services.settings,
        cast(LabelStudio, SimpleNamespace(project=project)),
        services.database,
        cast(WeightStore, unused),
        services.queues,
        cast(ImageReader, unused),
    )
    cast(Any, confirm_projects).__wrapped__(context)


def test_anonymous_calls_about_unknown_projects_leave_one_job_and_no_row(
    anybody: FlaskClient, open_services: Services
) -> None:
    for number in range(1, 3 * MOST_UNCONFIRMED):
        answer = anybody.post("/setup", json={"project": f"{number}.1", "schema": CONFIG})
        assert answer.json == {"model_version": version_name(number, 0, 0)}
        event = {"action": "ANNOTATION_CREATED", "project": {"id": number}, "annotation": {"id": 1}}
        assert anybody.post("/webhook", json=event).status_code == 200
    anybody.application.extensions["inbox"].settle()
    assert known(open_services) == []
    assert waiting(open_services) == ["confirm"]
    for _ in range(MOST_UNCONFIRMED):
        confirm(open_services, {})
    assert known(open_services) == []
    assert open_services.queues.take_unconfirmed() == []


def test_a_project_that_label_studio_confirms_is_ordered_and_compared(
    anybody: FlaskClient, open_services: Services
) -> None:
    anybody.post("/setup", json={"project": "3.1", "schema": "<View/>"})
    confirm(open_services, {3: {"label_config": CONFIG, "title": "Hands"}})
    with open_services.database.read() as session:
        project = projects.get(session, 3)
        assert project is not None
        assert (project.label_config, project.title) == (CONFIG.strip(), "Hands")
        assert project.called_at is not None
    assert {"order-3", "reconcile"} <= set(waiting(open_services))
    assert anybody.post("/setup", json={"project": "3.1", "schema": CONFIG}).status_code == 200


def test_projects_wait_while_label_studio_is_away(anybody: FlaskClient, open_services: Services) -> None:
    for number in (3, 4):
        anybody.post("/setup", json={"project": number, "schema": CONFIG})
    away = LabelStudioError("Nothing answers.")
    with pytest.raises(LabelStudioError):
        confirm(open_services, {3: away, 4: away})
    confirm(open_services, {number: {"label_config": CONFIG, "title": "Hands"} for number in (3, 4)})
    assert known(open_services) == [3, 4]


def test_without_a_password_only_this_machine_is_served(settings: Settings) -> None:
    closed = settings.model_copy(update={"basic_auth_user": ""})
    assert closed.effective_host == "127.0.0.1"
    assert settings.effective_host == "0.0.0.0"
    for host in ("0.0.0.0", "::", "192.168.1.4", "pacs"):
        with pytest.raises(OpenDoorError, match="set BASIC_AUTH_USER and BASIC_AUTH_PASS, or"):
            serve(closed.model_copy(update={"host": host}))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            "<View><Image name='image' value='$image'/>"
            + "".join(f"<Labels name='l{n}' toName='image'><Label value='a'/></Labels>" for n in range(3000))
            + "".join(f"<Brush name='b{n}' toName='image'/>" for n in range(300))
            + "</View>",
            f"more than the {MOST_TAGS}",
        ),
        (
            "<View><Image name='image' value='$image'/>"
            + "".join(
                f"<BrushLabels name='b{n}' toName='image'><Label value='a'/></BrushLabels>"
                for n in range(101)
            )
            + "</View>",
            f"more than the {MOST_CONTROLS}",
        ),
    ],
)
def test_a_config_that_takes_long_to_read_is_refused(client: FlaskClient, config: str, sentence: str) -> None:
    with pytest.raises(LabelConfigError, match=sentence):
        parse(config)
    answer = client.post("/setup", data=json.dumps({"project": 3, "schema": config}))
    assert answer.status_code == 400
    assert sentence in answer.text
