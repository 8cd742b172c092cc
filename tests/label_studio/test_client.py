from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.connection import connect
from ml_backend.label_studio.data_manager import TO_LABEL, by_score
from ml_backend.label_studio.downloads import Downloader
from ml_backend.label_studio.errors import LabelStudioError, PredictionsRefusedError
from ml_backend.label_studio.label_config import default_config, parse
from ml_backend.label_studio.server import LabelStudioServer
from ml_backend.label_studio.sources import resolve

from .subpath_proxy import SubpathProxy
from .tiny_backend import TinyBackend

MakeTasks = Callable[[int], list[int]]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def region(rle: list[int] | None = None) -> dict[str, Any]:
    value = {"format": "rle", "rle": rle or [0, 0, 0, 64, 57, 27], "brushlabels": ["Bone"]}
    return {
        "id": "ab12",
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": 4,
        "original_height": 4,
        "image_rotation": 0,
        "value": value,
    }


def prediction(task: int, score: float, version: str = "v1", rle: list[int] | None = None) -> dict[str, Any]:
    return {"task": task, "result": [region(rle)], "score": score, "model_version": version}


@pytest.fixture
def proxy(server: LabelStudioServer) -> Iterator[SubpathProxy]:
    with SubpathProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def view(client: LabelStudio, project: int) -> int:
    data = {
        "title": "By score",
        "type": "list",
        "target": "tasks",
        "ordering": by_score(True),
        "filters": TO_LABEL,
    }
    return int(client.create_view(project, data)["id"])


# --- address, tokens, errors ---


def test_it_says_which_label_studio_it_talks_to(client: LabelStudio) -> None:
    assert client.version().startswith("1.")


def test_a_subpath_works_for_calls_and_downloads(
    proxy: SubpathProxy, server: LabelStudioServer, client: LabelStudio, project: int
) -> None:
    below = LabelStudio(f"{proxy.url}/", server.token)
    task = below.upload(project, {"hand.png": PNG})["hand.png"]
    path = next(each.data["image"] for each in below.tasks(project) if each.id == task)
    config = parse(default_config(["Bone"]))
    download = Downloader(below.credentials)
    for address in (path, f"/studio{path}", f"{proxy.url}{path}"):
        source = resolve(task, {"image": address}, config, below.url)
        assert b"".join(download(source)) == PNG


def test_a_refused_access_token_is_renewed_once(proxy: SubpathProxy, server: LabelStudioServer) -> None:
    client = LabelStudio(proxy.url, server.token)
    client.version()
    proxy.refused.add(client.credentials.header())
    client.version()
    assert proxy.seen["POST", "/api/token/refresh/"] == 2


def test_an_access_token_is_renewed_before_it_expires(
    proxy: SubpathProxy, server: LabelStudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = LabelStudio(proxy.url, server.token)
    client.version()
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 200)
    client.version()
    assert proxy.seen["POST", "/api/token/refresh/"] == 1
    monkeypatch.setattr(time, "monotonic", lambda: now() + 250)
    client.version()
    assert proxy.seen["POST", "/api/token/refresh/"] == 2


def test_many_threads_share_one_access_token(proxy: SubpathProxy, server: LabelStudioServer) -> None:
    client = LabelStudio(proxy.url, server.token)
    with ThreadPoolExecutor(8) as pool:
        versions = {each.result() for each in [pool.submit(client.version) for _ in range(16)]}
    assert len(versions) == 1
    assert proxy.seen["POST", "/api/token/refresh/"] == 1


def test_a_legacy_token_works_where_it_is_allowed_and_is_explained_where_not(
    server: LabelStudioServer, client: LabelStudio
) -> None:
    legacy = client._http.call("GET", "/api/current-user/token")["token"]
    with pytest.raises(LabelStudioError, match="personal access token") as refused:
        LabelStudio(server.url, legacy).version()
    assert refused.value.status == 401
    settings = {"api_tokens_enabled": True, "api_token_ttl_days": 365, "legacy_api_tokens_enabled": True}
    client._http.call("POST", "/api/jwt/settings", json=settings)
    try:
        assert LabelStudio(server.url, legacy).version() == client.version()
    finally:
        client._http.call("POST", "/api/jwt/settings", json={**settings, "legacy_api_tokens_enabled": False})


