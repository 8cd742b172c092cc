"""POST /webhook: writes one event and asks for the jobs it calls for; the labels are read again later."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify, request
from pydantic import ValidationError
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest

from ml_backend.events import consider
from ml_backend.metrics import Metrics
from ml_backend.queue import JobQueues
from ml_backend.routes.payloads import Envelope, Event, explain, read
from ml_backend.routes.setup import note_project
from ml_backend.settings import Settings
from ml_backend.store import events, labels
from ml_backend.store.database import Database

logger = logging.getLogger(__name__)

ANNOTATION_ACTIONS = {
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
}
TRAINING_ACTIONS = {*ANNOTATION_ACTIONS, "TASKS_DELETED", events.START_TRAINING}
KNOWN_ACTIONS = {*TRAINING_ACTIONS, "TASKS_CREATED", "PROJECT_UPDATED"}
OTHER = "other"


def blueprint(settings: Settings, database: Database, queues: JobQueues, metrics: Metrics) -> Blueprint:
    """The route."""
    routes = Blueprint("webhook", __name__)

    @routes.post("/webhook")
    def webhook() -> Response:
        event = _read()
        metrics.events.labels(OTHER if event is None else event.action).inc()
        if event is None:
            return jsonify(status="ignored")
        project = event.project
        note_project(settings, database, queues, project.id, project.label_config, project.title)
        _write(database, event)
        _ask_for_jobs(settings, database, queues, event)
        return jsonify(status="accepted")

    return routes


def _read() -> Event | None:
    """The event, or None for an action that means nothing here, whatever else its body holds."""
    try:
        event = Event.model_validate_json(request.get_data(cache=True))
    except ValidationError as error:
        if read(Envelope).action in KNOWN_ACTIONS:
            raise BadRequest(explain(error)) from error
        return None
    return event if event.action in KNOWN_ACTIONS else None


def _write(database: Database, event: Event) -> None:
    tasks = [task.id for task in (*event.task, *event.tasks)]
    with database.write() as session:
        if event.action == "TASKS_DELETED":
            changes = [f"task:{task}" for task in labels.labelled_tasks(session, event.project.id, tasks)]
        else:
            changes = _changed_annotations(event)
        events.add(session, event.project.id, event.action, task_ids=tasks, changes=changes)


def _changed_annotations(event: Event) -> list[str]:
    """Names of the annotations that were made, changed or deleted; a new skip is no label."""
    if event.action not in ANNOTATION_ACTIONS:
        return []
    made = event.action in {"ANNOTATION_CREATED", "ANNOTATIONS_CREATED"}
    both = (*event.annotation, *event.annotations)
    return [f"annotation:{one.id}" for one in both if not (made and one.was_cancelled)]


def _ask_for_jobs(settings: Settings, database: Database, queues: JobQueues, event: Event) -> None:
    try:
        if event.action == "TASKS_CREATED":
            queues.request_score_new(event.project.id)
        elif event.action in TRAINING_ACTIONS:
            consider(database, queues, settings, event.project.id)
    except RedisError:
        # The event is kept: the next one, or a worker that starts, asks for what it calls for.
        logger.warning("Redis does not answer; the jobs of project %d wait.", event.project.id)
