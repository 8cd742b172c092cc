"""Findings: the results that checks report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of a finding; only a fault keeps the installation from working."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """A result of a check, as `dsal doctor` prints it.

    Attributes:
        name: the check, such as "webhook".
        state: whether all is well.
        sentence: what was found.
        cure: how to fix it; empty if there is nothing to fix.
        project: Label Studio's id of the project; None for what all projects share.
    """

    name: str
    state: State
    sentence: str
    cure: str = ""
    project: int | None = None


@dataclass(frozen=True)
class Verdict:
    """A result as the check itself returns it, without the check's name and the project."""

    state: State
    sentence: str
    cure: str = ""


def ok(sentence: str) -> Verdict:
    """All is well."""
    return Verdict(State.OK, sentence)


def warning(sentence: str, cure: str = "") -> Verdict:
    """It works, but probably not as the user expects."""
    return Verdict(State.WARNING, sentence, cure)


def fault(sentence: str, cure: str) -> Verdict:
    """It keeps the installation from working."""
    return Verdict(State.FAULT, sentence, cure)


def one_line(message: object) -> str:
    """A message as one line without its final mark, to be quoted in a sentence."""
    return " ".join(str(message).split()).rstrip(".?!")
