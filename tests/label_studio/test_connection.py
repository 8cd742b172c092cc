from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from werkzeug.serving import make_server

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import add_smart_tags
from ml_backend.label_studio.connection import CannotConnectError
from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.settings import Settings
from ml_backend.store.models import Event
from ml_backend.web.app import Services, create_app
from tests.connecting import connect
from tests.label_studio.tiny_backend import TinyBackend, header

PASSWORD = ("dsal", "open sesame")


@pytest.fixture
def backend() -> Iterator[TinyBackend]:
    with TinyBackend(PASSWORD) as backend:
        yield backend


def dump(client: LabelStudio, project: int) -> str:
    """Everything that `connect` may change, as text."""
    parts: list[Any] = [client.project(project), client.webhooks(project), client.views(project)]
    backends = client.ml_backends(project)
    for each in backends:
        # The time stamp of Label Studio's health check, which it makes for this listing.
        each.pop("updated_at")
    return json.dumps([*parts, backends], sort_keys=True)


def states(connection: Any) -> dict[str, str]:
    return {item.name: item.state for item in connection.items}


def test_a_title_becomes_a_project_with_everything_in_place(
    client: LabelStudio, backend: TinyBackend
) -> None:
    connection = connect(
        client, backend_url=backend.url, create="From a title", labels=["Femur", "Tibia"], basic_auth=PASSWORD
    )
    project = client.project(connection.project)
    assert connection.config.labels == ("Femur", "Tibia")
    assert states(connection) == {
        "project": "created",
        "labeling config": "created",
        "ML backend": "created",
        "webhook": "changed",
        "settings": "unchanged",
        "view": "created",
    }
    assert project["sampling"] == "Sequential sampling"
    assert project["show_collab_predictions"] is True
    assert client.ml_backends(connection.project)[0]["readable_state"] == "Connected"
    assert {call.authorization for call in backend.calls if call.path == "/setup"} == {header(PASSWORD)}
    client.delete_project(connection.project)


def test_a_second_run_changes_nothing(client: LabelStudio, backend: TinyBackend, project: int) -> None:
    first = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    before = dump(client, project)
    second = connect(client, backend_url=f"{backend.url}/", project=project, basic_auth=PASSWORD)
    assert dump(client, project) == before
    assert second.unchanged, second.items
    assert (first.backend, first.webhook, first.view) == (second.backend, second.webhook, second.view)


def test_the_same_title_finds_the_project_again(client: LabelStudio, backend: TinyBackend) -> None:
    first = connect(client, backend_url=backend.url, create="Found again", basic_auth=PASSWORD)
    second = connect(client, backend_url=backend.url, create="Found again", basic_auth=PASSWORD)
    assert second.project == first.project
    assert second.unchanged
    client.delete_project(first.project)


def test_the_real_service_is_connected_and_receives_webhooks(
    client: LabelStudio, project: int, make_tasks: Callable[[int], list[int]], tmp_path: Path
) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    settings = Settings(
        model_dir=tmp_path / "data",
        redis_url=f"unix://{redis.socket}",
        basic_auth_user=PASSWORD[0],
        basic_auth_pass=SecretStr(PASSWORD[1]),
        label_studio_url=client.url,
    )
    services = Services.open(settings)
    service = make_server("127.0.0.1", 0, create_app(services), threaded=True)
    Thread(target=service.serve_forever, daemon=True).start()
    url = f"http://localhost:{service.server_port}"
    try:
        connect(client, backend_url=url, project=project, basic_auth=PASSWORD)
        assert connect(client, backend_url=url, project=project, basic_auth=PASSWORD).unchanged
        client.submit_annotation(make_tasks(1)[0], [])
        with services.database.read() as session:
            heard = [event.action for event in session.scalars(select(Event).order_by(Event.id))]
        assert heard == ["TASKS_CREATED", "ANNOTATION_CREATED"]
    finally:
        service.shutdown()
        services.database.close()
        redis.leave()


def test_annotating_reaches_the_backend_with_its_password(
    client: LabelStudio, backend: TinyBackend, project: int, make_tasks: Callable[[int], list[int]]
) -> None:
    connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    task = make_tasks(1)[0]
    annotation = client.submit_annotation(task, [], lead_time=1.0)
    client.delete_annotation(annotation["id"])
    client.patch_project(project, description="not an event we asked for")
    client.delete_task(task)
    actions = [call.body["action"] for call in backend.events()]
    assert actions == ["TASKS_CREATED", "ANNOTATION_CREATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"]
    assert {call.authorization for call in backend.events()} == {header(PASSWORD)}


def test_start_training_reaches_the_backend_with_its_password(
    client: LabelStudio, backend: TinyBackend, project: int
) -> None:
    connection = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    client.start_training(connection.backend)
    event = backend.events()[-1]
    assert event.body["action"] == "START_TRAINING"
    assert event.authorization == header(PASSWORD)


