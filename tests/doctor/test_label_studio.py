"""Faults on the way to Label Studio: the address, the token, its owner's rights."""

from __future__ import annotations

import time

import jwt
import pytest
import requests

from ml_backend.demo.account import Account
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.processes import free_port
from ml_backend.doctor import State
from ml_backend.label_studio.client import LabelStudio
from ml_backend.store import projects
from tests.doctor.conftest import Case
from tests.local_server import LocalServer, Request


def test_an_address_where_nothing_answers(case: Case) -> None:
    found = case.diagnose(label_studio_url=f"http://localhost:{free_port()}")
    assert "LABEL_STUDIO_URL" in found.fault("Label Studio", "Nothing answers").cure
    assert found.state("token") is found.state("webhook") is State.SKIPPED
    assert found.state("database") is State.OK


def test_an_address_of_something_else(case: Case) -> None:
    found = case.diagnose(label_studio_url=case.service.url)
    found.fault("Label Studio", "is not Label Studio")


def test_an_address_that_is_none(case: Case) -> None:
    case.diagnose(label_studio_url="label-studio:8080").fault("Label Studio", "write it as http://")


class OtherRelease(LocalServer):
    """Answers as a newer Label Studio would."""

    def respond(self, request: Request) -> None:
        request.reply_json({"release": "2.0.0"})


def test_a_release_that_was_never_tried_is_a_warning(case: Case) -> None:
    with OtherRelease() as server:
        found = case.diagnose(label_studio_url=server.url)
    assert found.warned("Label Studio", "2.0.0")


def test_no_token(case: Case) -> None:
    found = case.diagnose(label_studio_api_key="")
    assert "personal access token" in found.fault("token", "is empty").cure
    assert found.state("project") is State.SKIPPED


def test_an_unknown_legacy_token(case: Case) -> None:
    case.diagnose(label_studio_api_key="0" * 40).fault("token", "does not know the token")


def test_a_legacy_token_where_they_are_switched_off(case: Case) -> None:
    # Label Studio makes one for every user, and by default accepts none.
    path = "/api/current-user/token"
    legacy = case.service.ask_label_studio("GET", path)["token"]
    case.diagnose(label_studio_api_key=legacy).fault("token", "legacy tokens switched off")


def test_an_access_token_instead_of_a_personal_one(case: Case) -> None:
    access = case.client.authorization().removeprefix("Bearer ")
    case.diagnose(label_studio_api_key=access).fault("token", "expires within minutes")


def test_an_expired_personal_token(case: Case) -> None:
    claims = jwt.decode(case.service.environment["LABEL_STUDIO_API_KEY"], options={"verify_signature": False})
    expired = jwt.encode({**claims, "exp": int(time.time()) - 86400}, "x" * 32, algorithm="HS256")
    case.diagnose(label_studio_api_key=expired).fault("token", "expired on")


def test_a_token_of_another_label_studio(case: Case) -> None:
    claims = jwt.decode(case.service.environment["LABEL_STUDIO_API_KEY"], options={"verify_signature": False})
    foreign = jwt.encode(claims, "x" * 32, algorithm="HS256")
    case.diagnose(label_studio_api_key=foreign).fault("token", "another Label Studio")


@pytest.fixture
def outsider(case: Case, server: LabelStudioServer) -> str:
    """The token of a former member of the organisation; every member sees every project."""
    invited = case.service.ask_label_studio("GET", "/api/invite")["invite_url"]
    session, page = requests.Session(), f"{server.url}{invited}"
    session.get(page, timeout=30)
    email, password = "outsider@example.com", "a long password 1"
    form = {"email": email, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    session.post(page, data=form, headers={"Referer": page}, timeout=30).raise_for_status()
    token = Account(server.url, email, password).personal_access_token()
    user = LabelStudio(server.url, token).user()["id"]
    away = f"{server.url}/api/organizations/1/memberships/{user}/"
    headers = {"Authorization": case.client.authorization()}
    requests.delete(away, headers=headers, timeout=30).raise_for_status()
    return token


def test_a_user_who_lost_all_rights(case: Case, outsider: str) -> None:
    found = case.diagnose(label_studio_api_key=outsider)
    found.fault("token", "owner was removed")
    assert found.state("project") is State.SKIPPED


def test_a_project_that_was_never_connected(case: Case) -> None:
    number = int(case.client.create_project("Never connected")["id"])
    found = case.diagnose(project=number)
    assert f"dsal connect --project {number}" in found.fault("projects", "never connected").cure
    found.fault("ML backend", "No ML backend is connected")
    found.fault("labeling config", "Labeling Interface")
    case.client.delete_project(number)


def test_a_project_that_was_archived(spoilt: Case) -> None:
    number = spoilt.project
    with spoilt.service.database.write() as session:
        projects.archive(session, projects.ensure(session, number, seed=0), by_hand=True)
    try:
        assert f"dsal projects restore {number}" in spoilt.diagnose().fault("projects", "is archived").cure
    finally:
        with spoilt.service.database.write() as session:
            projects.restore(session, projects.ensure(session, number, seed=0))


def test_a_project_that_does_not_exist(case: Case) -> None:
    case.diagnose(project=99999).fault("project", "does not exist")
