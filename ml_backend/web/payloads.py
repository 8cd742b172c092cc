"""Parsing and validation of the JSON bodies that Label Studio sends."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from werkzeug.exceptions import BadRequest

from ml_backend.label_studio.decoding import decoded
from ml_backend.web.bodies import Bodies
from ml_backend.web.selection import ANY, Everything, Scalar, Wanted

SETUP_BYTES = 2**20
"""Largest body of /setup: a labeling config, of which the largest known have 100 kB."""


def _project_id(value: Any) -> Any:
    """The id: Label Studio sends "3.1795370551", the id and the second of the project's creation."""
    return value.partition(".")[0] if isinstance(value, str) else value


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("an id is a number, not true or false")
    return value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


LARGEST_ID = 2**31 - 1
"""Largest id that Label Studio and the database can have."""

Id = Annotated[int, BeforeValidator(_no_flag), Field(ge=0, le=LARGEST_ID)]
ProjectId = Annotated[Id, BeforeValidator(_project_id)]


class Reference(BaseModel):
    """An annotation or a task: its id, and whether an annotation is a skip."""

    id: Id
    was_cancelled: bool = False


References = Annotated[list[Reference], BeforeValidator(_as_list)]


class ProjectReference(BaseModel):
    """The project of an event."""

    id: Id
    title: str | None = None
    label_config: str | None = None


class SetupCall(BaseModel):
    """Body of /setup; other fields, such as `extra_params`, are ignored."""

    project: ProjectId
    label_config: str = Field(alias="schema", default="")


class PredictCall(BaseModel):
    """Body of /predict."""

    tasks: list[dict[str, Any]]
    project: ProjectId | None = None
    params: dict[str, Any] | None = None

    @property
    def context(self) -> dict[str, Any] | None:
        """The prompts on a page that asks for a mask; None for an ordinary call."""
        found = None if self.params is None else self.params.get("context")
        return found if isinstance(found, dict) and found.get("result") else None


class EventCall(BaseModel):
    """Body of /webhook for a known action."""

    action: str
    project: ProjectReference
    annotation: References = []
    annotations: References = []
    task: References = []
    tasks: References = []


REFERENCE: Wanted = {"id": Scalar(), "was_cancelled": Scalar()}
EVENT: Wanted = {
    "action": Scalar(),
    "project": {"id": Scalar(), "title": Scalar(), "label_config": Scalar()},
    **dict.fromkeys(("annotation", "annotations", "task", "tasks"), REFERENCE),
}
"""What is read of an event, see `EventCall`."""

CALL: Wanted = {
    "tasks": {"id": Scalar(), "project": Scalar(), "data": {ANY: Scalar()}},
    "project": Scalar(),
    "params": {"context": Everything()},
}
"""What is read of a large call of /predict; data that is no address of an image is no text either."""
PAGE: Wanted = {"tasks": Everything()}


class Envelope(BaseModel):
    """The one field that every event has, known or not."""

    action: str


Payload = TypeVar("Payload", bound=BaseModel)


def read(kind: type[Payload], bodies: Bodies, limit: int) -> Payload:
    """The request's body, of at most `limit` bytes, parsed as `kind`.

    Raises BadRequest, which answers 400, with a sentence that says what is invalid; RequestEntityTooLarge.
    """
    text = bodies.small(limit)
    try:
        with bodies.turn(len(text)):
            return parsed(kind, text)
    except ValidationError as error:
        raise BadRequest(explain(error)) from error


def checked(kind: type[Payload], value: Any) -> Payload:
    """What was read of a body as `kind`; raises BadRequest as `read` does."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise BadRequest(explain(error)) from error


def parsed(kind: type[Payload], body: bytes) -> Payload:
    """A body as `kind`.

    Tasks and annotations are part of it, with whatever users have stored in them. Pydantic's parser refuses
    some of that: lone surrogates, and values nested more than 200 levels deep.

    Raises:
        ValidationError: it is not JSON, or something in it is invalid.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
            raise
        try:
            found = decoded(body)
        except ValueError:
            raise error from None
        return kind.model_validate(found)


def explain(error: ValidationError) -> str:
    """One sentence on the first error in a body; it quotes field names but no values."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "The body is not valid JSON."
    place = ".".join(str(part) for part in first["loc"]) or "its top level"
    return f"The body is invalid at {place}: {first['msg']}."
