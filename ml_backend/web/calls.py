"""The tasks of a call of /predict: at once if they are few, one by one if the call is large.

Label Studio sends tasks with their annotations and predictions, but a prediction needs only id and data. So
of a large call nothing else is kept; a page that asks for a mask is kept whole, up to a limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pydantic import ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, ServiceUnavailable

from ml_backend.web.bodies import Bodies, Body
from ml_backend.web.payloads import CALL, PAGE, PredictCall, checked, explain, parsed
from ml_backend.web.selection import FullError, Selection, SelectionError, Wanted
from model.freed_memory import release_freed_memory

MOST_TASKS = 100_000
"""Tasks of one call. In 100 s, which Label Studio waits, no service predicts more than a few thousand."""
MOST_BYTES = 160 * 2**20
"""Bytes of Python objects of a page that asks, or of the tasks of a call."""
MOST_TOKEN = 96 * 2**20
"""Bytes of one text: an image of MAX_IMAGE_BYTES as data URI fits, at its default."""
MUCH = 8 * 2**20
"""Bytes of tasks above which no other large call is read until this one is answered."""


@contextmanager
def read_call(bodies: Bodies, limit: int, deadline: float) -> Iterator[PredictCall]:
    """The call in the current request's body.

    Args:
        bodies: of the process.
        limit: bytes of the body.
        deadline: `time.monotonic()` until which other large calls are waited for.

    Raises:
        BadRequest: the body is not a call.
        RequestEntityTooLarge: it has more than `limit` bytes or `MOST_TASKS` tasks, or takes too much memory.
        ServiceUnavailable: other large calls took until the deadline.
    """
    with bodies.received(limit) as body:
        if not body.complete:
            raise RequestEntityTooLarge(
                f"The call is larger than {limit} bytes: send fewer tasks at once, or raise MAX_BODY_BYTES."
            )
        text = body.text()
        if text is not None:
            call = _parsed(text)
            del text
            yield call
            return
        with ExitStack() as turn:
            turn.enter_context(_turn(bodies.predicting, deadline))
            call, kept = _chosen(body)
            if kept <= MUCH:
                turn.close()
            yield call
        release_freed_memory()


def _parsed(text: bytes) -> PredictCall:
    try:
        return parsed(PredictCall, text)
    except ValidationError as error:
        raise BadRequest(explain(error)) from error


@contextmanager
def _turn(lock: threading.Lock, deadline: float) -> Iterator[None]:
    if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise ServiceUnavailable("Another large call is being answered: try again later, with fewer tasks.")
    try:
        yield
    finally:
        lock.release()


def _chosen(body: Body) -> tuple[PredictCall, int]:
    """The call as far as a prediction needs it, and how many bytes that takes."""
    found, kept = _select(body, CALL)
    if isinstance(found, dict) and isinstance(found.get("tasks"), list) and len(found["tasks"]) > MOST_TASKS:
        raise RequestEntityTooLarge(f"The call has more than {MOST_TASKS} tasks: send fewer at once.")
    call = checked(PredictCall, found)
    if call.context is None or len(call.tasks) != 1:
        return call, kept
    page, of_page = _select(body, PAGE)
    return call.model_copy(update={"tasks": page["tasks"]}), kept + of_page


def _select(body: Body, wanted: Wanted) -> tuple[Any, int]:
    selection = Selection(wanted, MOST_BYTES, MOST_TOKEN)
    try:
        return selection.read(body.chunks()), selection.kept
    except FullError as error:
        raise RequestEntityTooLarge(
            f"The tasks of the call take more than {MOST_BYTES >> 20} MiB of memory: send fewer at once."
        ) from error
    except SelectionError as error:
        raise BadRequest("The body is not valid JSON.") from error
