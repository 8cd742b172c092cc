import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import pytest
import redis

from ml_backend.queue.embedded_redis import EmbeddedRedis

USER = """
import sys
from ml_backend.queue.clients import connect_redis
from ml_backend.settings import Settings
client = connect_redis(Settings(model_dir=sys.argv[1], redis_url=""))
print(client.incr("users"), flush=True)
sys.stdin.read()
"""


class User:
    """Another process that uses the server until its input ends."""

    def __init__(self, model_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(model_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def number(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def server_pid(model_dir: Path) -> int:
    return int((model_dir / "redis" / "redis.pid").read_text())


def runs(pid: int) -> bool:
    try:
        return "redis" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_processes_that_start_together_share_a_server_that_the_last_one_stops(tmp_path: Path) -> None:
    users = [User(tmp_path) for _ in range(3)]
    assert sorted(user.number() for user in users) == [1, 2, 3]
    pid = server_pid(tmp_path)
    for user in users[:-1]:
        user.leave()
        assert runs(pid)
    users[-1].leave()
    assert not runs(pid)
    again = User(tmp_path)
    assert again.number() == 4
    again.leave()


def test_a_killed_user_neither_stops_the_server_nor_keeps_it_running(tmp_path: Path) -> None:
    first, second = User(tmp_path), User(tmp_path)
    first.number()
    second.number()
    pid = server_pid(tmp_path)
    first.kill()
    assert runs(pid)
    second.leave()
    assert not runs(pid)


def test_a_server_whose_users_were_all_killed_is_used_again(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.number()
    pid = server_pid(tmp_path)
    user.kill()
    server = EmbeddedRedis(tmp_path / "redis")
    assert server_pid(tmp_path) == pid
    server.leave()
    assert not runs(pid)


def test_the_socket_and_pid_file_of_a_killed_server_do_no_harm(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    client = redis.Redis(unix_socket_path=str(server.socket))
    client.set("kept", 1)
    time.sleep(1.5)  # The file is written once a second.
    os.kill(int((tmp_path / "redis.pid").read_text()), signal.SIGKILL)
    second = EmbeddedRedis(tmp_path)
    assert redis.Redis(unix_socket_path=str(second.socket)).get("kept") == b"1"
    server.leave()
    second.leave()


def test_a_server_without_its_socket_is_replaced(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    redis.Redis(unix_socket_path=str(server.socket)).set("kept", 1)
    pid = int((tmp_path / "redis.pid").read_text())
    server.socket.unlink()
    second = EmbeddedRedis(tmp_path)
    assert not runs(pid)
    assert redis.Redis(unix_socket_path=str(second.socket)).get("kept") == b"1"
    server.leave()
    second.leave()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    server = EmbeddedRedis(deep)
    assert len(str(server.socket)) < 108
    assert (deep / "appendonly.aof").exists()
    server.leave()


@pytest.mark.parametrize("times", [1, 2])
def test_leaving_twice_is_like_leaving_once(tmp_path: Path, times: int) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    for _ in range(times):
        first.leave()
    assert redis.Redis(unix_socket_path=str(second.socket)).ping()
    second.leave()


def test_a_client_collected_as_garbage_while_another_joins_or_leaves_does_not_wait_for_its_own_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage is collected at any moment; here at the worst ones: while the lock for starting is held."""
    from ml_backend.queue import embedded_redis

    answers, only_user = embedded_redis._answers, embedded_redis._only_user
    collected: list[EmbeddedRedis] = []

    def collecting(socket: Path) -> bool:
        while collected:
            collected.pop().leave()
        return answers(socket)

    first = EmbeddedRedis(tmp_path)
    pid = int((tmp_path / "redis.pid").read_text())
    collected.append(first)
    monkeypatch.setattr(embedded_redis, "_answers", collecting)
    second, third = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    assert redis.Redis(unix_socket_path=str(second.socket)).ping()
    assert int((tmp_path / "redis.pid").read_text()) == pid, "the same server"

    def collecting_at_the_end(users: TextIO) -> bool:
        while collected:
            collected.pop().leave()
        return only_user(users)

    collected.append(second)
    monkeypatch.setattr(embedded_redis, "_only_user", collecting_at_the_end)
    third.leave()
    assert not runs(pid), "the last one stops it"
