import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient

from ml_backend.queue.kinds import QUICK, TRAIN
from ml_backend.store import assignments, edits, installation, labels_seen, projects, versions
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Edit, Event, ProjectState, Score, Version, VersionState
from ml_backend.store.states import Provenance
from ml_backend.store.version_names import version_name
from ml_backend.web.app import Services, create_app

CONFIG = '<View><Image name="image" value="$image"/><BrushLabels name="m" toName="image"/></View>'
PROJECT = {"id": 3, "title": "Hands", "label_config": CONFIG, "model_version": "x", "created_by": {"id": 1}}


def setup(client: FlaskClient, **more: object) -> Any:
    return client.post("/setup", json={"project": "3.1795370551", "schema": CONFIG, **more})


def send(client: FlaskClient, action: str, **more: object) -> Any:
    answer = client.post("/webhook", json={"action": action, "project": PROJECT, **more})
    client.application.extensions["inbox"].settle()
    return answer


def stored_events(services: Services) -> list[tuple[str, list[int], list[str]]]:
    with services.database.read() as session:
        return [(event.action, event.task_ids, event.changes) for event in session.query(Event)]


def waiting(services: Services) -> set[str]:
    return {job_id for queue in services.queues.all() for job_id in queue.get_job_ids()}


def test_health_is_json_and_tells_the_installation(client: FlaskClient, services: Services) -> None:
    answer = client.get("/health")
    with services.database.read() as session:
        name = installation.name(session)
    assert len(name) == 32
    assert (answer.status_code, answer.json) == (
        200,
        {"status": "UP", "service": "dsal", "installation": name},
    )


def test_setup_stores_a_new_project_and_requests_its_first_order(
    client: FlaskClient, services: Services
) -> None:
    assert setup(client).json == {"model_version": version_name(3, 0, 0)}
    assert waiting(services) == {"order-3"}
    with services.database.read() as session:
        project = projects.get(session, 3)
        assert project is not None
        assert project.label_config == CONFIG


@pytest.mark.parametrize("extra", [{"a": 1}, '{"a": 1}', "words", None, [1]])
def test_setup_takes_any_extra_parameters(client: FlaskClient, extra: object) -> None:
    answer = setup(client, extra_params=extra, hostname="http://ls:8080", access_token="secret")
    assert answer.status_code == 200


def test_setup_names_the_published_version(client: FlaskClient, services: Services) -> None:
    setup(client)
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(session, project, round=1, state=VersionState.SCORING)
        versions.publish(session, version)
    assert setup(client).json == {"model_version": version.name}


def test_only_a_changed_labeling_config_requests_another_order(
    client: FlaskClient, services: Services
) -> None:
    setup(client)
    services.queues.redis.flushall()
    with services.database.write() as session:
        projects.ensure(session, 3, seed=0).state = ProjectState.READY
    setup(client)
    setup(client, schema="")
    assert waiting(services) == set()
    setup(client, schema=CONFIG.replace("m", "n"))
    assert waiting(services) == {"order-3"}


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/setup", b"{", 400, "not valid JSON"),
        ("/setup", b"[]", 400, "body"),
        ("/setup", b'{"schema": "<View/>"}', 400, "project"),
        ("/setup", b'{"project": "hands"}', 400, "project"),
        ("/setup", b'{"project": "-1.5"}', 400, "project"),
        ("/predict", b"nonsense", 400, "not valid JSON"),
        ("/predict", b'{"tasks": {"id": 1}}', 400, "tasks"),
        ("/predict", b'{"tasks": [1]}', 400, "tasks"),
        ("/webhook", b"", 400, "not valid JSON"),
        ("/webhook", b"{}", 400, "action"),
        ("/webhook", b'{"action": "TASKS_CREATED"}', 400, "project"),
        ("/webhook", b'{"action": "TASKS_CREATED", "project": {"id": 1}, "tasks": [5]}', 400, "tasks"),
        ("/elsewhere", b"", 404, "not found"),
        ("/versions", b"", 405, "not allowed"),
    ],
)
def test_an_invalid_call_gets_one_sentence_as_json(
    client: FlaskClient, path: str, body: bytes, status: int, says: str
) -> None:
    answer = client.post(path, data=body, content_type="application/json")
    assert answer.status_code == status
    assert isinstance(answer.json, dict)
    assert set(answer.json) == {"error"}
    assert says in answer.json["error"]


