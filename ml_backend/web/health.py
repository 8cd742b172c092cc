"""GET /health: that the process answers; touches nothing else."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

SERVICE = "dsal"
"""By this `dsal doctor` tells this service from another one on the same port."""


def blueprint() -> Blueprint:
    """The route."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> Response:
        return jsonify(status="UP", service=SERVICE)

    return routes
