from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.images.downloads import Downloader
from ml_backend.label_studio.images.sources import resolve
from tests.connecting import connect
from tests.label_studio.regions import prediction, region
from tests.label_studio.subpath_proxy import SubpathProxy
from tests.label_studio.tiny_backend import TinyBackend

MakeTasks = Callable[[int], list[int]]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


# --- address, tokens, errors ---


def test_the_client_reports_the_release(client: LabelStudio) -> None:
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
def test_wrong_addresses_and_tokens_are_reported(url: str, token: str, sentence: str) -> None:
    with pytest.raises(LabelStudioError, match=sentence):
        LabelStudio(url, token).version()


def test_an_access_token_is_refused_at_once(server: LabelStudioServer, client: LabelStudio) -> None:
    access = client.credentials.header().removeprefix("Bearer ")
    with pytest.raises(LabelStudioError, match="expires within minutes"):
        LabelStudio(server.url, access)


def test_an_address_that_is_not_label_studio_is_reported(server: LabelStudioServer) -> None:
    with pytest.raises(LabelStudioError, match="subpath included"):
        LabelStudio(f"{server.url}/elsewhere", server.token).version()


@pytest.mark.parametrize("ask", [LabelStudio.project, LabelStudio.views])
def test_a_missing_project_is_named(client: LabelStudio, ask: Callable[[LabelStudio, int], Any]) -> None:
    with pytest.raises(LabelStudioError, match="Project 987654 does not exist") as missing:
        ask(client, 987654)
    assert missing.value.status == 404


def test_reads_are_retried_and_writes_are_not(
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


def test_the_task_list_is_complete_and_light_and_never_requests_predictions(
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


def test_no_task_is_missed_if_annotators_submit_during_listing(
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
