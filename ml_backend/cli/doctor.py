"""The command that finds out why a set-up does not work: `doctor`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from ml_backend.cli.console import answers
from ml_backend.cli.exits import WrongUseError
from ml_backend.settings import Settings, former_names

if TYPE_CHECKING:
    from rich.console import Console

    from ml_backend.doctor import Finding

FAULT_FOUND = 1
SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red"), "skipped": ("–", "dim")}
NAME_WIDTH = 18


def doctor(
    project: Annotated[
        int | None,
        typer.Option("--project", metavar="N", help="Look at this project only, connected or not."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="This service's address as Label Studio reaches it, where Label Studio does not list it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find out what keeps a set-up from working: one line a thing, each fault with its cure.

    It looks at Label Studio, at each connected project (Label Studio is asked to call this service back), at
    Redis, the workers, the database and the weights, and at this machine. Run it where `dsal serve` runs, and
    where each worker does. It changes nothing; one small file is written into the store and deleted again.

    The exit status is 0 if there is no fault, warnings allowed, else 1.

    Examples: `dsal doctor`, `dsal doctor --project 3 --backend http://dsal.backend:9090`
    """
    from ml_backend.doctor import Installation, check_installation, is_healthy

    if backend is not None and not backend.startswith(("http://", "https://")):
        raise WrongUseError(
            f'--backend must be an address such as http://dsal.backend:9090, unlike "{backend}".'
        )
    settings, wrong = _read_settings()
    installation = Installation(
        settings, tuple(wrong), backend, project, former_names=tuple(former_names(os.environ))
    )
    console = answers()
    found: list[Finding] = []
    for finding in check_installation(installation):
        if not as_json:
            _print(console, finding, found[-1] if found else None)
        found.append(finding)
    if as_json:
        console.print(_as_json(found), soft_wrap=True, markup=False)
    else:
        _sum_up(console, found)
    if not is_healthy(found):
        raise typer.Exit(FAULT_FOUND)


def _read_settings() -> tuple[Settings, list[str]]:
    """The settings, and a sentence for each wrong one, which is taken at its default."""
    from ml_backend.cli.exits import setting_fault

    defaults: dict[str, Any] = {}
    sentences: list[str] = []
    while True:
        try:
            return Settings(**defaults), sentences
        except ValidationError as error:
            wrong = error.errors()
            for fault in wrong:
                sentences.append(f"{setting_fault(fault)}.")
                for name in _named(fault):
                    defaults[name] = Settings.model_fields[name].get_default(call_default_factory=True)


def _named(fault: Any) -> list[str]:
    """The settings that a fault is about; one of several together names them in its sentence."""
    if fault["loc"]:
        return [str(fault["loc"][0])]
    words = re.findall(r"[A-Z][A-Z_]+", fault["msg"])
    return [word.lower() for word in words if word.lower() in Settings.model_fields]


def _print(console: Console, finding: Finding, former: Finding | None) -> None:
    """One finding as one line, below a heading where a project begins or ends."""
    if former is not None and finding.project != former.project:
        heading = "This service" if finding.project is None else f"Project {finding.project}"
        console.print(f"\n{heading}", style="bold")
    sign, colour = SIGNS[finding.state]
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=NAME_WIDTH)
    line.add_column()
    said = Text(finding.sentence, style="dim" if finding.state == "skipped" else "")
    if finding.cure:
        said.append(f" → {finding.cure}", style=colour)
    line.add_row(Text(sign, style=colour), Text(finding.name), said)
    console.print(line)


def _sum_up(console: Console, found: Sequence[Finding]) -> None:
    faults = sum(finding.state == "fault" for finding in found)
    warnings = _count(sum(finding.state == "warning" for finding in found), "warning")
    if faults:
        console.print(f"\n{_count(faults, 'fault')}, {warnings}: mend the first one first.")
    else:
        console.print(f"\nNo fault, {warnings}.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _as_json(found: Sequence[Finding]) -> str:
    from ml_backend.doctor import is_healthy

    content = {"healthy": is_healthy(found), "findings": [dataclasses.asdict(one) for one in found]}
    return json.dumps(content, indent=2, ensure_ascii=False)
