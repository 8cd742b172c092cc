"""GET /api/projects/ID/edits: how much each version's masks helped the annotators of a project."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from werkzeug.exceptions import NotFound

from ml_backend.store import edits, projects
from ml_backend.store.database import Database
from ml_backend.web.payloads import LARGEST_ID


def blueprint(database: Database) -> Blueprint:
    """The route."""
    routes = Blueprint("edits", __name__)

    @routes.get("/api/projects/<int:project>/edits")
    def of_project(project: int) -> Response:
        """One object per version; `version` is null for annotations made without a mask on display."""
        with database.read() as session:
            if project > LARGEST_ID or projects.get(session, project) is None:
                raise NotFound(f"This ML backend does not know project {project}; connect it first.")
            helps = edits.helps(session, project)
        return jsonify(project=project, versions=[_help(name, found) for name, found in helps.items()])

    return routes


def _help(version: str | None, found: edits.Help) -> dict[str, Any]:
    return {
        "version": version,
        "annotations": {provenance.value: count for provenance, count in found.provenances.items()},
        "accepted_share": found.accepted_share,
        "dsc": found.dsc,
        "dsc_per_label": dict(found.per_label),
        "added_path_pixels": found.added_path,
        "seconds": found.lead_time,
    }