def test_a_damaged_webhook_is_repaired_and_its_duplicate_deleted(
    client: LabelStudio, backend: TinyBackend, project: int
) -> None:
    first = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    url = f"{backend.url}/webhook"
    client.patch_webhook(first.webhook, url, ["TASKS_CREATED"], headers={})
    client.create_webhook(project, url)
    other = client.create_webhook(project, "http://localhost:1/other")
    again = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    hooks = {hook["id"]: hook for hook in client.webhooks(project)}
    assert states(again)["webhook"] == "changed"
    assert set(hooks) == {first.webhook, other["id"]}
    assert hooks[first.webhook]["headers"] == {"Authorization": header(PASSWORD)}
    assert set(hooks[first.webhook]["actions"]) >= {"ANNOTATIONS_DELETED", "TASKS_CREATED"}


def test_a_new_password_is_passed_on(client: LabelStudio, backend: TinyBackend, project: int) -> None:
    connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    backend.password = ("dsal", "changed")
    again = connect(client, backend_url=backend.url, project=project, basic_auth=backend.password)
    assert states(again)["ML backend"] == "changed"
    assert states(again)["webhook"] == "changed"
    assert client.ml_backends(project)[0]["readable_state"] == "Connected"


def test_a_backend_listed_twice_is_listed_once_afterwards(
    client: LabelStudio, backend: TinyBackend, project: int
) -> None:
    backend.password = None
    for title in ("one", "two"):
        client.create_ml_backend(project, backend.url, title)
    again = connect(client, backend_url=backend.url, project=project)
    assert states(again)["ML backend"] == "changed"
    assert [each["id"] for each in client.ml_backends(project)] == [again.backend]


def test_a_wrong_password_is_reported(client: LabelStudio, backend: TinyBackend, project: int) -> None:
    with pytest.raises(CannotConnectError, match="BASIC_AUTH_PASS"):
        connect(client, backend_url=backend.url, project=project, basic_auth=("dsal", "wrong"))


def test_a_backend_that_is_down_is_reported(client: LabelStudio, project: int) -> None:
    with pytest.raises(CannotConnectError, match="is it running"):
        connect(client, backend_url="http://localhost:1", project=project)


def test_a_host_without_a_dot_is_refused_before_any_change(client: LabelStudio, project: int) -> None:
    before = dump(client, project)
    with pytest.raises(CannotConnectError, match=r"without a dot.*backend\.internal"):
        connect(client, backend_url="http://backend:9090", project=project)
    assert dump(client, project) == before


def test_a_config_without_brush_is_refused(client: LabelStudio, backend: TinyBackend) -> None:
    config = """<View><Text name="t" value="$text"/>
      <Choices name="c" toName="t"><Choice value="a"/></Choices></View>"""
    project = client.create_project("Text", config)["id"]
    with pytest.raises(CannotConnectError, match="BrushLabels"):
        connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    assert client.ml_backends(project) == []
    client.delete_project(project)


def test_settings_that_an_expert_changed_for_the_view_survive(
    client: LabelStudio, backend: TinyBackend, project: int
) -> None:
    first = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    data = client.views(project)[0]["data"]
    client.patch_view(
        first.view, project, {**data, "ordering": ["tasks:id"], "hiddenColumns": {"explore": []}}
    )
    again = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    view = client.views(project)[0]["data"]
    assert states(again)["view"] == "changed"
    assert view["ordering"] == ["-tasks:predictions_score"]
    assert view["hiddenColumns"] == {"explore": []}


def test_an_interactive_project_has_smart_tags_and_a_backend_that_is_asked_until_a_person_changes_it(
    client: LabelStudio, backend: TinyBackend, project: int
) -> None:
    connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD)
    plain = client.project(project)["label_config"]
    assert client.ml_backends(project)[0]["is_interactive"] is False
    made = connect(client, backend_url=backend.url, project=project, basic_auth=PASSWORD, interactive=True)
    assert {name: state for name, state in states(made).items() if state != "unchanged"} == {
        "smart tags": "changed",
        "ML backend": "changed",
    }
    assert client.project(project)["label_config"] == add_smart_tags(plain)
    assert client.ml_backends(project)[0]["is_interactive"] is True
    before = dump(client, project)
    for interactive in (False, True):
        again = connect(
            client, backend_url=backend.url, project=project, basic_auth=PASSWORD, interactive=interactive
        )
        assert again.unchanged, again.items
        assert dump(client, project) == before


def test_another_backend_that_gets_the_prompts_is_named(
    client: LabelStudio, backend: TinyBackend, project: int
) -> None:
    with TinyBackend() as other:
        client.create_ml_backend(project, other.url, "other", is_interactive=True)
        made = connect(
            client, backend_url=backend.url, project=project, basic_auth=PASSWORD, interactive=True
        )
    assert f"first interactive ML backend, which is {other.url}" in " ".join(made.notes)


def test_blocked_private_addresses_are_reported_with_the_setting(
    executable: Any, templates: Any, tmp_path: Any, backend: TinyBackend
) -> None:
    strict = {"USE_DEFAULT_BANNED_SUBNETS": "true"}
    with LabelStudioServer(executable, tmp_path, templates=templates, extra_env=strict) as server:
        client = LabelStudio(server.url, server.token)
        with pytest.raises(CannotConnectError, match="USE_DEFAULT_BANNED_SUBNETS=false"):
            connect(client, backend_url=backend.url, create="Strict", basic_auth=PASSWORD)
