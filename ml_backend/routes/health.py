"""GET /health: that the process answers; touches nothing else."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify


def blueprint() -> Blueprint:
    """The route."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> Response:
        return jsonify(status="UP")

    return routes
