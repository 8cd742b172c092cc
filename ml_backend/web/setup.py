"""POST /setup: which version serves a project; from the database alone, as Label Studio waits 3 s only."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify
from redis.exceptions import RedisError

from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, ProjectState
from ml_backend.web.calls import CallLog
from ml_backend.web.payloads import SetupCall, read

logger = logging.getLogger(__name__)


def blueprint(settings: Settings, database: Database, queues: JobQueues) -> Blueprint:
    """The route."""
    routes = Blueprint("setup", __name__)
    calls = CallLog(database)

    @routes.post("/setup")
    def setup() -> Response:
        call = read(SetupCall)
        version = serving_version(settings, database, queues, call.project, call.label_config)
        calls.note(call.project)
        return jsonify(model_version=version)

    return routes


def serving_version(
    settings: Settings, database: Database, queues: JobQueues, project_id: int, label_config: str
) -> str:
    """Name of the version that serves a project, which is noted; a new one's first ordering is asked for."""
    project = _note(settings, database, project_id, label_config)
    # Asked for again while there is none, should the job that was to make it have failed.
    if project.state is ProjectState.NEW and project.label_config:
        _ask_for_first_ordering(queues, project)
    with database.read() as session:
        return versions.current_name(session, project)


def _note(settings: Settings, database: Database, project_id: int, label_config: str) -> Project:
    """The project as Label Studio describes it; written only if it is new or has changed."""
    with database.read() as session:
        project = projects.get(session, project_id)
    if project is not None and projects.matches(project, label_config, None):
        return project
    with database.write() as session:
        projects.note(session, project_id, label_config, seed=settings.seed)
        return projects.ensure(session, project_id, seed=settings.seed)


def _ask_for_first_ordering(queues: JobQueues, project: Project) -> None:
    try:
        queues.request_order(project.id)
    except RedisError:
        # A worker asks for the first ordering of every new project when it starts.
        logger.warning("Redis does not answer; the first ordering of project %d waits.", project.id)
