"""The web service under gunicorn, as `dsal serve` runs it."""

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
    """gunicorn configured by the settings; each worker process opens its own database and queues."""

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
        return create_app(Services.open(self._settings), shared_metrics=self._shared_metrics)

    def run(self) -> None:
        """Serve until a signal arrives."""
        if self._settings.workers > 1:
            self._shared_metrics = _prepare_shared_metrics(self._settings.model_dir / "metrics")
        super().run()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logs(settings.log_level)
    Server(settings).run()


def _prepare_shared_metrics(folder: Path) -> Path:
    """Make an empty folder for all processes' counters; prometheus_client reads its path from a variable."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder


def _forget_counters(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
