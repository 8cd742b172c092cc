"""GET /versions: names of a project's versions; Label Studio asks without naming a project."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest

from ml_backend.store import versions as stored
from ml_backend.store.database import Database


def blueprint(database: Database) -> Blueprint:
    """The route."""
    routes = Blueprint("versions", __name__)

    @routes.get("/versions")
    def versions() -> Response:
        asked = request.args.get("project", "").partition(".")[0]
        if asked and not asked.isdecimal():
            raise BadRequest("The project must be given by its number.")
        with database.read() as session:
            names = [one.name for one in stored.of_project(session, int(asked) if asked else None)]
        return jsonify(versions=names)

    return routes
