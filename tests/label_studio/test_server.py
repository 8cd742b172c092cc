from __future__ import annotations

import shutil
import socket
import stat
import sys
from pathlib import Path

import pytest
import requests

from ml_backend.demo.account import Account, AccountError
from ml_backend.demo.label_studio import LabelStudioServer, LabelStudioServerError
from ml_backend.label_studio.client import LabelStudio


def test_a_second_start_on_the_same_folder_is_the_same_label_studio(
    executable: Path, templates: Path, tmp_path: Path
) -> None:
    server = LabelStudioServer(executable, tmp_path, templates=templates)
    steps: list[str] = []
    server.start(steps.append)
    first = (server.email, server.password, server.token)
    project = LabelStudio(server.url, server.token).create_project("Kept")["id"]
    pid = server.pid
    server.stop()
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    assert server.pid is None
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)

    with LabelStudioServer(executable, tmp_path, templates=templates) as again:
        assert (again.email, again.password, again.token) == first
        assert LabelStudio(again.url, again.token).project(project)["title"] == "Kept"
    assert steps[-1] == "making a user and a token"


def test_it_writes_into_its_folder_only_and_keeps_the_login_private(server: LabelStudioServer) -> None:
    assert (server.data_dir / "label_studio.sqlite3").exists()
    login = server.data_dir / "login.json"
    assert stat.S_IMODE(login.stat().st_mode) == 0o600
    assert server.password in login.read_text()
    environment = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    assert f"HOME={server.data_dir / 'home'}" in environment
    assert "COLLECT_ANALYTICS=false" in environment
    assert not [each for each in environment if each.startswith("PYTEST_")]


def test_the_login_works_as_a_person_would_use_it(server: LabelStudioServer) -> None:
    Account(server.url, server.email, server.password)
    with pytest.raises(AccountError, match="refuses the password"):
        Account(server.url, server.email, "wrong")


def test_a_missing_executable_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LabelStudioServerError, match="virtual environment of its own"):
        LabelStudioServer(tmp_path / "nowhere" / "label-studio", tmp_path / "data").start()


def test_a_server_that_dies_is_reported_with_its_last_output(tmp_path: Path) -> None:
    script = tmp_path / "label-studio"
    script.write_text(f"#!{sys.executable}\nraise SystemExit('out of cheese')\n")
    script.chmod(0o755)
    server = LabelStudioServer(script, tmp_path / "data")
    with pytest.raises(LabelStudioServerError, match="out of cheese"):
        server.start()
    assert server.pid is None


def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    script = tmp_path / "label-studio"
    script.write_text(f"#!{shutil.which('sh')}\nexec sleep 60\n")
    script.chmod(0o755)
    server = LabelStudioServer(script, tmp_path / "data")
    with pytest.raises(LabelStudioServerError, match="did not answer"):
        server.start(timeout=1)
    assert server.pid is None


def test_a_taken_port_is_reported(executable: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LabelStudioServerError, match=f"Port {port} is taken"):
            LabelStudioServer(executable, tmp_path, port).start()
