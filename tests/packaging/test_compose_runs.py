"""The services of docker-compose.yml, started as the README says, but without containers."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import requests

from ml_backend.demo.account import Account
from tests.packaging import compose_file, documents
from tests.packaging.compose_file import ROOT
from tests.packaging.native import Machine, PostgresImage, Service, resolved
from tests.packaging.test_dockerfile import health_command

SECRETS = {
    "POSTGRES_PASSWORD": "d0c5a7",
    "BASIC_AUTH_PASS": "e1f2b8",
    "LABEL_STUDIO_USERNAME": "first@example.com",
    "LABEL_STUDIO_PASSWORD": "a-password-of-the-first-user",
    # Enough for one machine that also runs the rest of the tests.
    "THREADS": "4",
}
TITLE = "Finger bones"


def programs() -> dict[str, Path]:
    ours, studio = Path(sys.executable).parent, ROOT / ".venv-label-studio" / "bin"
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not servers:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    if not (studio / "label-studio").exists():
        pytest.skip("Label Studio is not installed (scripts/setup.sh label-studio)")
    return {
        "postgres": servers[-1].parent,
        "redis": ours,
        "label-studio": studio,
        "backend": ours,
        "worker": ours,
    }


@dataclass
class Stack:
    """All services, running and connected; `answers` is the output of two runs of `dsal connect`."""

    machine: Machine
    compose: dict[str, Any]
    services: dict[str, Service]
    token: str
    answers: list[str]

    def label_studio(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.machine.ports['8080']}"
        fresh = requests.post(f"{url}/api/token/refresh/", json={"refresh": self.token}, timeout=30).json()
        headers = {"Authorization": f"Bearer {fresh['access']}"}
        answer = requests.get(url + path, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def database(self, name: str) -> set[str]:
        """The tables of one database, as its owner sees them."""
        place = f"host=127.0.0.1 port={self.machine.ports['5432']} dbname={name} user={name}"
        with psycopg.connect(f"{place} password={SECRETS['POSTGRES_PASSWORD']}") as connection:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            return {row[0] for row in connection.execute(query)}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    found = programs()
    folder = Path(tempfile.mkdtemp(prefix="dsal-compose-"))
    machine = Machine(folder, found)
    try:
        yield bring_up(machine)
    finally:
        machine.stop()
        shutil.rmtree(folder)


def bring_up(machine: Machine) -> Stack:
    """The README's quick start: first without a token, then with one that the user makes."""
    first = compose_file.interpolated(SECRETS)["services"]
    services = {"postgres": PostgresImage(machine, first["postgres"]).start()}
    services["redis"] = machine.start("redis", first["redis"])
    for name in ("postgres", "redis"):
        services[name].wait_until_healthy()
    services["label-studio"] = machine.start("label-studio", first["label-studio"])
    services["backend"] = machine.start("backend", first["backend"])
    for name in ("backend", "label-studio"):
        services[name].wait_until_healthy()

    address = f"http://127.0.0.1:{machine.ports['8080']}"
    person = Account(address, SECRETS["LABEL_STUDIO_USERNAME"], SECRETS["LABEL_STUDIO_PASSWORD"])
    token = person.personal_access_token()
    compose = compose_file.interpolated({**SECRETS, "LABEL_STUDIO_API_KEY": token})
    assert services["backend"].stop() == 0, services["backend"].last_output()
    for name in ("backend", "worker"):
        services[name] = machine.start(name, compose["services"][name])
        services[name].wait_until_healthy()
    stack = Stack(machine, compose, services, token, [])
    stack.answers += [connect(stack, "--create", TITLE)]
    stack.answers += [
        connect(stack, "--project", str(stack.label_studio("/api/projects/")["results"][0]["id"]))
    ]
    return stack