@pytest.mark.parametrize(
    ("url", "token", "sentence"),
    [
        ("http://localhost:1", "0" * 40, "Nothing answers at http://localhost:1"),
        ("localhost:8080", "0" * 40, "write it as http://"),
        ("http://localhost:1", " ", "token is empty"),
    ],
)
def test_wrong_addresses_and_tokens_are_said_in_a_sentence(url: str, token: str, sentence: str) -> None:
    with pytest.raises(LabelStudioError, match=sentence):
        LabelStudio(url, token).version()


def test_an_access_token_is_refused_at_once(server: LabelStudioServer, client: LabelStudio) -> None:
    access = client.credentials.header().removeprefix("Bearer ")
    with pytest.raises(LabelStudioError, match="expires within minutes"):
        LabelStudio(server.url, access)


def test_an_address_that_is_not_label_studio_is_said_in_a_sentence(server: LabelStudioServer) -> None:
    with pytest.raises(LabelStudioError, match="subpath included"):
        LabelStudio(f"{server.url}/elsewhere", server.token).version()


@pytest.mark.parametrize("ask", [LabelStudio.project, LabelStudio.views])
def test_a_missing_project_is_named(client: LabelStudio, ask: Callable[[LabelStudio, int], Any]) -> None:
    with pytest.raises(LabelStudioError, match="Project 987654 does not exist") as missing:
        ask(client, 987654)
    assert missing.value.status == 404


def test_reads_are_tried_again_and_writes_are_not(
    proxy: SubpathProxy, server: LabelStudioServer, project: int, make_tasks: MakeTasks
) -> None:
    client = LabelStudio(proxy.url, server.token)
    client.version()
    proxy.failures = 2
    assert client.project(project)["id"] == project
    proxy.failures = 1
    with pytest.raises(LabelStudioError, match="503"):
        client.create_tasks(project, [{"image": "http://localhost:1/once.png"}])
    assert proxy.seen["POST", f"/api/projects/{project}/import"] == 1


# --- tasks ---


