"""A connected project with an order, and `dsal doctor`'s checks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from werkzeug.serving import make_server

from ml_backend.doctor import Finding, Installation, State, check_installation, is_healthy
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.settings import Settings
from ml_backend.store import versions
from ml_backend.store.models import Version
from ml_backend.web.app import Services, create_app
from tests.connecting import connect
from tests.loop.service import AUTH, Service


@dataclass
class Findings:
    """What one run of all checks found."""

    all: Sequence[Finding]

    @property
    def healthy(self) -> bool:
        """Whether it found no fault."""
        return is_healthy(self.all)

    def named(self, name: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.all if finding.name == name]

    def state(self, name: str) -> State:
        """The state of a check that has one finding."""
        (finding,) = self.named(name)
        return finding.state

    def fault(self, name: str, said: str) -> Finding:
        """The one fault of a check whose sentence or cure contains `said`."""
        faults = [finding for finding in self.named(name) if finding.state is State.FAULT]
        matching = [finding for finding in faults if said in f"{finding.sentence} {finding.cure}"]
        assert len(matching) == 1, "\n".join(f"{one.name}: {one.sentence}" for one in self.named(name))
        assert matching[0].cure
        return matching[0]

    def warned(self, name: str, said: str) -> bool:
        """Whether a check warns with a sentence that contains `said`."""
        return any(one.state is State.WARNING and said in one.sentence for one in self.named(name))


@dataclass
class Delay:
    """How long a service waits before it answers."""

    seconds: float = 0.0

    def wait(self) -> None:
        """Wait that long."""
        time.sleep(self.seconds)


@dataclass
class Case:
    """A project in Label Studio that the session's service is connected to and has ordered."""

    service: Service
    project: int
    backend: int
    webhook: int
    view: int

    @property
    def client(self) -> LabelStudio:
        """A client with the token of Label Studio's owner."""
        return self.service.label_studio

    def settings(self, **changed: Any) -> Settings:
        """The service's settings with some of them changed."""
        names = {name.lower(): value for name, value in self.service.environment.items() if value}
        return Settings.model_validate(names | changed)

    def diagnose(self, backend: str | None = None, project: int | None = None, **changed: Any) -> Findings:
        """Check this project or another one, under changed settings."""
        installation = Installation(
            self.settings(**changed), backend_url=backend, chosen=project or self.project
        )
        return Findings(list(check_installation(installation)))

    def diagnose_all(self) -> Findings:
        """Check all projects."""
        return Findings(list(check_installation(Installation(self.settings()))))

    def published(self) -> Version | None:
        """The version that the database says is published."""
        with self.service.database.read() as session:
            return versions.published(session, self.project)

    def in_order(self) -> bool:
        """Whether Label Studio orders by the published version."""
        version = self.published()
        return version is not None and self.client.project(self.project)["model_version"] == version.name

    def repair(self) -> None:
        """Restore the project to its first state."""
        client, number = self.client, self.project
        for backend in client.ml_backends(number):
            if backend["url"] != self.service.url:
                client.delete_ml_backend(backend["id"])
        for webhook in client.webhooks(number):
            if not webhook["url"].startswith(self.service.url):
                client.delete_webhook(webhook["id"])
        version = self.published()
        assert version is not None
        fields = {"min_annotations_to_start_training": 0, "model_version": version.name}
        client.patch_project(number, label_config=default_config(["Bone"]), **fields)
        connection = connect(client, backend_url=self.service.url, project=number, basic_auth=AUTH)
        self.backend, self.webhook, self.view = connection.backend, connection.webhook, connection.view


def make_case(service: Service) -> Case:
    """A new project with three tasks, connected, and ordered by a worker."""
    client = service.label_studio
    number = int(client.create_project("Checked", default_config(["Bone"]))["id"])
    client.create_tasks(number, [{"image": f"http://localhost:1/{n}.png"} for n in range(3)])
    connection = connect(client, backend_url=service.url, project=number, basic_auth=AUTH)
    case = Case(service, number, connection.backend, connection.webhook, connection.view)
    service.work()
    service.wait(case.in_order, "the first order")
    return case


@pytest.fixture(scope="session")
def healthy_case(service: Service) -> Iterator[Case]:
    """A project that no test changes, for faults elsewhere."""
    case = make_case(service)
    yield case
    case.client.delete_project(case.project)


@pytest.fixture
def case(healthy_case: Case) -> Case:
    """The healthy project, with a running worker."""
    healthy_case.service.work()
    return healthy_case


@pytest.fixture(scope="session")
def other_case(service: Service) -> Iterator[Case]:
    """A second project."""
    case = make_case(service)
    yield case
    case.client.delete_project(case.project)


@pytest.fixture
def spoilt(other_case: Case) -> Iterator[Case]:
    """A project that a test may spoil; it is repaired afterwards."""
    other_case.service.work()
    yield other_case
    other_case.repair()


@pytest.fixture
def serve(case: Case) -> Callable[..., Any]:
    """A function that serves the same database on another port, with other settings."""

    @contextmanager
    def serve(
        port: int = 0, host: str = "127.0.0.1", delay: Delay | None = None, **changed: Any
    ) -> Iterator[str]:
        services = Services.open(case.settings(**changed))
        app = create_app(services)
        app.before_request((delay or Delay()).wait)
        server = make_server(host, port, app, threaded=True)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{host}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            services.database.close()

    return serve


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder
