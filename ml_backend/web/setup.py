"""What Label Studio asks when it connects: GET /health, POST /setup and GET /versions.

Label Studio waits at most 3 s, so /health does no I/O and the others use only the database and the queue.
Each /setup call is recorded; `dsal doctor` uses that log to verify that Label Studio reached this service.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from flask import Blueprint, Response, jsonify, request
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, NotFound

from ml_backend.label_studio.config.extent import check_extent
from ml_backend.label_studio.config.labeling import LabelConfigError
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import installation, projects
from ml_backend.store import versions as stored_versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, ProjectState
from ml_backend.store.version_names import version_name
from ml_backend.web.bodies import Bodies
from ml_backend.web.payloads import LARGEST_ID, SETUP_BYTES, SetupCall, read

logger = logging.getLogger(__name__)

LONGEST_ID = 20
"""Digits, zeros at the beginning included."""

SERVICE = "dsal"
"""Name in the answer of /health, by which `dsal doctor` recognises this service."""


def blueprint(settings: Settings, database: Database, queues: JobQueues, bodies: Bodies) -> Blueprint:
    """The three routes."""
    routes = Blueprint("setup", __name__)
    calls = CallLog(database)
    with database.read() as session:
        name = installation.name(session)

    @routes.get("/health")
    def health() -> Response:
        return jsonify(status="UP", service=SERVICE, installation=name)

    @routes.post("/setup")
    def setup() -> Response:
        call = read(SetupCall, bodies, SETUP_BYTES)
        version = serving_version(settings, database, queues, call.project, call.label_config)
        calls.note(call.project)
        return jsonify(model_version=version)

    @routes.get("/versions")
    def versions() -> Response:
        """Version names, newest first, of one project, or of all: Label Studio sends no project."""
        project = request.args.get("project", "").partition(".")[0]
        if project and not project.isdecimal():
            raise BadRequest("The project must be given by its number.")
        if len(project) > LONGEST_ID or int(project or 0) > LARGEST_ID:
            raise NotFound("There is no project with such a large number.")
        with database.read() as session:
            listed = stored_versions.of_project(session, int(project) if project else None)
            return jsonify(versions=[version.name for version in listed])

    return routes


def serving_version(
    settings: Settings, database: Database, queues: JobQueues, project_id: int, label_config: str
) -> str:
    """Name of the version that serves a project.

    Stores the project if it is new or its labeling config has changed, and requests the first order of a
    project that has none.
    """
    project = _record_project(settings, database, project_id, label_config)
    if project is None:
        _request_confirmation(queues, project_id)
        return version_name(project_id, 0, 0)
    # Requested on every call while there is no order, in case the job that was to make it failed.
    if project.state is ProjectState.NEW and project.label_config:
        _request_first_order(queues, project)
    with database.read() as session:
        return stored_versions.current_name(session, project)


def _record_project(
    settings: Settings, database: Database, project_id: int, label_config: str
) -> Project | None:
    """The project, written only if it is new or has changed: most calls need no write transaction.

    None for a new project of which somebody without a password speaks: Label Studio must confirm it.

    Raises BadRequest for a labeling config that is too large.
    """
    with database.read() as session:
        project = projects.get(session, project_id)
    if project is not None and projects.matches(project, label_config, None):
        return project
    if project is None and settings.basic_auth is None:
        return None
    try:
        check_extent(label_config)
    except LabelConfigError as error:
        raise BadRequest(str(error)) from error
    with database.write() as session:
        projects.note(session, project_id, label_config, seed=settings.seed)
        return projects.ensure(session, project_id, seed=settings.seed)


def _request_confirmation(queues: JobQueues, project_id: int) -> None:
    try:
        taken = queues.request_confirmation(project_id)
    except RedisError:
        taken = False
    if not taken:
        logger.warning("Project %d is not known, and cannot be confirmed now: ignored.", project_id)


def _request_first_order(queues: JobQueues, project: Project) -> None:
    try:
        queues.request_order(project.id)
    except RedisError:
        # A starting worker requests the first order of every new project.
        logger.warning("Redis does not answer; the first order of project %d is delayed.", project.id)


class CallLog:
    """Records calls in a thread of its own: Label Studio waits 3 s, a busy database may take longer."""

    def __init__(self, database: Database) -> None:
        """Write into `database`."""
        self._database = database
        self._seen: deque[int] = deque()
        self._writer = ThreadPoolExecutor(1)

    def note(self, project_id: int) -> None:
        """Record a call about a project; returns at once."""
        self._seen.append(project_id)
        self._writer.submit(self._write)

    def _write(self) -> None:
        seen = {self._seen.popleft() for _ in range(len(self._seen))}
        if not seen:
            return
        try:
            with self._database.write() as session:
                projects.note_calls(session, seen)
        except SQLAlchemyError:
            # Only `dsal doctor` reads the call log, and it reports the missing call.
            logger.warning("A call of Label Studio could not be written to the call log.", exc_info=True)
