"""docker-compose.yml as Docker Compose reads it: merged and interpolated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"

VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


class MissingVariableError(ValueError):
    """A variable written `${NAME:?sentence}` is unset or empty; the message is `NAME: sentence`."""


def raw() -> dict[str, Any]:
    """The file after YAML merges, before interpolation."""
    document: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return document


def interpolated(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file interpolated with these variables, as Compose does it.

    An environment variable without a value is taken from `variables`, and left out if it is not there.
    """
    document: dict[str, Any] = _fill(raw(), variables)
    for service in document["services"].values():
        environment = service.get("environment", {})
        service["environment"] = {
            name: variables[name] if value is None else value
            for name, value in environment.items()
            if value is not None or name in variables
        }
    return document


def variables() -> dict[str, str | None]:
    """All variables that a user may set for the file, with the file's defaults, or None."""
    found: dict[str, str | None] = {}
    for match in VARIABLE.finditer(COMPOSE_FILE.read_text(encoding="utf-8")):
        if match["name"]:
            default = match["rest"] if match["kind"] == "-" else None
            found[match["name"]] = default if default is not None else found.get(match["name"])
    for service in raw()["services"].values():
        found.update({name: None for name, value in service.get("environment", {}).items() if value is None})
    return found


def required() -> dict[str, str]:
    """The variables that Compose requires, each with the sentence that it prints if one is missing."""
    matches = VARIABLE.finditer(COMPOSE_FILE.read_text(encoding="utf-8"))
    return {match["name"]: match["rest"] for match in matches if match["kind"] == "?"}


def _fill(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _fill(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, variables) for value in node]
    return VARIABLE.sub(lambda match: _value(match, variables), node) if isinstance(node, str) else node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    value = variables.get(match["name"], "")
    if value or match["kind"] is None:
        return value
    if match["kind"] == "?":
        raise MissingVariableError(f"{match['name']}: {match['rest']}")
    return str(match["rest"])