def test_versions_are_listed_newest_first(client: FlaskClient, services: Services) -> None:
    with services.database.write() as session:
        for project_id, round in ((3, 0), (3, 1), (4, 0)):
            project = projects.ensure(session, project_id, seed=0)
            versions.create(session, project, round=round, state=VersionState.SCORING)
    of_three = [version_name(3, 1, 0), version_name(3, 0, 0)]
    assert client.get("/versions?project=3").json == {"versions": of_three}
    assert client.get("/versions?project=3.1795").json == {"versions": of_three}
    assert client.get("/versions").json == {"versions": [version_name(4, 0, 0), *of_three]}
    assert client.get("/versions?project=x").status_code == 400
    for number in (2**31, 2**63, 2**70, "9" * 5000, "0" * 5000):
        answer = client.get(f"/versions?project={number}")
        assert answer.status_code == 404
        assert str((answer.json or {}).get("error")).endswith(".")


REGIONS = [{"type": "brushlabels", "value": {"format": "rle", "rle": [1, 2, 3]}}]


@pytest.mark.parametrize(
    ("action", "more", "tasks", "changes"),
    [
        ("ANNOTATION_CREATED", {"annotation": {"id": 7, "result": REGIONS}, "task": {"id": 5}}, [5], [7]),
        ("ANNOTATION_CREATED", {"annotation": {"id": 7, "was_cancelled": True}, "task": {"id": 5}}, [5], []),
        ("ANNOTATION_UPDATED", {"annotation": {"id": 7, "was_cancelled": True}, "task": {"id": 5}}, [5], [7]),
        ("ANNOTATIONS_CREATED", {"annotation": [{"id": 7}, {"id": 8}], "task": [{"id": 5}]}, [5], [7, 8]),
        ("ANNOTATIONS_DELETED", {"annotations": [{"id": 7}, {"id": 9}]}, [], [7, 9]),
        ("TASKS_CREATED", {"tasks": [{"id": 5}, {"id": 6}]}, [5, 6], []),
        ("PROJECT_UPDATED", {}, [], []),
        ("START_TRAINING", {}, [], []),
    ],
)
def test_each_event_is_one_row(
    client: FlaskClient,
    services: Services,
    action: str,
    more: dict[str, Any],
    tasks: list[int],
    changes: list[int],
) -> None:
    assert send(client, action, **more).status_code == 200
    assert stored_events(services) == [(action, tasks, [f"annotation:{number}" for number in changes])]


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
def test_true_is_no_project(client: FlaskClient, services: Services, path: str) -> None:
    project: object = {"id": True} if path == "/webhook" else True
    body = {"project": project, "tasks": [], "action": "START_TRAINING"}
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert "an id is a number" in answer.get_data(as_text=True)
    assert stored_events(services) == []
    with services.database.read() as session:
        assert projects.all_projects(session) == []


def test_deleting_a_labelled_task_is_a_change_and_deleting_another_is_none(
    client: FlaskClient, services: Services
) -> None:
    with services.database.write() as session:
        projects.ensure(session, 3, seed=0)
        labels_seen.replace(session, 3, {7: LabelDigest(5, "a")})
    send(client, "TASKS_DELETED", tasks=[{"id": 5}, {"id": 6}])
    assert stored_events(services) == [("TASKS_DELETED", [5, 6], ["task:5"])]


def test_a_burst_of_annotations_requests_one_training(client: FlaskClient, services: Services) -> None:
    for number in range(30):
        send(client, "ANNOTATION_CREATED", annotation={"id": number}, task={"id": number})
    assert services.queues.depths()[TRAIN] == 1
    assert services.queues.training_waits(3)


def test_new_tasks_request_scores_once(client: FlaskClient, services: Services) -> None:
    for number in range(5):
        send(client, "TASKS_CREATED", tasks=[{"id": number}])
    assert waiting(services) == {"order-3", "score-new-3"}


