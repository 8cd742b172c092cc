"""The web service: a factory that joins routes, authentication, errors, log and metrics."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ml_backend.auth import require_basic_auth
from ml_backend.inbox import Inbox
from ml_backend.metrics import Metrics
from ml_backend.queue import JobQueues, connect_redis
from ml_backend.routes import health, metrics, predict, setup, versions, webhook
from ml_backend.settings import Settings
from ml_backend.store.database import Database

logger = logging.getLogger(__name__)

FREQUENT = {"/health", "/metrics", "/webhook"}
"""Routes called all the time, whose successes are not worth a line in the log."""


@dataclass(frozen=True)
class Services:
    """What the routes work with."""

    settings: Settings
    database: Database
    queues: JobQueues

    @classmethod
    def open(cls, settings: Settings) -> Services:
        """Open the database, bringing it up to date, and the queues.

        Raises `DatabaseError`, `EmbeddedRedisError`, or the errors of SQLAlchemy and redis for a server that
        does not answer.
        """
        return cls(settings, Database(settings.effective_database_url), JobQueues(connect_redis(settings)))


def create_app(services: Services, *, shared_metrics: Path | None = None) -> Flask:
    """The application; `shared_metrics` is the folder of the counters where several processes serve."""
    app = Flask("dsal")
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    counters = Metrics(services.database, services.queues, shared_metrics)
    inbox = app.extensions["inbox"] = Inbox(services.settings, services.database, services.queues)
    _keep_record(app, counters)
    require_basic_auth(app, services.settings.basic_auth)
    _answer_errors_as_json(app)
    app.register_blueprint(health.blueprint())
    app.register_blueprint(setup.blueprint(services.settings, services.database, services.queues))
    app.register_blueprint(webhook.blueprint(inbox, counters))
    app.register_blueprint(predict.blueprint(services.settings, services.database, services.queues, counters))
    app.register_blueprint(versions.blueprint(services.database))
    app.register_blueprint(metrics.blueprint(counters))
    return app


def _keep_record(app: Flask, counters: Metrics) -> None:
    """Measure and log each request once, under an id that its answer carries; never its body or headers."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        g.request_id = uuid.uuid4().hex[:12]

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        route = request.url_rule.rule if request.url_rule is not None else "unknown"
        counters.latency.labels(route, str(response.status_code)).observe(seconds)
        response.headers["X-Request-ID"] = g.request_id
        level = logging.DEBUG if route in FREQUENT and response.status_code < 400 else logging.INFO
        logger.log(
            level,
            "%s %s %d in %.0f ms [%s]",
            request.method,
            route,
            response.status_code,
            seconds * 1000,
            g.request_id,
        )
        return response


def _answer_errors_as_json(app: Flask) -> None:
    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_error: RequestEntityTooLarge) -> tuple[Response, int]:
        limit = app.config["MAX_CONTENT_LENGTH"]
        return jsonify(error=f"The request is larger than {limit} bytes; raise MAX_BODY_BYTES."), 413

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description or error.name), error.code or 500

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        logger.error("%s failed [%s]", request.path, g.request_id, exc_info=error)
        return jsonify(error=f"The ML backend failed; its log has the cause under {g.request_id}."), 500
