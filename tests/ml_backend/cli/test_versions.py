"""`dsal versions`, `publish`, `rollback`, `pause` and `resume`: one code path with the page."""

from __future__ import annotations

import pytest

from ml_backend.act.performing import perform
from ml_backend.cli import versions as commands
from ml_backend.queue.queues import JobQueues
from ml_backend.store import actions, projects, versions
from ml_backend.store.models import Project, VersionState
from ml_backend.web.app import Services
from tests.ml_backend.cli.conftest import Run


@pytest.fixture
def names(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of a former and a published version of project 3."""
    monkeypatch.setenv("MODEL_DIR", str(services.settings.model_dir))
    monkeypatch.setenv("REDIS_URL", services.settings.redis_url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    monkeypatch.setenv("COLUMNS", "200")
    made = []
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        for round in range(2):
            version = versions.create(
                session, project, round=round, state=VersionState.SCORING, weights_hash=str(round) * 64
            )
            versions.publish(session, version)
            made.append(version.name)
    return made


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does each action as soon as it is requested, as a worker beside the command would."""

    def at_once(_queues: JobQueues, action_id: int) -> bool:
        perform(action_id)
        return True

    monkeypatch.setattr(JobQueues, "request_action", at_once)


def test_versions_are_listed_newest_first(run: Run, names: list[str]) -> None:
    status, printed, _ = run("versions", 3)
    assert status == 0
    assert printed.index(names[1]) < printed.index(names[0])
    assert "not measured" in printed


def test_in_a_pipe_each_version_has_one_whole_line(
    run: Run, names: list[str], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with services.database.write() as session:
        session.get_one(Project, 3).title = "[red]Hands[/red] " * 8
    monkeypatch.setenv("COLUMNS", "40")
    rows = [line.split() for line in run("versions", 3)[1].splitlines()]
    assert [[row[0], row[1], row[-1]] for row in rows[2:]] == [
        [names[1], "published", "yes"],
        [names[0], "superseded", "yes"],
    ]
    shown = run("status")[1].splitlines()
    assert shown[0] == f"Project 3 “{'[red]Hands[/red] ' * 8}”"
    assert any(line.split()[:2] == [names[1], "published"] for line in shown)
    (project,) = [line for line in run("projects")[1].splitlines() if line.startswith("3 ")]
    assert "[red]Hands[/red]" in project
    assert names[1] in project


@pytest.mark.usefixtures("worker")
def test_pausing_and_resuming_say_what_came_of_it(run: Run, names: list[str], services: Services) -> None:
    assert run("pause", 3)[:2] == (
        0,
        "Learning is paused: labels are collected, masks and order stay as they are.\n",
    )
    with services.database.read() as session:
        assert session.get_one(Project, 3).paused_at is not None
        (action,) = actions.recent(session, 3)
    assert action.via == "command"
    assert run("resume", 3)[:2] == (0, "Learning is resumed.\n")


@pytest.mark.usefixtures("worker")
def test_what_a_worker_refuses_ends_with_status_1(run: Run, names: list[str]) -> None:
    status, printed, _ = run("rollback", 3)
    assert status == 1
    assert printed == f"The weights of {names[0]} are no longer in the store.\n"


def test_a_wrong_name_is_one_sentence(run: Run, names: list[str]) -> None:
    status, _, said = run("publish", 3, "p3-r009-no-such")
    assert status == 1
    assert said == ("dsal: Project 3 has no version “p3-r009-no-such”; dsal versions 3 lists them.\n")


def test_without_a_worker_it_waits(run: Run, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "WAIT_SECONDS", 0.0)
    status, printed, _ = run("pause", 3)
    assert status == 0
    assert "a worker does it as soon as" in printed
