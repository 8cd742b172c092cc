"""Images from every source that a real Label Studio supports, and the error messages without one."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.queue.context import image_reader
from ml_backend.settings import Settings
from tests.file_server import serve_folder
from tests.label_studio.subpath_proxy import SubpathProxy
from tests.loop.board import png
from tests.object_store import ACCESS_KEY, ObjectStore
from tests.storages import add_bucket, add_local_files, add_storage

CONFIG = parse(default_config(["Bone"]))
GREY = (np.arange(48 * 64).reshape(48, 64) % 251).astype(np.uint8)
PNG = png(GREY)
NAME = "left one (ü).png"

Read = Callable[..., NDArray[Any]]


@pytest.fixture
def read(client: LabelStudio, project: int, tmp_path: Path) -> Read:
    """A function that reads the image of a task through an empty cache, as the jobs do."""

    def read(
        task: int, data: dict[str, Any], label_studio: LabelStudio = client, **names: Any
    ) -> NDArray[Any]:
        settings = Settings(model_dir=tmp_path / str(time.monotonic_ns()), **names)
        reader = image_reader(settings, label_studio)
        return reader.read(project, task, data, CONFIG)

    return read


@pytest.fixture
def local_file(server: LabelStudioServer, client: LabelStudio, project: int) -> str:
    """A file below Label Studio's document root, in a folder covered by a storage of the project."""
    add_local_files(server, client, project, {NAME: PNG})
    return f"/data/local-files/?d=project%20{project}/{NAME}"


def reason(read: Read, task: int, data: dict[str, Any], **names: Any) -> str:
    """The message about a task whose image cannot be fetched."""
    with pytest.raises(IMAGE_FAULTS) as refused:
        read(task, data, **names)
    said = str(refused.value)
    assert f"task {task} " in said
    assert said.endswith(".")
    return said


# --- sources ---


@pytest.mark.parametrize("presign", [True, False])
def test_tasks_of_a_synced_bucket_are_read_as_listed_and_as_exported(
    client: LabelStudio, project: int, store: ObjectStore, read: Read, presign: bool
) -> None:
    key = store.put(f"hands-{project}", f"deep/{NAME}", PNG)
    add_bucket(client, project, store, f"hands-{project}", presign=presign)
    [task] = client.tasks(project)
    assert task.data["image"].startswith(f"/tasks/{task.id}/resolve/?fileuri=")
    np.testing.assert_array_equal(read(task.id, task.data), GREY)

    # Trainings read the export, which contains s3://….
    client.submit_annotation(task.id, [])
    [labelled] = client.labelled_tasks(project)
    assert labelled.data == {"image": key}
    np.testing.assert_array_equal(read(task.id, labelled.data), GREY)

    away = f"s3://hands-{project}/away.png"
    said = reason(read, task.id, {"image": away})
    assert f"{away} answers HTTP " in said
    if presign:
        assert f"404, at {store.url}/hands-{project}/away.png, where Label Studio redirects" in said
    else:
        assert "424: Label Studio cannot read it; check that it exists" in said


def test_tasks_of_a_google_bucket_are_read_as_listed_and_as_exported(
    client: LabelStudio, project: int, google_storage: str, read: Read
) -> None:
    """Proxied by Label Studio, which would need a service account's key to pre-sign."""
    bucket = f"google-{project}"
    requests.post(f"{google_storage}/storage/v1/b", json={"name": bucket}, timeout=30).raise_for_status()
    objects = f"{google_storage}/upload/storage/v1/b/{bucket}/o"
    params = {"uploadType": "media", "name": f"deep/{NAME}"}
    requests.post(objects, params=params, data=PNG, timeout=30).raise_for_status()
    fields = {"bucket": bucket, "presign": False, "recursive_scan": True, "google_project_id": "hospital"}
    add_storage(client, project, "gcs", fields)
    [task] = client.tasks(project)
    key = f"gs://{bucket}/deep/{NAME}"
    for data in (task.data, {"image": key}):
        np.testing.assert_array_equal(read(task.id, data), GREY)
    client.submit_annotation(task.id, [])
    [labelled] = client.labelled_tasks(project)
    assert labelled.data == {"image": key}
    said = reason(read, task.id, {"image": f"gs://{bucket}/away.png"})
    assert "away.png answers HTTP 424: Label Studio cannot read it" in said


