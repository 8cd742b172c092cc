"""GET /metrics: what Prometheus scrapes."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ml_backend.metrics import Metrics


def blueprint(counters: Metrics) -> Blueprint:
    """The route."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(counters.page(), content_type=CONTENT_TYPE_LATEST)

    return routes
