"""What the doctor says: one finding a line, each with its cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a thing is; only a fault keeps the set-up from working."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is, such as "webhook".
        state: how it is.
        sentence: what was found.
        cure: what to do about it; empty where there is nothing to be done.
        project: the Label Studio project it belongs to, None for what all projects share.
    """

    name: str
    state: State
    sentence: str
    cure: str = ""
    project: int | None = None


@dataclass(frozen=True)
class Verdict:
    """A finding as a check makes it, before it is known under which name it is reported."""

    state: State
    sentence: str
    cure: str = ""


def ok(sentence: str) -> Verdict:
    """It is as it should be."""
    return Verdict(State.OK, sentence)


def warning(sentence: str, cure: str = "") -> Verdict:
    """It works, but something about it will surprise somebody."""
    return Verdict(State.WARNING, sentence, cure)


def fault(sentence: str, cure: str) -> Verdict:
    """It keeps the set-up from working."""
    return Verdict(State.FAULT, sentence, cure)


def one_line(said: object) -> str:
    """Anything printed, as one line without the mark at its end, to be quoted in a sentence."""
    return " ".join(str(said).split()).rstrip(".?!")
