"""Where to begin, which parts of the page are sent again, and what becomes of an action."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from ml_backend.settings import Settings
from ml_backend.store import actions
from ml_backend.web.app import Services, create_app
from tests.ml_backend.page.visit import HERE, shown, text_of


def test_without_a_project_the_page_says_what_to_do(client: FlaskClient) -> None:
    assert "dsal connect --project N" in text_of(shown(client, "/"))


@pytest.mark.parametrize("part", ["top", "quality", "next", "jobs"])
@pytest.mark.usefixtures("project")
def test_a_part_is_sent_again_only_if_it_has_changed(client: FlaskClient, part: str) -> None:
    page = shown(client, f"/projects/3/parts/{part}")
    found = re.search(rf'hx-get="(/projects/3/parts/{part}\?known=\w+)', page)
    assert found is not None
    assert client.get(found[1]).status_code == 204
    assert client.get(found[1][:-1] + "x").status_code == 200


@pytest.mark.usefixtures("project")
def test_an_action_is_recorded_with_its_person_and_told_on_the_page(services: Services) -> None:
    settings = services.settings.model_copy(update={"basic_auth_user": "ann"})
    locked = create_app(
        Services(
            Settings(**{**settings.model_dump(), "basic_auth_pass": "pw"}), services.database, services.queues
        )
    ).test_client()
    assert locked.post("/projects/3/actions", data={"kind": "pause"}, headers=HERE).status_code == 401
    answer = locked.post(
        "/projects/3/actions", data={"kind": "pause"}, headers=HERE, auth=("ann", "pw"), follow_redirects=True
    )
    assert "A worker is about to do it" in text_of(answer.text)
    with services.database.read() as session:
        (action,) = actions.recent(session, 3)
    assert (action.who, action.via) == ("ann", "page")
    assert f"act-{action.id}" in services.queues.all()[0].get_job_ids()


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"kind": "publish", "target": "p3-r009-no-such"}, 404),
        ({"kind": "resume"}, 409),
        ({"kind": "check"}, 409),
        ({"kind": "x"}, 400),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_cannot_be_done_is_said_on_a_page(
    client: FlaskClient, form: dict[str, str], status: int
) -> None:
    answer = client.post("/projects/3/actions", data=form, headers=HERE)
    assert answer.status_code == status
    assert "That did not work" in answer.text
