"""Import storages of a project in Label Studio, synced so that its tasks come from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from tests.object_store import ACCESS_KEY, SECRET_KEY, ObjectStore


def add_bucket(client: LabelStudio, project: int, store: ObjectStore, bucket: str, *, presign: bool) -> None:
    """Have the project take every object of a bucket of the S3 server as a task."""
    fields = {
        "bucket": bucket,
        "s3_endpoint": store.url,
        "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": SECRET_KEY,
        "region_name": "us-east-1",
        "recursive_scan": True,
        "presign": presign,
    }
    add_storage(client, project, "s3", fields)


def add_local_files(
    server: LabelStudioServer, client: LabelStudio, project: int, files: Mapping[str, bytes]
) -> Path:
    """Put files below Label Studio's document root and have the project take them as tasks; their folder."""
    folder = server.data_dir / "documents" / f"project {project}"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    add_storage(client, project, "localfiles", {"path": str(folder)})
    return folder


def add_storage(client: LabelStudio, project: int, kind: str, fields: Mapping[str, Any]) -> None:
    """Give the project an import storage whose objects are images, and have it make its tasks."""
    body = {"project": project, "title": "Images", "use_blob_urls": True, **fields}
    number = client._http.call("POST", f"/api/storages/{kind}", json=body)["id"]
    client._http.call("POST", f"/api/storages/{kind}/{number}/sync")
