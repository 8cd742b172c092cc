"""A project whose first version was replaced by a second one, with the files of both in the store."""

from __future__ import annotations

from pathlib import Path

from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version, VersionState
from ml_backend.store.weights import WeightStore

PROJECT = 3
FILE = "weights.safetensors"
"""The one file of each version, which reads "weights 1" or "weights 2"."""


def replaced(database: Database, store: WeightStore, folder: Path) -> tuple[Version, Version]:
    """Publish one version after the other, written in `folder`; returns the former and the current one."""
    return _published(database, store, folder, 1), _published(database, store, folder, 2)


def _published(database: Database, store: WeightStore, folder: Path, number: int) -> Version:
    files = folder / f"version {number}"
    files.mkdir()
    (files / FILE).write_text(f"weights {number}")
    with database.write() as session:
        version = versions.create(
            session,
            projects.ensure(session, PROJECT, seed=0),
            round=number,
            state=VersionState.SCORING,
            labels=["Bone"],
            weights_hash=store.put(files),
            labels_used=number,
        )
        versions.publish(session, version)
        return version
