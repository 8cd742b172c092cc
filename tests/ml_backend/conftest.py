"""Real servers for the service's tests: one Redis and one PostgreSQL a session, emptied for each test."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest
import redis
from flask.testing import FlaskClient
from pydantic import SecretStr

from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.web.app import Services, create_app

Argv = list[str | Path]

AUTHORIZATION = "Basic " + base64.b64encode(b"label-studio:password").decode()
START_SECONDS = 120.0


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield f"unix://{server.socket}"
    server.leave()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """Settings with a password, as Label Studio's calls have one; `client` sends it."""
    return Settings(
        model_dir=tmp_path / "data",
        redis_url=redis_url,
        basic_auth_user="label-studio",
        basic_auth_pass=SecretStr("password"),
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    opened = Services.open(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def unlocked(services: Services) -> Services:
    """The same services without a password."""
    update = {"basic_auth_user": "", "basic_auth_pass": SecretStr("")}
    return Services(services.settings.model_copy(update=update), services.database, services.queues)


@pytest.fixture
def queues(services: Services) -> JobQueues:
    return services.queues


@pytest.fixture
def client(services: Services) -> FlaskClient:
    client = create_app(services).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZATION
    return client


def _postgresql_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return None if on_path is None else Path(on_path).resolve().parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Account(TypedDict, total=False):
    """As whom `subprocess` starts a program."""

    user: str
    group: int
    extra_groups: list[int]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here (Debian: postgresql).")
    # PostgreSQL refuses to run as root, and nobody else may enter pytest's own folders.
    root = os.geteuid() == 0
    user: Account = {}
    if root:
        user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
    home = Path(tempfile.mkdtemp(prefix="dsal-postgresql-"))
    data = home / "data"
    if root:
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
    port = _free_port()
    initdb: Argv = [programs / "initdb", "-D", data, "-U", "dsal", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=home, **user)
    start: Argv = [programs / "postgres", "-D", data, "-p", str(port), "-k", home, "-h", "127.0.0.1", "-F"]
    server = subprocess.Popen(start, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)
    try:
        ready: Argv = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "30"]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{programs / 'postgres'} does not start, or does not answer at port {port}.")
            time.sleep(0.05)
        yield f"postgresql://dsal@127.0.0.1:{port}/"
    finally:
        # A fast shutdown; SIGTERM would wait for connections that tests have left open.
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_server: str, request: pytest.FixtureRequest) -> str:
    import psycopg

    name = f"test_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(f"{postgresql_server}postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return Settings(database_url=f"{postgresql_server}{name}").database_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'dsal.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()
