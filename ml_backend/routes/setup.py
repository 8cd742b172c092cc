"""POST /setup: which version serves a project; from the database alone, as Label Studio waits 3 s only."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify
from redis.exceptions import RedisError

from ml_backend.queue import JobQueues
from ml_backend.routes.payloads import SetupCall, read
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, ProjectState

logger = logging.getLogger(__name__)


def blueprint(settings: Settings, database: Database, queues: JobQueues) -> Blueprint:
    """The route."""
    routes = Blueprint("setup", __name__)

    @routes.post("/setup")
    def setup() -> Response:
        call = read(SetupCall)
        project = note_project(settings, database, queues, call.project, call.label_config)
        if project.state is ProjectState.NEW:
            ask_for_first_ordering(queues, project)
        with database.read() as session:
            return jsonify(model_version=versions.current_name(session, project))

    return routes


def note_project(
    settings: Settings,
    database: Database,
    queues: JobQueues,
    project_id: int,
    label_config: str | None,
    title: str | None = None,
) -> Project:
    """Keep what Label Studio says of a project; a new project or labeling config asks for a first ordering.

    An empty labeling config or title says nothing and changes nothing.
    """
    with database.read() as session:
        project = projects.get(session, project_id)
        if project is not None and projects.matches(project, label_config, title):
            return project
    with database.write() as session:
        project = projects.ensure(session, project_id, seed=settings.seed)
        project.title = title or project.title
        changed = bool(label_config and label_config.strip()) and projects.set_label_config(
            session, project, label_config or ""
        )
    if changed:
        ask_for_first_ordering(queues, project)
    return project


def ask_for_first_ordering(queues: JobQueues, project: Project) -> None:
    """Ask for it where there is a labeling config to draw with; while Redis is away, leave it to a worker."""
    if not project.label_config:
        return
    try:
        queues.request_start(project.id)
    except RedisError:
        # A worker asks for the first ordering of every new project when it starts.
        logger.warning("Redis does not answer; the first ordering of project %d waits.", project.id)
