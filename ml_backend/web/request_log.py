"""The log line of each request, and its time among the metrics."""

from __future__ import annotations

import logging
import time
import uuid

from flask import Flask, Response, g, request

from ml_backend.web.prometheus import Metrics

logger = logging.getLogger(__name__)

FREQUENT = {"/health", "/metrics", "/webhook"}
"""Routes that are called often; their successes are logged at DEBUG only."""


def log_and_measure(app: Flask, metrics: Metrics) -> None:
    """Log and time each request, under an id that its answer carries; never log bodies or headers."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        g.request_id = uuid.uuid4().hex[:12]

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        route = request.url_rule.rule if request.url_rule is not None else "unknown"
        metrics.latency.labels(route, str(response.status_code)).observe(seconds)
        response.headers["X-Request-ID"] = g.request_id
        # The page asks again every few seconds for as long as it is open.
        is_frequent = route in FREQUENT or request.headers.get("HX-Request") == "true"
        level = logging.DEBUG if is_frequent and response.status_code < 400 else logging.INFO
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
