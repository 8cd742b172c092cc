"""Faults on the way from Label Studio to this service: it is made to call, and the call must arrive."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.processes import free_port
from ml_backend.doctor import State
from ml_backend.label_studio.client import LabelStudio
from tests.connecting import connect
from tests.doctor.conftest import Case, Delay
from tests.file_server import serve_folder
from tests.label_studio.tiny_backend import TinyBackend
from tests.loop.service import AUTH

Serve = Callable[..., AbstractContextManager[str]]

TOO_LONG = 1.5
"""Seconds: Label Studio waits for one, `dsal doctor` for three."""


def move(case: Case, url: str, basic_auth: tuple[str, str] | None = AUTH) -> None:
    """Connect the project to another address, and to that one only."""
    for backend in case.client.ml_backends(case.project):
        case.client.delete_ml_backend(backend["id"])
    connect(case.client, backend_url=url, project=case.project, basic_auth=basic_auth)


def test_a_backend_that_was_stopped(spoilt: Case, serve: Serve) -> None:
    with serve() as url:
        move(spoilt, url)
        assert spoilt.diagnose().state("call back") is State.OK
    found = spoilt.diagnose()
    assert "dsal serve" in found.fault("call back", f"Nothing answers at {url}").cure
    assert found.state("address protection") is found.state("host name") is State.OK


def test_a_backend_that_moved_to_another_port_while_another_service_took_its_own(
    spoilt: Case, serve: Serve, empty: Path
) -> None:
    with serve() as url:
        move(spoilt, url)
    with serve_folder(empty, int(url.rpartition(":")[2])):
        found = spoilt.diagnose()
    assert "another port" in found.fault("call back", f"Another service answers at {url}").cure


def test_another_ml_backend_at_the_same_address(spoilt: Case) -> None:
    with TinyBackend() as other:
        move(spoilt, other.url, None)
        found = spoilt.diagnose()
    found.fault("call back", "the call did not arrive here")


def test_a_password_that_was_changed(spoilt: Case, serve: Serve) -> None:
    with serve() as url:
        move(spoilt, url)
    password = "another password"
    with serve(int(url.rpartition(":")[2]), basic_auth_pass=password):
        found = spoilt.diagnose(basic_auth_pass=password)
        assert "dsal connect" in found.fault("call back", "a wrong user or password").cure
        found.fault("webhook", "does not match BASIC_AUTH_USER and BASIC_AUTH_PASS")
        move(spoilt, url, (AUTH[0], password))
        assert spoilt.diagnose(basic_auth_pass=password).state("call back") is State.OK


def test_a_backend_that_is_not_listed(spoilt: Case) -> None:
    elsewhere = f"http://127.0.0.1:{free_port()}"
    found = spoilt.diagnose(backend=elsewhere)
    assert elsewhere in found.fault("ML backend", f"lists only {spoilt.service.url}").cure
    spoilt.client.delete_ml_backend(spoilt.backend)
    found = spoilt.diagnose()
    found.fault("ML backend", "No ML backend is connected")
    assert found.state("webhook") is State.SKIPPED


def test_a_backend_behind_another_one(spoilt: Case) -> None:
    with TinyBackend() as first:
        spoilt.client.delete_ml_backend(spoilt.backend)
        spoilt.client.create_ml_backend(spoilt.project, first.url, "first")
        connect(spoilt.client, backend_url=spoilt.service.url, project=spoilt.project, basic_auth=AUTH)
        spoilt.diagnose().fault("ML backend", f"uses only a project's first ML backend, which is {first.url}")


def test_a_host_without_a_dot(spoilt: Case, serve: Serve) -> None:
    host, delay = socket.gethostname().partition(".")[0], Delay()
    try:
        socket.gethostbyname(host)
    except OSError:
        pytest.skip("This machine does not find itself by a name without a dot.")
    with serve(host=host, delay=delay) as url:
        spoilt.client.delete_ml_backend(spoilt.backend)
        access = {"auth_method": "BASIC_AUTH", "basic_auth_user": AUTH[0], "basic_auth_pass": AUTH[1]}
        spoilt.client.create_ml_backend(spoilt.project, url, "dsal", **access)
        found = spoilt.diagnose()
        # As with a firewall, only this machine gets an answer in time.
        delay.seconds = TOO_LONG
        spoilt.diagnose().fault("call back", "Label Studio gets no answer within a second")
        delay.seconds = 0.0
    assert found.state("call back") is State.OK
    assert f"{host}.internal" in found.fault("host name", "without a dot").cure
    found.fault("webhook", "There is none")


def test_an_address_that_means_another_machine_to_label_studio(spoilt: Case, serve: Serve) -> None:
    delay = Delay()
    with serve(delay=delay) as url:
        move(spoilt, url)
        delay.seconds = TOO_LONG
        fault = spoilt.diagnose().fault("call back", "that name means itself")
        delay.seconds = 0.0
    assert "host.docker.internal" in fault.cure


def test_a_host_without_a_dot_before_anything_is_connected(case: Case) -> None:
    found = case.diagnose(backend="http://backend:9090")
    found.fault("ML backend", "not http://backend:9090")
    assert "backend.internal" in found.fault("host name", "without a dot").cure


def test_a_host_that_label_studio_does_not_know(case: Case) -> None:
    found = case.diagnose(backend="http://no-such-host.invalid:9090")
    found.fault("host name", "cannot resolve the host name")


@pytest.fixture
def strict(label_studio: Path, templates: Path, tmp_path: Path) -> Any:
    """A Label Studio with its own protection of private addresses."""
    banned = {"USE_DEFAULT_BANNED_SUBNETS": "true"}
    with LabelStudioServer(label_studio, tmp_path / "ls", templates=templates, extra_env=banned) as server:
        yield server


def test_a_label_studio_that_refuses_private_addresses(case: Case, strict: LabelStudioServer) -> None:
    client = LabelStudio(strict.url, strict.token)
    number = int(client.create_project("Strict")["id"])
    before = client.webhooks(number)
    found = case.diagnose(project=number, label_studio_url=strict.url, label_studio_api_key=strict.token)
    assert "USE_DEFAULT_BANNED_SUBNETS" in found.fault("address protection", "address is private").cure
    assert client.ml_backends(number) == []
    assert client.webhooks(number) == before
