"""The web service under gunicorn, as `dsal serve` runs it."""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from ml_backend.queue.logs import configure_logs
from ml_backend.queue.servers import await_servers
from ml_backend.settings import Settings
from model.freed_memory import share_arenas

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 120
SWITCH_SECONDS = 0.0005


class OpenDoorError(RuntimeError):
    """The service would listen to other machines without a password; the message says what to set."""


class Server(BaseApplication):
    """gunicorn configured by the settings; each worker process opens its own database and queues."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared_metrics: Path | None = None
        super().__init__()

    def load_config(self) -> None:
        """Translate the settings into gunicorn's."""
        settings = self._settings
        options: dict[str, Any] = {
            "bind": _bound(settings),
            "workers": settings.workers,
            "worker_class": "gthread",
            "threads": settings.threads,
            # Longer than PREDICT_SECONDS, so that gunicorn does not kill a worker for a slow answer.
            "timeout": max(ANSWER_SECONDS, int(settings.predict_seconds) + 60),
            "graceful_timeout": 10,
            "keepalive": 5,
            "loglevel": settings.log_level.lower(),
            "proc_name": "dsal-serve",
            # The socket would be in the home folder, where all services of one user would share it.
            "control_socket_disable": True,
        }
        if settings.workers > 1:
            options["child_exit"] = _forget_counters
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the application; gunicorn calls this in each worker process."""
        from ml_backend.web.app import Services, create_app

        # With Python's default of 5 ms, a short answer waits long for the GIL beside busy threads.
        sys.setswitchinterval(SWITCH_SECONDS)
        share_arenas()
        return create_app(Services.open(self._settings), shared_metrics=self._shared_metrics)

    def run(self) -> None:
        """Serve until a signal arrives."""
        if self._settings.workers > 1:
            self._shared_metrics = _prepare_shared_metrics(self._settings.model_dir / "metrics")
        super().run()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. A Redis or database server that does not answer yet is waited for.

    Raises:
        OpenDoorError: other machines could reach the service, and no password is set.
        DatabaseError, sqlalchemy.exc.OperationalError, redis.exceptions.ConnectionError: the database or
            Redis does not answer, or cannot be used.
    """
    configure_logs(settings.log_level)
    _check_door(settings)
    await_servers(settings)
    _check_servers(settings)
    Server(settings).run()


def _check_door(settings: Settings) -> None:
    """Refuse to be open to other machines without a password, and say so if only this one is served."""
    if settings.basic_auth is not None:
        return
    host = settings.effective_host
    if not _is_loopback(host):
        raise OpenDoorError(
            f"Without a password, whoever reaches {host} could use the service: set BASIC_AUTH_USER and "
            "BASIC_AUTH_PASS, or HOST=127.0.0.1 to serve this machine only."
        )
    logger.warning(
        "No password is set, so only this machine is served, at %s. Label Studio in a container or on "
        "another machine reaches the service once BASIC_AUTH_USER and BASIC_AUTH_PASS are set.",
        _bound(settings),
    )


def _check_servers(settings: Settings) -> None:
    """Raise here what gunicorn's process would only tell as pages of a trace."""
    from ml_backend.queue.clients import client_of
    from ml_backend.store.database import Database
    from ml_backend.store.private import private_folder

    private_folder(settings.model_dir)
    Database(settings.effective_database_url).close()
    if settings.redis_url:
        with client_of(settings.redis_url) as client:
            client.ping()


def _bound(settings: Settings) -> str:
    host = settings.effective_host
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _prepare_shared_metrics(folder: Path) -> Path:
    """Make an empty folder for all processes' counters; prometheus_client reads its path from a variable."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder


def _forget_counters(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
