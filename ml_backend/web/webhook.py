"""POST /webhook: stores one event; the jobs that it triggers read the labels from Label Studio again.

An event may be as large as the annotation that it tells of, and only a few ids of it are needed. So it is
read as a stream, and no event is lost by its size: a comparison with Label Studio finds what was not read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, jsonify
from werkzeug.exceptions import BadRequest

from ml_backend.label_studio.decoding import decoded
from ml_backend.queue import kinds
from ml_backend.settings import Settings
from ml_backend.store.events import START_TRAINING
from ml_backend.web.bodies import Bodies, Body
from ml_backend.web.inbox import Arrival, Inbox
from ml_backend.web.payloads import EVENT, Envelope, EventCall, checked
from ml_backend.web.prometheus import Metrics
from ml_backend.web.selection import FullError, Selection, SelectionError

logger = logging.getLogger(__name__)

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


_MOST_KEPT = 64 * 2**20
_MOST_TOKEN = 16 * 2**20
"""Bytes of one text in an event, such as an image in a task's data, beyond which it is not read on."""


@dataclass(frozen=True)
class Read:
    """An event as far as it was read; `event` is None for an action that is ignored."""

    event: EventCall | None
    complete: bool


def blueprint(settings: Settings, inbox: Inbox, metrics: Metrics, bodies: Bodies) -> Blueprint:
    """The route."""
    routes = Blueprint("webhook", __name__)

    @routes.post("/webhook")
    def webhook() -> Response:
        with bodies.received(settings.max_body_bytes) as body, bodies.turn(body.size):
            try:
                read = event_in(body, settings.max_webhook_bytes)
            except _UnreadableError:
                metrics.events.labels(OTHER).inc()
                inbox.compare()
                return _too_large(
                    settings, "neither its project nor its action could be read; all projects are"
                )
            arrival = None if read.event is None else arrival_of(read.event)
        metrics.events.labels(OTHER if arrival is None else arrival.action).inc()
        if arrival is None:
            return jsonify(status="ignored")
        if read.complete:
            inbox.take(arrival)
            return jsonify(status="accepted")
        inbox.take(replace(arrival, jobs=(*arrival.jobs, kinds.RECONCILE)))
        return _too_large(settings, f"the event was taken without the rest; project {arrival.project_id} is")

    return routes


class _UnreadableError(Exception):
    """A body that is too large ends before it says what it is about."""


def _too_large(settings: Settings, what: str) -> Response:
    sentence = (
        f"The event is larger than {settings.max_webhook_bytes} bytes (MAX_WEBHOOK_BYTES): {what} compared "
        "with Label Studio, so that no label is lost."
    )
    logger.warning(sentence)
    answer = jsonify(error=sentence)
    answer.status_code = 413
    return answer


def event_in(body: Body, limit: int) -> Read:
    """The event in a body; beyond `limit` bytes no further tasks or annotations are taken from it."""
    selection = Selection(EVENT, _MOST_KEPT, _MOST_TOKEN, elements_until=limit)
    complete = body.complete
    try:
        selection.read(body.chunks())
    except FullError:
        complete = False
    except SelectionError as error:
        if complete:
            return _decoded(body, error)
    try:
        return _known(selection.value, complete and not selection.left_out)
    except BadRequest as error:
        if complete:
            raise
        raise _UnreadableError from error


def _known(value: Any, complete: bool) -> Read:
    """The event in what was read of a body; raises BadRequest."""
    if checked(Envelope, value).action not in KNOWN_ACTIONS:
        return Read(None, complete=True)
    return Read(checked(EventCall, value), complete)


def _decoded(body: Body, error: SelectionError) -> Read:
    """The event in a body that a stream cannot read, such as one with lone surrogates in a task's data."""
    text = body.text()
    try:
        if text is None:
            raise error
        value = decoded(text)
    except (SelectionError, ValueError) as fault:
        raise BadRequest("The body is not valid JSON.") from fault
    return _known(value, complete=True)


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
