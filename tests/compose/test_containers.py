"""The containers of docker-compose.yml: set up, updated, used, killed, restored, taken down.

The tests are steps of one story, in this order; `make test-compose` stops at the first that fails. All is
done by commands that README.md and docs/operations.md give; those for backups are read from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial

import pytest
import requests

from tests.compose.board import IMAGES, Board
from tests.compose.conftest import missing
from tests.compose.installation import SERVICES, Installation, checkout, documented

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

OURS = ("backend", "worker")
SMALL = 5_000_000
"""Most bytes of new layers for a change of the code."""
IMAGE_BYTES = 1_200_000_000
"""Most bytes of the image with PyTorch's build for processors."""
HEALED_SECONDS = 90.0
"""Within which a service whose process died is healthy again by itself."""


@pytest.fixture(scope="module")
def board(installation: Installation) -> Board:
    """A project, connected as the README says: a token, then `up` again, then `dsal connect`."""
    made = Board(installation)
    installation.configure(LABEL_STUDIO_API_KEY=made.token)
    installation.up()
    made.connect()
    return made


def works(installation: Installation, board: Board, services: Sequence[str] = ("backend",)) -> None:
    """Nothing is lost: all labels are there, and the doctor finds no fault in these containers."""
    for service in services:
        in_order = partial(installation.is_in_order, service)
        installation.wait(in_order, f"dsal doctor in {service}", HEALED_SECONDS)
    assert board.stored() == board.annotations


def test_all_services_come_up_healthy(installation: Installation) -> None:
    assert {service: installation.state(service) for service in SERVICES} == dict.fromkeys(
        SERVICES, "healthy"
    )


def test_a_project_is_connected(installation: Installation, board: Board) -> None:
    installation.wait(lambda: None not in board.to_label().values(), "the first order", 300)
    assert len(board.to_label()) == IMAGES
    works(installation, board, OURS)


def test_an_update_in_the_middle_of_a_training_loses_nothing(
    installation: Installation, board: Board
) -> None:
    board.annotate(3)
    installation.wait(lambda: board.summary()["state"] == "learning", "a training that has begun", 300)
    before = {version["name"] for version in board.versions()}
    installation.lay_out(checkout())
    installation.compose("build", "backend")
    print(f"[update: healthy after {installation.up():.1f} s]", flush=True)
    assert before <= {version["name"] for version in board.versions()}
    works(installation, board)


def test_the_image_is_small(installation: Installation) -> None:
    torch = installation.compose(
        *("run", "--rm", "--no-deps", "--no-TTY", "--entrypoint", "python", "backend"),
        *("-c", "import torch; print(torch.version.cuda)"),
    )
    if torch.strip() != "None":
        pytest.skip("PyTorch with CUDA has several GB; TORCH_INDEX_URL may name an index of CPU builds.")
    for size in installation.copied_bytes():
        print(f"[layer: {size / 1e6:.1f} MB]")
    print(f"[image: {installation.image_bytes() / 1e6:.0f} MB]", flush=True)
    assert installation.image_bytes() <= IMAGE_BYTES


@pytest.mark.parametrize("package", ["model", "ml_backend"])
def test_a_change_of_the_code_makes_small_layers(installation: Installation, package: str) -> None:
    before = installation.image_layers()
    changed = installation.folder / package / "__init__.py"
    changed.write_text(f"{changed.read_text()}\n# Changed.\n")
    installation.compose("build", "backend")
    after = installation.image_layers()
    assert len(after) == len(before)
    new = [place for place in range(-len(after), 0) if after[place] != before[place]]
    copied = installation.copied_bytes()
    assert new
    assert min(new) >= -len(copied)
    size = sum(copied[place] for place in new)
    print(f"[new for a change in {package}: {size / 1e6:.1f} MB]", flush=True)
    assert size < SMALL


