"""The installation in containers that the tests of this folder go through in their order.

They run where `-m compose` asks for them and a Docker engine answers: `make test-compose`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.compose.installation import ROOT, Installation, commit

SECONDS = 10.0


def missing() -> str:
    """What is missing for these tests; empty if nothing is."""
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(words, capture_output=True, timeout=SECONDS, check=False)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return f"`{' '.join(words)}` does not answer"
        if done.returncode != 0:
            return f"`{' '.join(words)}` says that it cannot be used"
    return ""


def before() -> str:
    """The commit to update from: DSAL_COMPOSE_FROM, else the one before what is shipped changed last."""
    if given := os.environ.get("DSAL_COMPOSE_FROM"):
        return given
    words = [
        "git",
        "log",
        "-1",
        "--format=%H~1",
        "--",
        "model",
        "ml_backend",
        "Dockerfile",
        "docker-compose.yml",
    ]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The installation, running at the commit before; its last logs are printed in the end."""
    if "compose" not in request.config.option.markexpr:
        pytest.skip("The containers are tested by `make test-compose`, which takes about fifteen minutes.")
    if fault := missing():
        pytest.skip(f"There is no Docker engine with Compose here: {fault}.")
    made = Installation(tmp_path_factory.mktemp("compose") / "dsal")
    made.lay_out(commit(before()))
    print(f"\nupdating from {before()}", flush=True)
    made.compose("build", "backend")
    print(f"[image before: {made.image_bytes() / 1e6:.0f} MB]", flush=True)
    try:
        made.up()
        yield made
    finally:
        made.compose("logs", "--no-color", "--tail", "40", check=False)
        made.remove()
