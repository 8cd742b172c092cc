"""Drafts: which weights draw, which may be deleted, and whose masks they are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ml_backend.store import drafts, edits, projects, runs, versions
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Draft, Edit, FormerMask, RunState, TrainingRun, Version, VersionState, now
from ml_backend.store.states import Provenance

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture(autouse=True)
def project(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 1, seed=0)


def replace(database: Database, weights: str, run: int = 7) -> list[str]:
    draft = Draft(project_id=1, run_id=run, weights_hash=weights, labels=["Bone"], step=10, learned=2)
    with database.write() as session:
        return drafts.replace(session, draft)


def current(database: Database) -> str | None:
    with database.read() as session:
        draft = drafts.current(session, 1)
        return None if draft is None else draft.weights_hash


def test_the_weights_of_the_draft_before_stay_for_whoever_loads_them(database: Database) -> None:
    assert replace(database, ONE) == []
    assert replace(database, TWO) == []
    assert replace(database, TWO) == [], "the same weights again"
    assert replace(database, THREE) == [ONE]
    assert current(database) == THREE
    with database.write() as session:
        assert drafts.drop(session, 1) == [TWO, THREE]
    assert current(database) is None


def test_weights_of_a_version_are_never_deleted(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 1, seed=0)
        versions.create(session, project, round=1, state=VersionState.SCORING, weights_hash=ONE)
    for weights in (ONE, TWO):
        replace(database, weights)
    assert replace(database, THREE) == []


def test_a_version_takes_the_place_of_earlier_drafts_once_it_is_published(database: Database) -> None:
    replace(database, ONE)
    with database.write() as session:
        project = projects.ensure(session, 1, seed=0)
        version = versions.create(session, project, round=1, state=VersionState.SCORING)
    assert current(database) == ONE, "annotators do not see the version yet"
    with database.write() as session:
        versions.publish(session, session.get_one(Version, version.id))
    assert current(database) is None
    replace(database, TWO)
    assert current(database) == TWO


def test_a_mask_belongs_to_the_version_that_its_run_became(database: Database) -> None:
    with database.write() as session:
        session.add(TrainingRun(id=7, project_id=1, owner=str(ProcessId.current())))
    with database.read() as session:
        assert drafts.drawer(session, "p1-r001", 1, None) == "p1-r001"
        assert drafts.drawer(session, "p1-r001", 1, 7) == "p1-draft-7"
    with database.write() as session:
        project = projects.ensure(session, 1, seed=0)
        version = versions.create(session, project, round=2, state=VersionState.SCORING)
        run = session.get_one(TrainingRun, 7)
        runs.finish(session, run, RunState.FINISHED, version_id=version.id)
    with database.read() as session:
        assert drafts.drawer(session, "p1-r001", 1, 7) == version.name


def test_edits_of_a_draft_become_those_of_its_version(database: Database) -> None:
    with database.write() as session:
        for key, version in ((1, "p1-draft-7"), (2, "p1-r001"), (3, None)):
            session.add(
                Edit(
                    project_id=1,
                    annotation_id=key,
                    task_id=key,
                    digest="",
                    provenance=Provenance.EDITED,
                    version=version,
                )
            )
        edits.rename(session, 1, "p1-draft-7", "p1-r002")
    with database.read() as session:
        found = {key: edit.version for key, edit in edits.of_project(session, 1).items()}
    assert found == {1: "p1-r002", 2: "p1-r001", 3: None}


def test_only_the_latest_masks_of_a_prediction_are_kept_and_none_for_long(database: Database) -> None:
    def note(name: bytes, prediction: int = 5, days: int = 0) -> None:
        mask = FormerMask(project_id=1, prediction_id=prediction, packed=name, blank=False)
        mask.replaced_at = now() - timedelta(days=days)
        with database.write() as session:
            edits.note_former(session, mask)

    note(b"old", prediction=6, days=4)
    for number in range(edits.FORMER_MASKS + 2):
        note(str(number).encode())
    with database.read() as session:
        kept = [mask.packed for mask in edits.former_masks(session, 5)]
        assert kept == [b"6", b"5", b"4", b"3", b"2"]
        assert edits.former_masks(session, 6) == []
        assert edits.was_redrawn_since(session, 1, now() - timedelta(minutes=1))
        assert not edits.was_redrawn_since(session, 1, now() + timedelta(minutes=1))
