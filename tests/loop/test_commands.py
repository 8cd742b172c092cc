"""The output and exit status of `dsal` commands."""

from __future__ import annotations

import socket

import pytest

from ml_backend.label_studio.config import default_config
from model.research.phantom import Phantom
from model.strategies import DEFAULT
from tests.loop.board import MakeBoard
from tests.loop.service import AUTH, Service


def test_commands_about_a_project(service: Service, make_board: MakeBoard, phantoms: list[Phantom]) -> None:
    board = make_board(phantoms[:6])
    board.annotate(2)
    trained = service.command("train", "--project", str(board.id))
    assert trained.returncode == 0, trained.stderr
    assert "Training finished: 2 labels" in trained.stdout
    version = board.await_round(1)
    assert version.name in trained.stdout

    scored = service.command("score", "--project", str(board.id))
    assert scored.returncode == 0, scored.stderr

    status = service.command("status")
    assert status.returncode == 0, status.stderr
    assert version.name in status.stdout
    assert "published" in status.stdout
    assert "Waiting jobs: dsal-quick" in status.stdout


def test_connect_is_idempotent(service: Service) -> None:
    client = service.label_studio
    number = int(client.create_project("By hand", default_config(["Bone"]))["id"])
    command = ("connect", "--project", str(number), "--backend", service.url)
    first = service.command(*command)
    assert first.returncode == 0, first.stderr
    assert "created" in first.stdout
    assert f"STRATEGY={DEFAULT}" in first.stdout, "another strategy than the paper's is recommended"
    state = _state(service, number)
    second = service.command(*command)
    assert second.returncode == 0, second.stderr
    assert "unchanged" in second.stdout
    assert "created" not in second.stdout
    assert "changed" not in second.stdout.replace("unchanged", "")
    assert _state(service, number) == state
    client.delete_project(number)


def _state(service: Service, project: int) -> tuple[object, ...]:
    client = service.label_studio
    return (
        client.project(project)["label_config"],
        [(one["id"], one["url"]) for one in client.ml_backends(project)],
        [(one["id"], one["url"], one["headers"]) for one in client.webhooks(project)],
        [(one["id"], one["data"]) for one in client.views(project)],
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (("connect", "--project", "99999"), {}, "Project 99999 does not exist"),
        (("connect", "--project", "1", "--token", "wrong"), {}, "refuses the token"),
        (("connect", "--project", "1"), {"LABEL_STUDIO_API_KEY": ""}, "LABEL_STUDIO_API_KEY"),
        (("connect", "--project", "1"), {"LABEL_STUDIO_URL": "down"}, "Nothing answers at"),
        (("train", "--project", "99999"), {}, "Project 99999 is not connected"),
        (("score", "--project", "99999"), {}, "Project 99999 is not connected"),
        (("status",), {"TRAIN_STEPS": "many"}, "TRAIN_STEPS"),
    ],
)
def test_a_wrong_command_gets_an_error_message(
    service: Service, arguments: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    if settings.get("LABEL_STUDIO_URL") == "down":
        settings = {"LABEL_STUDIO_URL": f"http://localhost:{_free_port()}"}
    ended = service.command(*arguments, **settings)
    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_the_logs_contain_every_call_and_no_secret(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:3])
    board.annotate(1)
    service.wait(lambda: board.changes() == 1, "the event")
    service.wait(board.published, "the first order")
    assert "POST /setup 200 in" in service.log("serve")
    assert "INFO    ml_backend.web.request_log" in service.log("serve")
    assert "publish(version_id=" in service.log("worker")
    for name in ("serve", "worker"):
        log = service.log(name)
        assert service.environment["LABEL_STUDIO_API_KEY"] not in log
        assert AUTH[1] not in log
        assert "rle" not in log
