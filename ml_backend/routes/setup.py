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
from ml_backend.store.models import ProjectState

logger = logging.getLogger(__name__)


def blueprint(settings: Settings, database: Database, queues: JobQueues) -> Blueprint:
    """The route."""
    routes = Blueprint("setup", __name__)

    @routes.post("/setup")
    def setup() -> Response:
        call = read(SetupCall)
        name = register_project(settings, database, queues, call.project, call.label_config)
        return jsonify(model_version=name)

    return routes


def register_project(
    settings: Settings,
    database: Database,
    queues: JobQueues,
    project_id: int,
    label_config: str | None,
    title: str | None = None,
) -> str:
    """Note a project as Label Studio describes it, and ask for its first ordering if it has none.

    Returns the name of the version that serves it. An empty labeling config says nothing and changes nothing.
    """
    with database.read() as session:
        project = projects.get(session, project_id)
        known = project is not None and projects.matches(project, label_config, title)
    if not known:
        with database.write() as session:
            project = projects.ensure(session, project_id, seed=settings.seed)
            project.title = title or project.title
            if label_config and label_config.strip():
                projects.set_label_config(session, project, label_config)
    assert project is not None
    if project.state is ProjectState.NEW and project.label_config:
        try:
            queues.request_start(project_id)
        except RedisError:
            # A worker asks for the first ordering of every new project when it starts.
            logger.warning("Redis does not answer; the first ordering of project %d waits.", project_id)
    with database.read() as session:
        return versions.current_name(session, project)