def connect(stack: Stack, *which: str) -> str:
    """`docker compose exec backend dsal connect …`."""
    service = stack.compose["services"]["backend"]
    environment = stack.services["backend"].environment
    words = ["dsal", "connect", *which, "--backend", "http://dsal.backend:9090"]
    done = subprocess.run(
        resolved([stack.machine.local("backend", service, word) for word in words], environment),
        env=environment,
        cwd=stack.machine.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr + stack.services["backend"].last_output()
    return done.stdout


def test_every_healthcheck_passes(stack: Stack) -> None:
    assert {name: service.healthy() for name, service in stack.services.items()} == dict.fromkeys(
        stack.compose["services"], True
    )


def test_the_image_s_own_healthcheck_passes(stack: Stack) -> None:
    """The Dockerfile's healthcheck, for running the image without Compose."""
    environment = stack.services["backend"].environment
    done = subprocess.run(
        resolved(health_command(), environment), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_database_has_its_own_tables(stack: Stack) -> None:
    ours, theirs = stack.database("dsal"), stack.database("label_studio")
    assert {"projects", "versions", "events"} <= ours
    assert {"project", "task", "ml_mlbackend"} <= theirs
    assert not ours & theirs


def test_one_application_cannot_read_the_other_ones_data(stack: Stack) -> None:
    place = f"host=127.0.0.1 port={stack.machine.ports['5432']} dbname=label_studio user=dsal"
    with (
        psycopg.connect(f"{place} password={SECRETS['POSTGRES_PASSWORD']}") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM project")


def test_the_documented_backup_can_be_restored(stack: Stack, tmp_path: Path) -> None:
    """Into databases beside those in use; on an empty volume they have the names that the guide gives."""
    changes = documented("psql")
    assert len(changes) == 2
    for words, _ in changes:
        postgres(stack, [word.replace("'new'", f"'{SECRETS['POSTGRES_PASSWORD']}'") for word in words])
    dumps, restores = documented("pg_dump"), documented("pg_restore")
    assert [file for _, file in dumps] == [file for _, file in restores] == ["label_studio.dump", "dsal.dump"]
    for words, file in dumps:
        (tmp_path / file).write_bytes(postgres(stack, words))
    for words, file in restores:
        name = words[words.index("--dbname") + 1]
        create = f"CREATE DATABASE {name}_again OWNER {name}"
        postgres(stack, ["psql", "--username", "postgres", "--command", create])
        restored = [f"{name}_again" if word == name else word for word in words]
        postgres(stack, restored, (tmp_path / file).read_bytes())
        ask = ["psql", "--username", "postgres", "--tuples-only", "--command", COUNT[name]]
        counts = [postgres(stack, [*ask, found]) for found in (name, f"{name}_again")]
        assert counts[0] == counts[1]
        assert int(counts[0]) > 0


COUNT = {"dsal": "SELECT count(*) FROM projects", "label_studio": "SELECT count(*) FROM project"}


def documented(program: str) -> list[tuple[list[str], str]]:
    """The commands of docs/operations.md that run this program of PostgreSQL, and the file beside each."""
    found = []
    for document, line in documents.commands():
        command, _, file = re.sub(r" [<>] ", "\0", line).partition("\0")
        words = shlex.split(command)
        if document == "docs/operations.md" and program in words:
            found.append((words[words.index(program) :], file))
    return found


def postgres(stack: Stack, command: list[str], given: bytes = b"") -> bytes:
    """What a program of PostgreSQL prints, run as in its container."""
    environment = {
        **stack.services["postgres"].environment,
        "PGHOST": str(stack.machine.folder / "sockets"),
        "PGPORT": stack.machine.ports["5432"],
    }
    done = subprocess.run(
        resolved(command, environment), env=environment, input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_label_studio_is_connected_to_the_backend(stack: Stack) -> None:
    project = stack.label_studio("/api/projects/")["results"][0]
    assert project["title"] == TITLE
    backends = stack.label_studio(f"/api/ml/?project={project['id']}")
    assert [backend["state"] for backend in backends] == ["CO"]


def test_label_studio_has_the_webhook_with_its_password(stack: Stack) -> None:
    hooks = stack.label_studio("/api/webhooks/")
    assert [hook["url"] for hook in hooks] == [f"http://127.0.0.1:{stack.machine.ports['9090']}/webhook"]
    assert hooks[0]["headers"]["Authorization"].startswith("Basic ")


def test_connecting_again_creates_nothing(stack: Stack) -> None:
    project = stack.label_studio("/api/projects/")
    assert project["count"] == 1
    assert len(stack.label_studio(f"/api/dm/views/?project={project['results'][0]['id']}")) == 1


def test_the_backend_asks_for_the_password(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.machine.ports['9090']}"
    assert requests.get(f"{url}/versions", timeout=10).status_code == 401
    login = ("dsal", SECRETS["BASIC_AUTH_PASS"])
    assert requests.get(f"{url}/versions", auth=login, timeout=10).status_code == 200


def test_the_queue_survives_a_killed_redis(stack: Stack) -> None:
    port = int(stack.machine.ports["6379"])
    with redis.Redis(port=port) as client:
        client.set("packaging-test", "kept")
        # The compose file keeps Redis's default of one fsync per second.
        time.sleep(1.2)
    stack.services["redis"].stop(signal.SIGKILL)
    stack.services["redis"] = stack.machine.start("redis", stack.compose["services"]["redis"])
    stack.services["redis"].wait_until_healthy()
    with redis.Redis(port=port, decode_responses=True) as client:
        assert client.getdel("packaging-test") == "kept"


def test_a_stopped_worker_exits_cleanly_and_is_reported_unhealthy(stack: Stack) -> None:
    worker = stack.services["worker"]
    grace = float(stack.compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert worker.stop(seconds=grace) == 0, worker.last_output()
    assert not worker.healthy()
