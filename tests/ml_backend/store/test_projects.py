"""Archived and purged projects."""

from __future__ import annotations

from ml_backend.store import events, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, VersionState

ONE, OTHER, SHARED = "1" * 64, "2" * 64, "3" * 64


def test_purging_deletes_all_rows_and_returns_weights_used_nowhere_else(database: Database) -> None:
    with database.write() as session:
        for project_id, hashes in ((1, (ONE, SHARED)), (2, (OTHER, SHARED))):
            project = projects.ensure(session, project_id, seed=0)
            events.add(session, project_id, "ANNOTATION_CREATED", changes=["annotation:1"])
            for number, key in enumerate(hashes):
                version = versions.create(
                    session, project, round=number, state=VersionState.SCORING, weights_hash=key
                )
                scores.plan(session, version.id, [1, 2], chunk_size=2)
    with database.write() as session:
        left = projects.purge(session, 1)
    assert left.weights == [ONE]
    assert len(left.versions) == 2
    assert left.runs == []
    with database.read() as session:
        assert [project.id for project in projects.all_projects(session)] == [2]
        assert len(versions.of_project(session)) == 2
        assert not events.pending(session, 1)
        assert sum(scores.count(session, left.versions[0]).values()) == 0


def test_an_archived_project_can_be_restored(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 1, seed=0)
        project.extent = {"tasks": 1}
        projects.archive(session, project, by_hand=False)
    with database.write() as session:
        assert projects.active(session) == []
        assert not projects.is_active(session, 1)
        assert not projects.is_active(session, 99)
        project = session.get_one(Project, 1)
        assert project.archived_at is not None
        projects.restore(session, project)
    with database.read() as session:
        assert projects.is_active(session, 1)
        assert session.get_one(Project, 1).extent is None