def test_the_task_list_is_complete_light_and_never_asks_for_predictions(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    with TinyBackend() as backend:
        connect(client, backend_url=backend.url, project=project)
        tasks = make_tasks(25)
        client.import_predictions(project, [prediction(tasks[0], 0.5)])
        client.submit_annotation(tasks[1], [region()])
        client.submit_annotation(tasks[2], [], skip=True)
        listed = list(client.tasks(project, page=10))
        assert [each.id for each in listed] == tasks
        assert (listed[1].total_annotations, listed[1].is_labelled) == (1, True)
        assert (listed[2].total_annotations, listed[2].cancelled_annotations) == (0, 1)
        assert [each.id for each in client.tasks(project, unlabelled=False)] == [tasks[1]]
        unlabelled = [each.id for each in client.tasks(project, unlabelled=True, page=7)]
        assert unlabelled == [task for task in tasks if task != tasks[1]]
        assert "/predict" not in {call.path for call in backend.calls}


def test_annotating_while_the_list_is_read_hides_no_task(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(20)
    listed: list[int] = []
    for each in client.tasks(project, unlabelled=True, page=5):
        if not listed:
            for task in tasks[:5]:
                client.submit_annotation(task, [])
        listed.append(each.id)
    assert listed == tasks


def test_labels_come_with_results_skips_and_time_stamps_but_without_drafts(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(4)
    first = client.submit_annotation(tasks[0], [region()], lead_time=2.5)
    client.submit_annotation(tasks[1], [], skip=True)
    client._http.call("POST", f"/api/tasks/{tasks[2]}/drafts", json={"result": [region()], "lead_time": 1})
    labelled = {each.id: each for each in client.labelled_tasks(project)}
    assert set(labelled) == set(tasks[:2])
    annotation = labelled[tasks[0]].annotations[0]
    assert annotation.result[0]["value"]["rle"] == region()["value"]["rle"]
    assert annotation.id == first["id"]
    assert labelled[tasks[1]].annotations[0].was_cancelled
    assert labelled[tasks[1]].accepted == ()
    client.patch_annotation(first["id"], [])
    again = next(each for each in client.labelled_tasks(project) if each.id == tasks[0])
    assert again.annotations[0].updated_at > annotation.updated_at
    client.delete_annotation(first["id"])
    assert [each.id for each in client.labelled_tasks(project)] == [tasks[1]]


# --- predictions and their order ---


def test_predictions_are_stored_counted_and_found_by_exact_version(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(6)
    assert client.import_predictions(project, [prediction(task, 0.5) for task in tasks[:4]]).created == 4
    client.import_predictions(project, [prediction(tasks[0], 0.5, "v1-longer")])
    assert client.model_versions(project) == {"v1": 4, "v1-longer": 1}
    assert client.predictions_of(project, tasks, "v1") == set(tasks[:4])
    assert client.predictions_of(project, tasks, "v1-longer") == {tasks[0]}
    assert client.predictions_of(project, tasks, "v") == set()
    assert client.predictions_of(project, [], "v1") == set()


@pytest.mark.parametrize(
    "damage",
    [{"score": 1.5}, {"result": [{**region(), "from_name": "nobody"}]}],
    ids=["score above one", "unknown tag"],
)
def test_predictions_that_label_studio_drops_are_an_error(
    client: LabelStudio, project: int, make_tasks: MakeTasks, damage: dict[str, Any]
) -> None:
    tasks = make_tasks(2)
    sent = [prediction(tasks[0], 0.5), {**prediction(tasks[1], 0.5), **damage}]
    with pytest.raises(PredictionsRefusedError) as refused:
        client.import_predictions(project, sent)
    assert (refused.value.sent, refused.value.created) == (2, 1)


def test_tasks_deleted_meanwhile_are_left_out_and_reported(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(5)
    client.delete_task(tasks[2])
    outcome = client.import_predictions(project, [prediction(task, 0.5) for task in tasks])
    assert (outcome.created, outcome.missing) == (4, (tasks[2],))
    assert client.model_versions(project) == {"v1": 4}


def test_large_predictions_travel_in_bounded_bodies(
    proxy: SubpathProxy, server: LabelStudioServer, project: int, make_tasks: MakeTasks, monkeypatch: Any
) -> None:
    monkeypatch.setattr("ml_backend.label_studio.predictions.BODY_BYTES", 250_000)
    client = LabelStudio(proxy.url, server.token)
    large = [255] * 25_000
    sent = (prediction(task, 0.5, rle=large) for task in make_tasks(6))
    assert client.import_predictions(project, sent).created == 6
    assert proxy.seen["POST", f"/api/projects/{project}/import/predictions"] == 3


def test_the_order_follows_the_published_version(
    client: LabelStudio, project: int, view: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(4)
    first = [prediction(task, score, "v1") for task, score in zip(tasks, (0.1, 0.2, 0.3, 0.4), strict=True)]
    client.import_predictions(project, first)
    client.import_predictions(
        project,
        [prediction(tasks[0], 0.9, "v2"), prediction(tasks[3], 0.2, "v2"), prediction(tasks[1], 0.0, "v2")],
    )
    client.patch_project(project, model_version="v1")
    assert [task for task, _ in client.ordered_scores(project, 10)] == tasks[::-1]
    client.patch_project(project, model_version="v2")
    assert client.ordered_scores(project, 10) == [
        (tasks[0], 0.9),
        (tasks[3], 0.2),
        (tasks[1], 0.0),
        (tasks[2], None),
    ]
    assert client.ordered_scores(project, 1) == [(tasks[0], 0.9)]
    shown = client.next_task(project, view)
    assert shown is not None
    assert shown["id"] == tasks[0]
    assert [each["model_version"] for each in shown["predictions"]] == ["v2"]
    client.delete_model_version(project, "v1")
    assert client.model_versions(project) == {"v2": 3}


def test_only_a_version_with_predictions_can_be_published(client: LabelStudio, project: int) -> None:
    with pytest.raises(LabelStudioError, match="Model version doesn't exist") as refused:
        client.patch_project(project, model_version="nowhere")
    assert refused.value.status == 400


# --- the annotator ---


def test_an_annotator_is_handed_highest_scores_first_until_none_is_left(
    client: LabelStudio, project: int, view: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(4)
    client.import_predictions(project, [prediction(task, number / 10) for number, task in enumerate(tasks)])
    client.patch_project(project, model_version="v1")
    handed: list[int] = []
    while (shown := client.next_task(project, view)) is not None:
        handed.append(shown["id"])
        client.submit_annotation(shown["id"], [region()], lead_time=1.5, skip=len(handed) == 2)
    assert handed == tasks[::-1]
    labelled = {each.id: each for each in client.labelled_tasks(project)}
    assert [each.id for each in labelled.values() if not each.accepted] == [tasks[2]]
    assert client.ordered_scores(project, 10) == []