@pytest.mark.parametrize("body", [{"action": "LABEL_LINK_CREATED"}, {"action": "REVIEW", "project": [1]}])
def test_other_actions_are_ignored_and_counted(
    client: FlaskClient, services: Services, body: dict[str, Any]
) -> None:
    answer = client.post("/webhook", json=body)
    assert (answer.status_code, answer.json) == (200, {"status": "ignored"})
    assert 'dsal_events_total{action="other"} 1.0' in client.get("/metrics").text


def test_events_are_stored_and_answered_while_redis_is_down(client: FlaskClient, services: Services) -> None:
    services.queues.redis.connection_pool.disconnect()
    services.queues.redis.connection_pool.connection_kwargs["path"] = "/nowhere"
    assert setup(client).status_code == 200
    assert send(client, "ANNOTATION_CREATED", annotation={"id": 7}, task={"id": 5}).status_code == 200
    assert len(stored_events(services)) == 1
    assert "dsal_trainings" in client.get("/metrics").text


def test_help_of_a_version_is_served_and_measured(client: FlaskClient, services: Services) -> None:
    edit = Edit(
        project_id=3,
        annotation_id=1,
        task_id=1,
        digest="d",
        provenance=Provenance.EDITED,
        version="p3-r001-calm-cat",
        dsc=0.75,
        per_label={"Bone": 0.75},
        added_path=12,
        lead_time=8.0,
    )
    with services.database.write() as session:
        projects.ensure(session, 3, seed=0)
        edits.store(session, 3, [edit], {1})
    answer = client.get("/api/projects/3/edits").json
    assert answer == {
        "project": 3,
        "versions": [
            {
                "version": "p3-r001-calm-cat",
                "annotations": {"drawn": 0, "edited": 1, "accepted": 0},
                "accepted_share": 0.0,
                "dsc": 0.75,
                "dsc_per_label": {"Bone": 0.75},
                "added_path_pixels": 12.0,
                "seconds": 8.0,
            }
        ],
    }
    page = client.get("/metrics").text
    assert 'dsal_edit_dsc{label="Bone",project="3",version="p3-r001-calm-cat"} 0.75' in page
    assert 'dsal_annotations{project="3",provenance="edited",version="p3-r001-calm-cat"} 1.0' in page


@pytest.mark.parametrize("project", [4, 2**63, 2**200])
def test_an_unknown_project_has_no_edits(client: FlaskClient, project: int) -> None:
    answer = client.get(f"/api/projects/{project}/edits")
    assert answer.status_code == 404
    assert f"does not know project {project}" in (answer.json or {})["error"]


def test_metrics_tell_how_many_masks_are_shown_and_how_good_each_label_is(
    client: FlaskClient, services: Services
) -> None:
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        metrics = {"per_label": {"Root": 0.8, "Decay": 0.0}, "label_images": {"Root": 20, "Decay": 6}}
        version = versions.create(
            session,
            project,
            round=1,
            state=VersionState.SCORING,
            labels=["Root", "Decay"],
            weights_hash="1",
            metrics=metrics,
        )
        versions.publish(session, version)
        known = {"version_id": version.id, "l_dsc": 0.5, "m_dsc": 0.5}
        session.add_all(
            [Score(task_id=1, **known), Score(task_id=2, hidden=True, **known), Score(task_id=3, **known)]
        )
    page = client.get("/metrics").text
    assert 'dsal_masks{project="3",shown="drawn"} 2.0' in page
    assert 'dsal_masks{project="3",shown="hidden"} 1.0' in page
    assert 'dsal_masks{project="3",shown="blank"} 0.0' in page
    assert 'dsal_label_dsc{label="Decay",project="3"} 0.0' in page
    assert 'dsal_label_images{label="Root",project="3"} 20.0' in page


