import pytest

from ml_backend.store import assignments, projects
from ml_backend.store.database import Database
from ml_backend.store.models import Assignment, now


@pytest.fixture(autouse=True)
def project(database: Database) -> None:
    with database.write() as session:
        for number in (3, 4):
            projects.ensure(session, number, seed=0)


def test_annotators_who_remain_keep_their_rows(database: Database) -> None:
    with database.write() as session:
        assignments.set_annotators(session, 3, ["bob@x", "ann@x"])
        assignments.set_annotators(session, 4, ["cho@x"])
    with database.read() as session:
        before = {one.email: one.active_at for one in assignments.annotators(session, 3)}
    with database.write() as session:
        assignments.set_annotators(session, 3, ["dee@x", "ann@x"])
    with database.read() as session:
        after = {one.email: one.active_at for one in assignments.annotators(session, 3)}
        assert list(after) == ["ann@x", "dee@x"]
        assert after["ann@x"] == before["ann@x"]
        assert assignments.projects_with_annotators(session) == [3, 4]
        assert assignments.are_needed(session, 3)
    with database.write() as session:
        assignments.set_annotators(session, 3, [])
        assert not assignments.are_needed(session, 3)


def test_assignments_are_stored_by_project_and_forgotten(database: Database) -> None:
    with database.write() as session:
        session.add(Assignment(project_id=3, task_id=1, email="ann@x", version_id=7))
        session.add(Assignment(project_id=3, task_id=2, opened_at=now()))
        session.add(Assignment(project_id=4, task_id=1))
    with database.write() as session:
        assignments.forget(session, 3, [1, 99])
    with database.read() as session:
        assert assignments.by_task(session, 3).keys() == {2}
        assert assignments.by_task(session, 4)[1].email is None
