"""What is being done, and what stands in its way."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from ml_backend.store import projects, runs
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import (
    Project,
    RunState,
    Score,
    ScoreState,
    TrainingRun,
    Version,
    VersionState,
)
from ml_backend.web.app import Services, create_app
from tests.ml_backend.page.visit import shown, text_of


def test_learning_is_told_in_one_sentence(client: FlaskClient, services: Services, project: Project) -> None:
    with services.database.write() as session:
        session.add(
            TrainingRun(project_id=3, owner=str(ProcessId.current()), message="step 2, 4 s, loss 0.3")
        )
    assert re.search(r"Learning from .* labels; the next masks will be better in about \d+ s", shown(client))


def test_a_failed_training_says_why_and_how_to_go_on(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        run = TrainingRun(project_id=3, owner="x")
        session.add(run)
        session.flush()
        runs.finish(session, run, RunState.FAILED, message="The disk is full.")
    said = text_of(shown(client))
    assert "The last training failed: The disk is full." in said
    assert "then train again" in said


@pytest.mark.usefixtures("project")
def test_no_worker_and_no_password_are_told_with_their_cures(unlocked: Services) -> None:
    said = text_of(shown(create_app(unlocked).test_client(), "/"))
    assert "No worker is running: nothing is trained or scored. Start dsal worker." in said
    assert "Set BASIC_AUTH_USER and BASIC_AUTH_PASS" in said


def test_an_archived_project_can_be_looked_at(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        projects.archive(session, session.get_one(Project, 3), by_hand=True)
    assert "Archived: nothing is done" in shown(client)


def test_the_version_that_is_scored_shows_how_far_it_is(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        version = Version(project_id=3, name="p3-r003-x", round=3, state=VersionState.SCORING)
        session.add(version)
        session.flush()
        for task in range(4):
            state = ScoreState.PENDING if task else ScoreState.RANKED
            session.add(Score(version_id=version.id, task_id=task, state=state))
    assert "p3-r003-x scores the images: 1 of 4" in text_of(shown(client))