def test_basic_auth_guards_everything_but_health(services: Services) -> None:
    closed = services.settings.model_copy(update={"basic_auth_user": "ü", "basic_auth_pass": _secret("wörd")})
    client = create_app(Services(closed, services.database, services.queues)).test_client()
    assert client.get("/health").status_code == 200
    for call in (client.post, client.get):
        for path in ("/setup", "/predict", "/webhook", "/versions", "/metrics", "/elsewhere"):
            for wrong in (None, ("ü", "word"), ("u", "wörd"), ("", "")):
                answer = call(path, auth=wrong)
                assert answer.status_code == 401
                assert answer.json == {"error": "Send the user name and password of this ML backend."}
                assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert client.get("/versions", auth=("ü", "wörd")).status_code == 200


def _secret(word: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(word)


def test_an_error_is_logged_once_and_answered_with_one_sentence(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    open_to_all = services.settings.model_copy(update={"basic_auth_user": ""})
    app = create_app(Services(open_to_all, services.database, services.queues))
    app.add_url_rule("/fault", view_func=lambda: str(1 / 0))
    with caplog.at_level(logging.ERROR):
        answer = app.test_client().get("/fault")
    assert answer.status_code == 500
    assert answer.json == {
        "error": f"The ML backend failed; search its log for {answer.headers['X-Request-ID']}."
    }
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_the_log_contains_no_body_and_no_token(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        setup(client, access_token="token-1")
        client.get("/versions?project=secret-2", headers={"Authorization": "Token secret-3"})
        client.post("/setup", data=b'{"access_token": "token-1", "project": "secret-4"}')
    assert "/setup 200" in caplog.text
    for word in ("token-1", "secret", "BrushLabels"):
        assert word not in caplog.text


def test_predict_without_a_project_or_tasks_keeps_its_length(client: FlaskClient) -> None:
    assert client.post("/predict", json={"tasks": []}).json == {"results": []}
    assert client.post("/predict", json={"tasks": [{"id": 1}, {}]}).json == {"results": [[], []]}


def test_predict_answers_each_task_when_prediction_fails(client: FlaskClient, services: Services) -> None:
    setup(client)
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(
            session, project, round=1, state=VersionState.SCORING, weights_hash="0" * 64
        )
        versions.publish(session, session.get_one(Version, version.id))
    services.queues.redis.flushall()
    tasks = [{"id": number, "data": {"image": "/data/upload/none.png"}} for number in range(3)]
    answer = client.post("/predict", json={"tasks": tasks, "project": "3.1", "label_config": CONFIG})
    assert answer.status_code == 200
    assert isinstance(answer.json, dict)
    assert len(answer.json["results"]) == 3
    assert services.queues.depths()[QUICK] == 1


LIGHT = """
import sys
from ml_backend.web.app import Services, create_app
from ml_backend.settings import Settings
client = create_app(Services.open(Settings(model_dir=sys.argv[1], redis_url=sys.argv[2]))).test_client()
assert client.get("/health").status_code == 200
project = {"id": 3, "title": "Hands", "label_config": "<View/>"}
event = {"action": "ANNOTATION_CREATED", "project": project, "annotation": {"id": 1}, "task": {"id": 1}}
assert client.post("/webhook", json=event).status_code == 200
assert client.post("/setup", json={"project": "3.1", "schema": "<View/>"}).status_code == 200
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "monai", "label_studio_sdk"}))
"""


def test_health_webhook_and_setup_load_neither_torch_nor_label_studio(services: Services) -> None:
    command = [sys.executable, "-c", LIGHT, str(services.settings.model_dir), services.settings.redis_url]
    # Nothing listens at this LABEL_STUDIO_URL: a call to Label Studio would fail.
    nowhere = {**os.environ, "LABEL_STUDIO_URL": "http://127.0.0.1:1", "LABEL_STUDIO_API_KEY": "none"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=nowhere)
    assert done.stdout.strip() == "[]"


def test_only_a_project_of_several_annotators_is_assigned_tasks(
    client: FlaskClient, services: Services
) -> None:
    event = {"annotation": {"id": 1}, "task": {"id": 5}}
    send(client, "ANNOTATION_CREATED", **event)
    assert "assign-3" not in waiting(services)
    with services.database.write() as session:
        assignments.set_annotators(session, 3, ["ann@example.com"])
    send(client, "ANNOTATION_CREATED", **event)
    assert "assign-3" in waiting(services)
