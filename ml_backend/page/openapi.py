"""The OpenAPI description of the API, by which clients are made and tests check every answer."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ml_backend.act.asking import OF_VERSIONS, TARGET
from ml_backend.store.states import ActionKind, ActionState, VersionState

LARGEST_ID = 2**31 - 1
"""Largest id that a database of any kind can hold."""

_TEXT: dict[str, Any] = {"type": "string"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_BOOLEAN: dict[str, Any] = {"type": "boolean"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_SECONDS: dict[str, Any] = {"type": "number", "minimum": 0}
_SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}


def needs_target(kind: ActionKind) -> bool:
    """Whether a request must name a version or a job."""
    named = (*OF_VERSIONS, ActionKind.RETRY)
    return kind in named and kind is not ActionKind.ROLL_BACK


def description(root: str) -> dict[str, Any]:
    """The description; `root` is the address below which the API lies."""
    project = [{"$ref": "#/components/parameters/Project"}]
    limit = [{"$ref": "#/components/parameters/Limit"}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dsal",
            "version": version("dsal"),
            "description": "What the service knows of its projects, and what people may ask for.",
        },
        "servers": [{"url": root}],
        "security": [{"password": []}, {}],
        "paths": {
            "/api/projects": _reads("All projects, and what stands in the way", "Projects"),
            "/api/projects/{project}": _reads("One project", "Project", project),
            "/api/projects/{project}/versions": _reads("Its versions, newest first", "Versions", project),
            "/api/projects/{project}/estimates": _reads(
                "Estimated Dice of its unlabelled images", "Estimates", project
            ),
            "/api/projects/{project}/next": _reads(
                "Its next images, in order", "NextImages", project + limit, refuses=True
            ),
            "/api/projects/{project}/suspicious": _reads(
                "Its labels to look at again, the most suspicious first", "SuspiciousLabels", project
            ),
            "/api/projects/{project}/actions": {
                **_reads("What people asked for", "Actions", project + limit, refuses=True),
                "post": _acts(project),
            },
            "/api/actions/{action}": _reads(
                "One action and its outcome", "Action", [{"$ref": "#/components/parameters/Action"}]
            ),
            "/api/jobs": _reads("Jobs that wait, run, or have failed", "Jobs"),
            "/api/openapi.json": {
                "get": {
                    "summary": "This description",
                    "responses": {
                        "200": {"description": "OpenAPI", "content": {"application/json": {"schema": {}}}},
                        "401": _error("The password is missing or wrong."),
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {"password": {"type": "http", "scheme": "basic"}},
            "parameters": {
                "Project": _number("project", "Number of the project in Label Studio."),
                "Action": _number("action", "Number of the action."),
                "Limit": {
                    "name": "limit",
                    "in": "query",
                    "description": "Most entries of the answer; 20 by default.",
                    "schema": {"type": "integer", "minimum": 1, "maximum": 100},
                },
            },
            "schemas": _schemas(),
        },
    }


def _number(name: str, meaning: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0, "maximum": LARGEST_ID}
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": schema}


def _reads(
    summary: str, schema: str, parameters: list[dict[str, Any]] | None = None, *, refuses: bool = False
) -> dict[str, Any]:
    answers = {"200": _answer("Found.", schema), "401": _error("The password is missing or wrong.")}
    if refuses:
        answers["400"] = _error("A parameter is invalid.")
    if parameters:
        answers["404"] = _error("There is none of this number.")
    return {"get": {"summary": summary, "parameters": parameters or [], "responses": answers}}


def _acts(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    body = {"schema": {"$ref": "#/components/schemas/Request"}}
    return {
        "summary": "Ask for something: a worker does it, and the action says what came of it",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "202": _answer("Recorded; a worker does it.", "Action"),
            "400": _error("The body is invalid."),
            "401": _error("The password is missing or wrong."),
            "403": _error("The request comes from a page of another site."),
            "404": _error("There is no such project or version."),
            "409": _error("It cannot be done now; the error says why."),
            "413": _error("The body is too large."),
            "415": _error("The body is not JSON."),
        },
    }


def _answer(meaning: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": meaning, "content": content}


def _error(meaning: str) -> dict[str, Any]:
    return _answer(meaning, "Error")


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _target(*, least: int) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{TARGET}$", "minLength": least}


def _schemas() -> dict[str, Any]:
    on_target = [kind for kind in ActionKind if needs_target(kind)]
    on_project = [kind for kind in ActionKind if not needs_target(kind)]
    return {
        "Error": _object({"error": _TEXT}),
        "Problem": _object({"what": _TEXT, "cure": _TEXT, "is_fault": _BOOLEAN}),
        "Figure": {
            **_object(
                {
                    "value": _or_null(_SHARE),
                    "low": _or_null(_SHARE),
                    "high": _or_null(_SHARE),
                    "count": _COUNT,
                }
            ),
            "description": "A mean or share with its 95 % interval; null where there are too few to tell.",
        },
        "Project": _object(
            {
                "id": {"type": "integer"},
                "title": _or_null(_TEXT),
                "state": _TEXT,
                "sentence": _TEXT,
                "share": _or_null(_SHARE),
                "published": _or_null(_TEXT),
                "validation_dsc": _ref("Figure"),
                "labels": _COUNT,
                "changes": _COUNT,
                "problems": _list("Problem"),
            }
        ),
        "Projects": _object({"projects": _list("Project"), "problems": _list("Problem")}),
        "Version": _object(
            {
                "name": _TEXT,
                "round": _COUNT,
                "state": {"enum": [*VersionState]},
                "labels": _COUNT,
                "parent": _or_null(_TEXT),
                "published_again": _BOOLEAN,
                "has_weights": _BOOLEAN,
                "kept": _BOOLEAN,
                "created_at": _TIME,
                "published_at": _or_null(_TIME),
                "seconds": _object({"training": _SECONDS, "scoring": _SECONDS, "publishing": _SECONDS}),
                "validation_dsc": _ref("Figure"),
                "per_label": {"type": "object", "additionalProperties": _ref("Figure")},
                "accepted": _ref("Figure"),
                "message": _TEXT,
            }
        ),
        "Versions": _object({"versions": _list("Version")}),
        "Estimate": _object({"dsc": _SHARE, "margin": _or_null(_SHARE)}),
        "Estimates": _object({"version": _or_null(_TEXT), "estimates": _list("Estimate")}),
        "NextImage": _object(
            {
                "task": {"type": "integer"},
                "score": _or_null(_SHARE),
                "estimated_dsc": _or_null(_SHARE),
                "margin": _or_null(_SHARE),
                "blank": _BOOLEAN,
                "hidden": _BOOLEAN,
                "error": _or_null(_TEXT),
                "link": _TEXT,
            }
        ),
        "NextImages": _object({"images": _list("NextImage")}),
        "Region": {
            **_object(
                {
                    "given": _or_null(_TEXT),
                    "seen": _or_null(_TEXT),
                    "pixels": _COUNT,
                    "certainty": _SHARE,
                    "box": {"type": "array", "items": _COUNT, "minItems": 4, "maxItems": 4},
                }
            ),
            "description": "Where a label and the network differ: their labels (null: none), and the box "
            "(left, top, right, bottom) in pixels of the image.",
        },
        "SuspiciousLabel": _object(
            {
                "task": {"type": "integer"},
                "annotation": {"type": "integer"},
                "score": _SHARE,
                "reason": _TEXT,
                "regions": _list("Region"),
                "shift": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                "version": _TEXT,
                "examined_at": _TIME,
                "link": _TEXT,
            }
        ),
        "SuspiciousLabels": _object(
            {"examined": _COUNT, "progress": _TEXT, "labels": _list("SuspiciousLabel")}
        ),
        "Job": _object(
            {
                "id": _TEXT,
                "kind": _TEXT,
                "state": {"enum": ["running", "waiting", "scheduled", "failed"]},
                "since": _or_null(_TIME),
                "reason": _TEXT,
            }
        ),
        "Jobs": _object({"jobs": _list("Job"), "problem": _or_null(_ref("Problem"))}),
        "Action": _object(
            {
                "id": _COUNT,
                "project": _or_null({"type": "integer"}),
                "action": {"enum": [*ActionKind]},
                "target": _TEXT,
                "who": _TEXT,
                "via": _TEXT,
                "state": {"enum": [*ActionState]},
                "outcome": _TEXT,
                "created_at": _TIME,
                "ended_at": _or_null(_TIME),
            }
        ),
        "Actions": _object({"actions": _list("Action")}),
        "Request": {
            "anyOf": [
                _object({"action": {"enum": on_target}, "target": _target(least=1)}),
                _object({"action": {"enum": on_project}, "target": _target(least=0)}, optional=("target",)),
            ]
        },
    }