def test_a_bucket_is_read_through_a_subpath_and_under_another_name_of_label_studio(
    server: LabelStudioServer, client: LabelStudio, project: int, store: ObjectStore, read: Read
) -> None:
    store.put(f"renamed-{project}", NAME, PNG)
    add_bucket(client, project, store, f"renamed-{project}", presign=False)
    [task] = client.tasks(project)
    address = task.data["image"]
    with SubpathProxy(server.url) as proxy:
        below = LabelStudio(proxy.url, server.token)
        for value in (
            address,
            f"/studio{address}",
            f"{proxy.url}{address}",
            f"http://browsers.see:1{address}",
        ):
            np.testing.assert_array_equal(read(task.id, {"image": value}, below), GREY)


def test_local_files_are_read_as_label_studio_writes_their_addresses(
    server: LabelStudioServer, client: LabelStudio, project: int, local_file: str, read: Read
) -> None:
    [task] = client.tasks(project)
    assert task.data["image"].startswith("/data/local-files/?d=project%20")
    with SubpathProxy(server.url) as proxy:
        below = LabelStudio(proxy.url, server.token)
        for value in (
            task.data["image"],
            local_file,
            f"{server.url}{local_file}",
            f"http://browsers.see:1{local_file}",
            f"http://browsers.see/studio{local_file}",
        ):
            np.testing.assert_array_equal(read(task.id, {"image": value}), GREY)
            np.testing.assert_array_equal(read(task.id, {"image": value}, below), GREY)


def test_uploads_are_read_under_any_host_name_of_label_studio(
    client: LabelStudio, project: int, read: Read
) -> None:
    task = client.upload(project, {"hand.png": PNG})["hand.png"]
    path = next(iter(client.tasks(project))).data["image"]
    for value in (path, f"{client.url}{path}", f"http://localhost:1{path}", f"https://old.name/sub{path}"):
        np.testing.assert_array_equal(read(task, {"image": value}), GREY)


def test_data_uris_are_read(client: LabelStudio, project: int, read: Read) -> None:
    address = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    [number] = client.create_tasks(project, [{"image": address}])
    [task] = client.tasks(project)
    np.testing.assert_array_equal(read(number, task.data), GREY)
    assert "not valid base64" in reason(read, number, {"image": "data:image/png;base64,####"})


def test_other_servers_are_allowed_unless_a_list_excludes_them(
    client: LabelStudio, project: int, read: Read, tmp_path: Path
) -> None:
    (tmp_path / "hand.png").write_bytes(PNG)
    with serve_folder(tmp_path) as url:
        [number] = client.create_tasks(project, [{"image": f"{url}/hand.png"}])
        [task] = client.tasks(project)
        for hosts in ("", "127.0.0.0/8", "pacs.example.org, 127.0.0.1"):
            np.testing.assert_array_equal(read(number, task.data, image_hosts=hosts), GREY)
        said = reason(read, number, task.data, image_hosts="pacs.example.org")
        assert "IMAGE_HOSTS lists neither 127.0.0.1" in said
    metadata = {"image": "http://169.254.169.254/latest/meta-data/"}
    assert "a cloud metadata address" in reason(read, number, metadata)


def test_the_list_of_hosts_never_excludes_label_studio_or_its_storage(
    client: LabelStudio, project: int, store: ObjectStore, read: Read
) -> None:
    store.put(f"listed-{project}", NAME, PNG)
    add_bucket(client, project, store, f"listed-{project}", presign=True)
    [task] = client.tasks(project)
    np.testing.assert_array_equal(read(task.id, task.data, image_hosts="pacs.example.org"), GREY)


# --- errors ---


