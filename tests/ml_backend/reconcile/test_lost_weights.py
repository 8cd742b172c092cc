"""Lost or damaged weights of the published version, and what killed processes left behind."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ml_backend.reconcile import leftovers, lost_weights
from ml_backend.store import events, runs, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import RunState, TrainingRun, Version, VersionState
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services
from tests.ml_backend.store.replaced import FILE, PROJECT, replaced


@dataclass
class Case:
    """A project with two versions, of which the second is published."""

    services: Services
    context: Any
    former: Version
    current: Version

    def damage(self, version: Version, *, cached: bool) -> None:
        folders = [Path(self.services.settings.model_dir, "store")]
        folders += [self.services.settings.weights_cache_dir] if cached else []
        for folder in folders:
            (path,) = folder.glob(f"{version.weights_hash}/{FILE}")
            path.write_bytes(b"x")

    def repair(self) -> list[str]:
        with self.services.database.read() as session:
            version = versions.published(session, PROJECT)
        assert version is not None
        return [str(one) for one in lost_weights.repair(self.context, version)]

    def versions(self) -> list[Version]:
        with self.services.database.read() as session:
            return versions.of_project(session, PROJECT)


@pytest.fixture
def case(services: Services, tmp_path: Path) -> Case:
    settings = services.settings
    store = WeightStore(f"file://{settings.model_dir}/store", settings.weights_cache_dir)
    context = SimpleNamespace(
        settings=settings, database=services.database, queues=services.queues, weights=store
    )
    former, current = replaced(services.database, store, tmp_path)
    for version in (former, current):
        assert version.weights_hash is not None
        store.get(version.weights_hash)
    return Case(services, context, former, current)


def test_a_damaged_store_is_repaired_from_this_machines_cache(case: Case) -> None:
    assert case.repair() == []
    case.damage(case.current, cached=False)
    (found,) = case.repair()
    assert "restored from this machine's cache" in found
    assert case.context.weights.is_whole(case.current.weights_hash)
    assert case.repair() == []


def test_the_newest_whole_version_takes_over_from_a_damaged_one(case: Case) -> None:
    case.damage(case.current, cached=True)
    (found,) = case.repair()
    newest = case.versions()[0]
    assert newest.name in found
    assert (newest.state, newest.weights_hash) == (VersionState.SCORING, case.former.weights_hash)
    assert case.former.name in newest.message
    waiting = {name for queue in case.services.queues.all() for name in queue.get_job_ids()}
    assert f"score-v{newest.id}" in waiting
    assert case.services.queues.training_is_scheduled(PROJECT)
    with case.services.database.read() as session:
        assert events.has_happened(session, PROJECT, events.WEIGHTS_LOST, f"weights:{case.current.id}"), (
            "a training is requested"
        )

    case.repair()
    assert [one.id for one in case.versions()] == [newest.id, case.current.id, case.former.id]
    with case.services.database.write() as session:
        versions.publish(session, session.get_one(Version, newest.id))
    assert case.repair() == []


def test_without_any_whole_version_a_training_from_scratch_is_requested(case: Case) -> None:
    case.damage(case.current, cached=True)
    case.damage(case.former, cached=True)
    (found,) = case.repair()
    assert "training from scratch" in found
    assert len(case.versions()) == 2


def test_checkpoints_of_ended_trainings_go_once_they_are_old_and_no_others(case: Case) -> None:
    folder = case.services.settings.checkpoint_dir
    with case.services.database.write() as session:
        ended = runs.begin(session, PROJECT, ProcessId.current(), force=True)
        assert ended is not None
        runs.finish(session, session.get_one(TrainingRun, ended.id), RunState.FAILED)
        running = runs.begin(session, PROJECT, ProcessId.current(), force=True)
        assert running is not None
    paths = [folder / f"run-{number}" / "checkpoint" for number in (ended.id, running.id, 99)]
    for path in paths:
        path.mkdir(parents=True)
        (path / "checkpoint.safetensors").write_bytes(b"x")
    assert list(leftovers.repair(case.context)) == []
    for path in paths:
        for one in (path / "checkpoint.safetensors", path, path.parent):
            os.utime(one, (0, 0))
    (found,) = leftovers.repair(case.context)
    assert "2 files or folders" in str(found)
    assert [path.exists() for path in paths] == [False, True, False]
