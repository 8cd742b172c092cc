"""What other people and other sites can do by the page: nothing."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from ml_backend.store import actions
from ml_backend.web.app import Services
from tests.ml_backend.page.visit import HERE, shown


@pytest.mark.usefixtures("project")
def test_what_others_wrote_is_shown_as_text(client: FlaskClient) -> None:
    for path in ("/", "/projects/3"):
        assert "Hands &lt;b&gt;" in shown(client, path)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize("path", ["/projects/3/actions", "/api/projects/3/actions"])
@pytest.mark.usefixtures("project")
def test_what_comes_from_another_site_changes_nothing(
    client: FlaskClient, services: Services, headers: dict[str, str], path: str
) -> None:
    answer = client.post(path, data={"kind": "pause"}, headers=headers)
    assert answer.status_code == 403
    with services.database.read() as session:
        assert actions.recent(session) == []


@pytest.mark.parametrize("headers", [HERE, {"Origin": "http://localhost"}, {}])
@pytest.mark.usefixtures("project")
def test_the_page_itself_and_programs_may_act(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/projects/3/actions", data={"kind": "pause"}, headers=headers).status_code == 303


@pytest.mark.parametrize(
    "path", ["/", "/projects/3", "/projects/77", "/page/static/page.css", "/api/projects"]
)
@pytest.mark.usefixtures("project")
def test_every_answer_forbids_what_comes_from_elsewhere(client: FlaskClient, path: str) -> None:
    policy = client.get(path).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.usefixtures("project")
def test_the_page_names_no_other_address_and_has_no_code_of_its_own(client: FlaskClient) -> None:
    page = shown(client)
    loaded = re.findall(r'(?:src|hx-get)="([^"]+)"', page) + re.findall(r'<link[^>]+href="([^"]+)"', page)
    assert loaded
    assert all(one.startswith("/") and not one.startswith("//") for one in loaded)
    assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]+src=)", page)


@pytest.mark.parametrize("number", [77, 2**31, 2**70])
@pytest.mark.usefixtures("project")
def test_a_number_of_nothing_is_not_found(client: FlaskClient, number: int) -> None:
    for prefix in ("", "/api"):
        assert client.get(f"{prefix}/projects/{number}").status_code == 404
        answer = client.post(f"{prefix}/projects/{number}/actions", json={"action": "pause"})
        assert answer.status_code in ((400, 404) if not prefix else (404,))


@pytest.mark.usefixtures("project")
def test_a_mistyped_address_is_a_page_for_browsers_and_json_for_programs(client: FlaskClient) -> None:
    assert client.get("/projects/3/").status_code == client.get("/projects/3").status_code == 200
    for path in ("/project/3", "/projects/3/nothing"):
        seen = client.get(path, headers={"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"})
        assert (seen.status_code, seen.mimetype) == (404, "text/html")
        assert "There is no such page." in seen.text
        assert client.get(path, headers={"Accept": "*/*"}).json == client.get(path).json
        assert client.get(path).mimetype == "application/json"
