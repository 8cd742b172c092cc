"""gunicorn, embedded: `dsal serve` runs it with the service's settings."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from ml_backend.queue.logs import configure_logs
from ml_backend.settings import Settings

ANSWER_SECONDS = 120
SWITCH_SECONDS = 0.0005


class Server(BaseApplication):
    """The service under gunicorn; each worker process opens its own database and queues."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared_metrics: Path | None = None
        super().__init__()

    def load_config(self) -> None:
        """Translate the settings into gunicorn's."""
        settings = self._settings
        options: dict[str, Any] = {
            "bind": f"{settings.host}:{settings.port}",
            "workers": settings.workers,
            "worker_class": "gthread",
            "threads": settings.threads,
            # Beyond PREDICT_SECONDS, so that a slow answer is not mistaken for a hung worker.
            "timeout": max(ANSWER_SECONDS, int(settings.predict_seconds) + 60),
            "graceful_timeout": 10,
            "keepalive": 5,
            "loglevel": settings.log_level.lower(),
            "proc_name": "dsal-serve",
            # It would lie in the home folder, shared by all services of one user.
            "control_socket_disable": True,
        }
        if settings.workers > 1:
            options["child_exit"] = _forget_counters
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, made in each worker process."""
        from ml_backend.web.app import Services, create_app

        # Short answers take turns with long ones: with the default of 5 ms they wait for many turns.
        sys.setswitchinterval(SWITCH_SECONDS)

        return create_app(Services.open(self._settings), shared_metrics=self._shared_metrics)

    def run(self) -> None:
        """Serve until a signal ends it."""
        if self._settings.workers > 1:
            self._shared_metrics = _prepare_shared_metrics(self._settings.model_dir / "metrics")
        super().run()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logs(settings.log_level)
    Server(settings).run()


def _prepare_shared_metrics(folder: Path) -> Path:
    """An empty folder for all processes' counters; prometheus_client learns of it by this variable only."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder


def _forget_counters(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
