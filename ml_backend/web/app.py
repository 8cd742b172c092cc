"""The Flask application: routes, basic authentication, JSON errors."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, g, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ml_backend.page import api, views
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.private import private_folder
from ml_backend.web import edits, predict, prometheus, setup, webhook
from ml_backend.web.bodies import Bodies
from ml_backend.web.inbox import Inbox
from ml_backend.web.prometheus import Metrics
from ml_backend.web.request_log import log_and_measure

logger = logging.getLogger(__name__)

OPEN_ENDPOINT = "setup.health"
"""The only endpoint without authentication."""
NOT_FOUND = 404
READERS = ("application/json", "text/html")
"""What an error may be written as: for programs, and for browsers, which ask for it."""


@dataclass(frozen=True)
class Services:
    """The settings, database and queues that the routes use."""

    settings: Settings
    database: Database
    queues: JobQueues

    @classmethod
    def open(cls, settings: Settings) -> Services:
        """Open the database, migrating it if needed, and the queues.

        Raises `DatabaseError`, `EmbeddedRedisError`, or the errors of SQLAlchemy and redis for a server that
        does not answer.
        """
        private_folder(settings.model_dir)
        return cls(settings, Database(settings.effective_database_url), JobQueues(connect_redis(settings)))


def create_app(services: Services, *, shared_metrics: Path | None = None) -> Flask:
    """The application; `shared_metrics` is the folder of the counters if several processes serve."""
    app = Flask("dsal")
    # People type addresses of the page with a slash at the end, too.
    app.url_map.strict_slashes = False
    bodies = Bodies(services.settings.model_dir)
    metrics = Metrics(services.database, services.queues, shared_metrics)
    inbox = app.extensions["inbox"] = Inbox(services.settings, services.database, services.queues)
    log_and_measure(app, metrics)
    _require_basic_auth(app, services.settings.basic_auth)
    _answer_errors_as_json(app)
    app.register_blueprint(setup.blueprint(services.settings, services.database, services.queues, bodies))
    app.register_blueprint(webhook.blueprint(services.settings, inbox, metrics, bodies))
    app.register_blueprint(
        predict.blueprint(services.settings, services.database, services.queues, metrics, bodies)
    )
    app.register_blueprint(edits.blueprint(services.database))
    app.register_blueprint(prometheus.blueprint(metrics))
    app.register_blueprint(views.blueprint(services.settings, services.database, services.queues))
    app.register_blueprint(api.blueprint(services.settings, services.database, services.queues))
    return app


def _require_basic_auth(app: Flask, credentials: tuple[str, str] | None) -> None:
    """Require these credentials for every route except /health; None requires nothing."""
    if credentials is None:
        return
    expected = tuple(part.encode() for part in credentials)

    @app.before_request
    def check() -> Response | None:
        if request.endpoint == OPEN_ENDPOINT:
            return None
        given = request.authorization
        if given is not None and given.type == "basic":
            user, password = (given.username or "").encode(), (given.password or "").encode()
            # Always compare both, so that the response time does not reveal which one was wrong.
            matches = hmac.compare_digest(user, expected[0]) & hmac.compare_digest(password, expected[1])
            if matches:
                return None
        response = jsonify(error="Send the user name and password of this ML backend.")
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Basic realm="dsal", charset="UTF-8"'
        return response


def _answer_errors_as_json(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[Response | str, int]:
        if error.code == NOT_FOUND and request.accept_mimetypes.best_match(READERS) == READERS[-1]:
            # A person with a browser, who mistyped the address of the page.
            return render_template("error.html", sentence="There is no such page."), NOT_FOUND
        answer = jsonify(error=error.description or error.name)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answer.headers["Allow"] = ", ".join(error.valid_methods)
        return answer, error.code or 500

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        logger.error("%s failed [%s]", request.path, g.request_id, exc_info=error)
        return jsonify(error=f"The ML backend failed; search its log for {g.request_id}."), 500
