"""The shapes of what Label Studio sends, and the reading of them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from flask import request
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from werkzeug.exceptions import BadRequest


def _project_id(value: Any) -> Any:
    """Label Studio writes "3.1795370551": the project's id and the second of its creation."""
    return value.partition(".")[0] if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


Id = Annotated[int, Field(ge=0, lt=2**31)]
ProjectId = Annotated[Id, BeforeValidator(_project_id)]


class Reference(BaseModel):
    """An annotation or a task of which only the id matters here, and whether it is a skip."""

    id: Id
    was_cancelled: bool = False


References = Annotated[list[Reference], BeforeValidator(_as_list)]


class ProjectReference(BaseModel):
    """The project that an event is about."""

    id: Id
    title: str | None = None
    label_config: str | None = None


class SetupCall(BaseModel):
    """Body of /setup; what else Label Studio sends, such as `extra_params`, is not needed."""

    project: ProjectId
    label_config: str = Field(alias="schema", default="")


class PredictCall(BaseModel):
    """Body of /predict."""

    tasks: list[dict[str, Any]]
    project: ProjectId | None = None


class Event(BaseModel):
    """Body of /webhook, of any of the known actions."""

    action: str
    project: ProjectReference
    annotation: References = []
    annotations: References = []
    task: References = []
    tasks: References = []


class Envelope(BaseModel):
    """What every event has."""

    action: str


Payload = TypeVar("Payload", bound=BaseModel)


def read(kind: type[Payload]) -> Payload:
    """The request's body as a `kind`; answers 400 with one sentence for any other body."""
    try:
        return kind.model_validate_json(request.get_data(cache=True))
    except ValidationError as error:
        raise BadRequest(explain(error)) from error


def explain(error: ValidationError) -> str:
    """One sentence on the first thing wrong with a body, quoting nothing of it but field names."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "The body is not valid JSON."
    place = ".".join(str(part) for part in first["loc"]) or "the body"
    return f"The body does not fit: {place}: {first['msg']}."
