"""How good a project's versions are, how sure that is, and when to stop."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from ml_backend.store import versions
from ml_backend.store.models import Project, VersionState
from ml_backend.web.app import Services
from tests.ml_backend.page.rows import metrics
from tests.ml_backend.page.visit import shown, text_of


@pytest.mark.usefixtures("project")
def test_a_figure_comes_with_its_interval_and_count(client: FlaskClient) -> None:
    said = text_of(shown(client))
    assert re.search(r"0\.912 0\.9\d\d–0\.9\d\d n = 5", said)
    assert "too few to tell (n = 1)" in said, "one validation image has the label Soft"


@pytest.mark.usefixtures("project")
def test_the_accepted_share_has_wilsons_interval(client: FlaskClient) -> None:
    assert "67 % 30–90 % n = 6" in text_of(shown(client))


def test_agreement_lists_the_lowest_tasks(client: FlaskClient, project: Project) -> None:
    said = text_of(shown(client))
    assert "Mean DSC 0.810 over 1 task that" in said
    assert "Task 7 2 0.810" in said


@pytest.mark.usefixtures("project")
def test_two_versions_are_compared_on_the_same_images(client: FlaskClient, services: Services) -> None:
    with services.database.read() as session:
        later, former = (one.name for one in versions.of_project(session, 3))
    said = text_of(shown(client, f"/projects/3/compare?former={former}&later={later}"))
    assert f"Better than {former}: DSC 0.912 against 0.714 on 5 validation images" in said
    assert "Choose two versions" in text_of(shown(client, "/projects/3/compare?former=x"))


@pytest.mark.usefixtures("project")
def test_when_to_stop_is_not_told_after_two_rounds(client: FlaskClient) -> None:
    page = shown(client)
    assert "When to stop Not yet to be told (2 of 4 validated rounds)." in text_of(page)
    assert 'class="band"' not in page


def test_when_to_stop_is_told_and_drawn_after_enough_rounds(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        for round, mean in enumerate((0.93, 0.935, 0.937, 0.938), 3):
            version = versions.create(
                session,
                session.get_one(Project, 3),
                round=round,
                state=VersionState.SCORING,
                labels=("Bone", "Soft"),
                weights_hash=str(round) * 64,
                labels_used=10 * round,
                metrics=metrics([mean - 0.01, mean + 0.01, mean, mean - 0.005, mean + 0.005]),
            )
            versions.publish(session, version)
    page = shown(client)
    said = text_of(page)
    assert re.search(r"When to stop (About \d+ to|At most about|Time to stop|Not yet to be told \()", said)
    assert 'class="band"' in page
    assert "with its 90 % interval" in said
