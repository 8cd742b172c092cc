"""POST /webhook: stores one event; the jobs that it triggers read the labels from Label Studio again."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest

from ml_backend.queue import kinds
from ml_backend.store.events import START_TRAINING
from ml_backend.web.inbox import Arrival, Inbox
from ml_backend.web.payloads import Envelope, EventCall, explain, parsed
from ml_backend.web.prometheus import Metrics

ANNOTATION_ACTIONS = {
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
}
JOBS = {
    **dict.fromkeys((*ANNOTATION_ACTIONS, "TASKS_DELETED"), (kinds.TRAINING, kinds.ASSIGN)),
    START_TRAINING: (kinds.TRAINING,),
    "TASKS_CREATED": (kinds.SCORE_NEW,),
}
KNOWN_ACTIONS = {*JOBS, "PROJECT_UPDATED"}
OTHER = "other"


def blueprint(inbox: Inbox, metrics: Metrics) -> Blueprint:
    """The route."""
    routes = Blueprint("webhook", __name__)

    @routes.post("/webhook")
    def webhook() -> Response:
        event = event_in(request.get_data(cache=True))
        metrics.events.labels(OTHER if event is None else event.action).inc()
        if event is None:
            return jsonify(status="ignored")
        inbox.take(arrival_of(event))
        return jsonify(status="accepted")

    return routes


def event_in(body: bytes) -> EventCall | None:
    """The event in a body; None for an action that is ignored, whatever else its body contains.

    Raises:
        BadRequest: the body is not that of an event.
    """
    try:
        event = parsed(EventCall, body)
    except ValidationError as error:
        try:
            action = parsed(Envelope, body).action
        except ValidationError as fault:
            raise BadRequest(explain(fault)) from fault
        if action in KNOWN_ACTIONS:
            raise BadRequest(explain(error)) from error
        return None
    return event if event.action in KNOWN_ACTIONS else None


def arrival_of(event: EventCall) -> Arrival:
    """The event as the inbox stores it, with the jobs that it may need."""
    return Arrival(
        project_id=event.project.id,
        action=event.action,
        title=event.project.title,
        label_config=event.project.label_config,
        task_ids=tuple(task.id for task in (*event.task, *event.tasks)),
        changes=_changed_annotations(event),
        jobs=JOBS.get(event.action, ()),
    )


def _changed_annotations(event: EventCall) -> tuple[str, ...]:
    """Names of the annotations created, changed or deleted, without new skips, which are not labels."""
    if event.action not in ANNOTATION_ACTIONS:
        return ()
    created = event.action in {"ANNOTATION_CREATED", "ANNOTATIONS_CREATED"}
    both = (*event.annotation, *event.annotations)
    return tuple(f"annotation:{one.id}" for one in both if not (created and one.was_cancelled))