@pytest.mark.parametrize("address", ["s3://nobody/a.png", "gs://nobody/a.png", "azure-blob://nobody/a.png"])
def test_storage_that_label_studio_does_not_have_is_reported(
    server: LabelStudioServer, client: LabelStudio, project: int, read: Read, address: str
) -> None:
    [task] = client.create_tasks(project, [{"image": address}])
    with SubpathProxy(server.url) as proxy:
        said = reason(read, task, {"image": address}, label_studio=LabelStudio(proxy.url, server.token))
        assert proxy.seen["GET", f"/tasks/{task}/resolve/"] == 1
    assert f"{address} answers HTTP 404: no import storage of the project has its bucket" in said


def test_a_storage_whose_credentials_were_revoked_is_reported(
    client: LabelStudio, project: int, store: ObjectStore, read: Read
) -> None:
    store.put(f"shut-{project}", NAME, PNG)
    add_bucket(client, project, store, f"shut-{project}", presign=True)
    [task] = client.tasks(project)
    [storage] = client._http.call("GET", f"/api/storages/s3?project={project}")
    # The server no longer knows this key and refuses its signatures.
    for key, status in ((ACCESS_KEY, 200), ("someone else", 403)):
        client._http.call("PATCH", f"/api/storages/s3/{storage['id']}", json={"aws_access_key_id": key})
        if status == 200:
            np.testing.assert_array_equal(read(task.id, task.data), GREY)
        else:
            assert f"answers HTTP 403, at {store.url}" in reason(read, task.id, task.data)


def test_local_files_that_no_storage_covers_are_reported(
    server: LabelStudioServer, client: LabelStudio, project: int, read: Read
) -> None:
    (server.data_dir / "documents" / "private.png").write_bytes(PNG)
    [task] = client.create_tasks(project, [{"image": "/data/local-files/?d=private.png"}])
    said = reason(read, task, {"image": "/data/local-files/?d=private.png"})
    assert 'the local file "private.png" answers HTTP 404: there is no such file, or no Local Files' in said


# --- the token ---


def test_an_access_token_that_has_expired_is_renewed_while_an_image_is_fetched(
    server: LabelStudioServer, client: LabelStudio, project: int, read: Read
) -> None:
    task = client.upload(project, {"hand.png": PNG})["hand.png"]
    [listed] = client.tasks(project)
    with SubpathProxy(server.url) as proxy:
        held = LabelStudio(proxy.url, server.token)
        claims = jwt.decode(held.authorization().split()[1], options={"verify_signature": False})
        # As after this machine slept: the same token, signed by this Label Studio, a minute after its expiry.
        secret = (server.data_dir / ".env").read_text().partition("SECRET_KEY=")[2].strip()
        expired = jwt.encode({**claims, "exp": int(time.time()) - 60}, secret, "HS256")
        held.credentials._access_token = expired  # type: ignore[attr-defined]
        np.testing.assert_array_equal(read(task, listed.data, held), GREY)
        assert proxy.seen["POST", "/api/token/refresh/"] == 2
        assert proxy.seen["GET", listed.data["image"]] == 2
        np.testing.assert_array_equal(read(task, listed.data, held), GREY)
        assert proxy.seen["POST", "/api/token/refresh/"] == 2


def test_images_are_fetched_with_a_legacy_token_where_it_is_allowed(
    server: LabelStudioServer, client: LabelStudio, project: int, read: Read
) -> None:
    task = client.upload(project, {"hand.png": PNG})["hand.png"]
    [listed] = client.tasks(project)
    legacy = LabelStudio(server.url, client._http.call("GET", "/api/current-user/token")["token"])
    assert "answers HTTP 401" in reason(read, task, listed.data, label_studio=legacy)
    settings = {"api_tokens_enabled": True, "api_token_ttl_days": 365, "legacy_api_tokens_enabled": True}
    client._http.call("POST", "/api/jwt/settings", json=settings)
    try:
        np.testing.assert_array_equal(read(task, listed.data, legacy), GREY)
    finally:
        client._http.call("POST", "/api/jwt/settings", json={**settings, "legacy_api_tokens_enabled": False})
