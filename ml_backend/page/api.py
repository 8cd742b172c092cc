"""The same as JSON under /api: projects, versions, quality, next images, jobs, and the actions."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest, HTTPException, NotFound, UnsupportedMediaType

from ml_backend.act.asking import TARGET, RefusedError, UnknownError, ask
from ml_backend.page import board, health
from ml_backend.page.board import Summary, VersionRow
from ml_backend.page.openapi import description, needs_target
from ml_backend.page.safety import add_headers, person, refuse_impossible_numbers, refuse_other_sites
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import actions, examinations, projects, scores, suspicious, versions
from ml_backend.store.actions import Action
from ml_backend.store.database import Database
from ml_backend.store.models import ExaminedLabel, Project
from ml_backend.store.states import ActionKind

NUMBER = "<int:project_id>"
MOST_IMAGES = 100
"""Most next images that one answer lists."""


class Api:
    """The routes that read and the one that acts; each reads the database in one transaction."""

    def __init__(self, settings: Settings, database: Database, queues: JobQueues) -> None:
        self._settings, self._database, self._queues = settings, database, queues

    def projects(self) -> Response:
        """All projects, and the problems of the installation."""
        with self._database.read() as session:
            found = [_summary(one) for one in board.summaries(session, self._settings)]
        problems = [_problem(one) for one in health.of_installation(self._settings, self._queues)]
        return jsonify(projects=found, problems=problems)

    def project(self, project_id: int) -> Response:
        """One project."""
        with self._database.read() as session:
            found = board.summary(session, self._settings, _project(session, project_id))
        return jsonify(_summary(found))

    def versions(self, project_id: int) -> Response:
        """The versions of a project with their figures, newest first."""
        with self._database.read() as session:
            _project(session, project_id)
            rows = board.version_rows(session, project_id)
        return jsonify(versions=[_version(row) for row in rows])

    def pool(self, project_id: int) -> Response:
        """The estimated quality of the published version's masks."""
        with self._database.read() as session:
            _project(session, project_id)
            published = versions.published(session, project_id)
            found = [] if published is None else scores.qualities(session, published.id)
        estimates = [{"dsc": round(dsc, 4), "margin": margin} for dsc, margin in found]
        return jsonify(version=None if published is None else published.name, estimates=estimates)

    def next(self, project_id: int) -> Response:
        """The next images in order."""
        limit = _limit(MOST_IMAGES)
        with self._database.read() as session:
            project = _project(session, project_id)
            images = board.next_images(session, self._settings, project, limit)
        return jsonify(
            images=[
                {
                    "task": one.score.task_id,
                    "score": one.score.score,
                    "estimated_dsc": one.score.quality,
                    "margin": one.score.margin,
                    "blank": one.score.blank,
                    "hidden": one.score.hidden,
                    "error": one.score.error,
                    "link": one.link,
                }
                for one in images
            ]
        )

    def suspicious(self, project_id: int) -> Response:
        """The labels to look at again, the most suspicious first, and how far the examination is."""
        with self._database.read() as session:
            project = _project(session, project_id)
            extent = examinations.extent(session, project)
            examined, rows = suspicious.count(session, project_id), suspicious.listed(session, project_id)
        links = (board.link(self._settings, project_id, row.task_id) for row in rows)
        return jsonify(
            examined=examined,
            progress="" if extent is None else extent.sentence(),
            labels=[_label(row, link) for row, link in zip(rows, links, strict=True)],
        )

    def jobs(self) -> Response:
        """All jobs that wait, run, or have failed."""
        with self._database.read() as session:
            found, trouble = board.jobs_of(session, self._queues, None)
        return jsonify(
            jobs=[
                {
                    "id": job.id,
                    "kind": job.kind,
                    "state": job.state,
                    "since": None if job.since is None else job.since.isoformat(),
                    "reason": job.reason,
                }
                for job in found
            ],
            problem=None if trouble is None else _problem(trouble),
        )

    def actions(self, project_id: int) -> Response:
        """What people asked for in a project, newest first."""
        with self._database.read() as session:
            _project(session, project_id)
            found = actions.recent(session, project_id, limit=_limit(MOST_IMAGES))
        return jsonify(actions=[_action(one) for one in found])

    def action(self, action_id: int) -> Response:
        """One action and its outcome."""
        with self._database.read() as session:
            found = actions.get(session, action_id)
        if found is None:
            raise NotFound(f"There is no action {action_id}.")
        return jsonify(_action(found))

    def act(self, project_id: int) -> tuple[Response, int]:
        """Ask for something; the answer is the action, which waits for a worker."""
        kind, target = _asked()
        asked = ask(
            self._database, self._queues, kind, project_id=project_id, target=target, who=person(), via="api"
        )
        return jsonify(_action(asked)), 202

    def openapi(self) -> Response:
        """The description of these routes."""
        return jsonify(description(request.script_root or "/"))


def blueprint(settings: Settings, database: Database, queues: JobQueues) -> Blueprint:
    """The routes under /api; they refuse what comes from other sites."""
    routes = Blueprint("api", __name__, url_prefix="/api")
    api = Api(settings, database, queues)
    routes.before_request(refuse_other_sites)
    routes.before_request(refuse_impossible_numbers)
    routes.after_request(add_headers)
    routes.get("/openapi.json")(api.openapi)
    routes.get("/projects")(api.projects)
    routes.get("/jobs")(api.jobs)
    routes.get("/actions/<int:action_id>")(api.action)
    routes.get(f"/projects/{NUMBER}")(api.project)
    routes.get(f"/projects/{NUMBER}/versions")(api.versions)
    routes.get(f"/projects/{NUMBER}/estimates")(api.pool)
    routes.get(f"/projects/{NUMBER}/next")(api.next)
    routes.get(f"/projects/{NUMBER}/suspicious")(api.suspicious)
    routes.get(f"/projects/{NUMBER}/actions")(api.actions)
    routes.post(f"/projects/{NUMBER}/actions")(api.act)

    @routes.errorhandler(RefusedError)
    def refused(error: RefusedError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 404 if isinstance(error, UnknownError) else 409

    @routes.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description or error.name), error.code or 500

    return routes


def _asked() -> tuple[ActionKind, str]:
    """The action of the request's body.

    Raises:
        UnsupportedMediaType: the body is not JSON.
        BadRequest: it does not name an action, or a target that can be one.
    """
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or set(body) - {"action", "target"}:
        raise BadRequest('Send an object such as {"action": "publish", "target": "p3-r002-brave-otter"}.')
    name, target = body.get("action"), body.get("target", "")
    if not isinstance(name, str) or name not in set(ActionKind):
        raise BadRequest(f"The action must be one of {', '.join(ActionKind)}.")
    if not isinstance(target, str) or not re.fullmatch(TARGET, target):
        raise BadRequest("The target must be the name of a version or the id of a job.")
    kind = ActionKind(name)
    if not target and needs_target(kind):
        raise BadRequest("Name the version, or the job, as target.")
    return kind, target


def _limit(most: int) -> int:
    given = request.args.get("limit", "20")
    if not re.fullmatch(r"[0-9]{1,4}", given, re.ASCII) or not 1 <= int(given) <= most:
        raise BadRequest(f"The limit must be a number from 1 to {most}.")
    return int(given)


def _project(session: Session, project_id: int) -> Project:
    project = projects.get(session, project_id)
    if project is None:
        raise NotFound(f"Project {project_id} is unknown here; connect it with dsal connect first.")
    return project


def _summary(one: Summary) -> dict[str, Any]:
    return {
        "id": one.project.id,
        "title": one.project.title,
        "state": one.progress.state,
        "sentence": one.progress.sentence,
        "share": one.progress.share,
        "published": None if one.published is None else one.published.name,
        "validation_dsc": one.dsc.to_dict(),
        "labels": one.labels,
        "changes": one.changes,
        "problems": [_problem(problem) for problem in one.problems],
    }


def _version(row: VersionRow) -> dict[str, Any]:
    version = row.version
    return {
        "name": version.name,
        "round": version.round,
        "state": version.state.value,
        "labels": version.labels_used,
        "parent": None if row.parent is None else row.parent.name,
        "published_again": row.is_again,
        "has_weights": version.weights_hash is not None,
        "kept": version.kept,
        "created_at": version.created_at.isoformat(),
        "published_at": None if version.published_at is None else version.published_at.isoformat(),
        "seconds": {
            "training": version.seconds_training,
            "scoring": version.seconds_scoring,
            "publishing": version.seconds_publishing,
        },
        "validation_dsc": row.dsc.to_dict(),
        "per_label": {label: figure.to_dict() for label, figure in row.labels.items()},
        "accepted": row.accepted.to_dict(),
        "message": version.message,
    }


def _label(row: ExaminedLabel, link: str) -> dict[str, Any]:
    return {
        "task": row.task_id,
        "annotation": row.annotation_id,
        "score": row.score,
        "reason": row.reason,
        "regions": [
            {name: region[name] for name in ("given", "seen", "pixels", "certainty", "box")}
            for region in row.regions
        ],
        "shift": [row.shift_x, row.shift_y],
        "version": row.version,
        "examined_at": row.examined_at.isoformat(),
        "link": link,
    }


def _problem(problem: health.Problem) -> dict[str, Any]:
    return {"what": problem.what, "cure": problem.cure, "is_fault": problem.is_fault}


def _action(action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "project": action.project_id,
        "action": action.kind.value,
        "target": action.target,
        "who": action.who,
        "via": action.via,
        "state": action.state.value,
        "outcome": action.outcome,
        "created_at": action.created_at.isoformat(),
        "ended_at": None if action.ended_at is None else action.ended_at.isoformat(),
    }