def test_the_image_lists_its_packages_and_can_install_nothing(installation: Installation) -> None:
    run = ["run", "--rm", "--no-deps", "--no-TTY", "--entrypoint"]
    listed = json.loads(installation.compose(*run, "cat", "backend", "/opt/dsal/sbom.cdx.json"))
    assert listed["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in listed["components"]}
    assert {"torch", "Flask", "SQLAlchemy", "openvino", "pydicom"} <= names
    assert not {"pip", "pandas"} & names
    assert installation.compose(*run, "id", "backend", "-u").strip() == "10001"
    for words in (["python", "-m", "pip", "--version"], ["touch", "/opt/dsal/x"], ["touch", "/data-too"]):
        entry, *arguments = words
        refused = installation.compose(*run, entry, "backend", *arguments, check=False)
        assert refused == ""


def test_a_round_is_learned(installation: Installation, board: Board) -> None:
    board.annotate(7)
    version = installation.wait(board.learned, "a version that has learned ten labels", 900)
    assert version["round"] >= 1
    assert version["has_weights"]
    task = next(iter(board.to_label()))
    dice = board.dice(task)
    print(f"[DSC of the first task to label: {dice:.3f}]", flush=True)
    assert dice > 0.5
    works(installation, board)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_a_person_kills_stays_down_until_up(
    installation: Installation, board: Board, service: str
) -> None:
    """As `unless-stopped` says: for the engine, `docker kill` is a person's will."""
    installation.kill(service)
    time.sleep(5)
    assert installation.state(service) == "exited"
    if service not in ("postgres", "label-studio"):
        # Label Studio goes on, and its labels arrive later.
        board.annotate(1)
    print(f"[{service}: healthy {installation.up():.1f} s after up]", flush=True)
    works(installation, board, ["worker" if service == "worker" else "backend"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_whose_process_dies_comes_back_by_itself(
    installation: Installation, board: Board, service: str
) -> None:
    before = installation.inspect(service)["RestartCount"]
    installation.crash(service)
    began = time.monotonic()
    installation.wait(
        lambda: (
            installation.inspect(service)["RestartCount"] > before
            and installation.state(service) == "healthy"
        ),
        f"{service}, healthy by itself",
        HEALED_SECONDS,
    )
    print(f"[{service}: back after {time.monotonic() - began:.1f} s]", flush=True)
    installation.wait(lambda: all(installation.state(one) == "healthy" for one in SERVICES), "all services")
    if service == SERVICES[-1]:
        works(installation, board, OURS)


def test_a_service_that_hangs_is_reported_but_not_restarted(installation: Installation, board: Board) -> None:
    """Compose acts on a dead process only; `restart` is a person's or a supervisor's."""
    before = installation.inspect("backend")["RestartCount"]
    installation.hang("backend")
    installation.wait(lambda: installation.state("backend") == "unhealthy", "the backend, unhealthy", 180)
    assert installation.inspect("backend")["RestartCount"] == before
    with pytest.raises(requests.RequestException):
        requests.get(f"{installation.backend_url}/health", timeout=3)
    installation.compose("restart", "backend")
    installation.up()
    works(installation, board)


def test_all_services_can_be_restarted_in_the_middle_of_a_training(
    installation: Installation, board: Board
) -> None:
    board.annotate(3)
    installation.compose("restart")
    installation.up()
    version = installation.wait(board.learned, "a version that has learned every label", 900)
    assert version["labels"] == len(board.annotations)
    works(installation, board)


def test_a_backup_is_restored_by_the_documented_commands(installation: Installation, board: Board) -> None:
    lines = documented("docs/operations.md", "Backup")
    first = next(number for number, line in enumerate(lines) if "up --detach" in line)
    versions, order = board.versions(), board.to_label()
    for line in lines[:first]:
        installation.run(line)
    installation.compose("down", "--volumes")
    for line in lines[first:]:
        installation.run(line)
    works(installation, board, OURS)
    assert [one["name"] for one in board.versions()] == [one["name"] for one in versions]
    assert board.to_label() == pytest.approx(order)
    # Drawing a mask needs the image from Label Studio's volume and the weights from ours.
    assert board.dice(next(iter(order))) > 0.5
    board.annotate(3)
    installation.wait(board.learned, "a version that has learned the next labels", 900)


def test_down_leaves_the_volumes_alone(installation: Installation, board: Board) -> None:
    installation.compose("down")
    assert installation.compose("ps", "--all", "--quiet").strip() == ""
    installation.up()
    works(installation, board)


def test_where_there_is_no_engine_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert missing().startswith("`docker info` ")
