"""The command `doctor`, which finds out why an installation does not work."""

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

from ml_backend.cli.console import counted, output
from ml_backend.cli.exits import WrongUseError
from ml_backend.former_names import former_names
from ml_backend.queue.logs import printable
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from ml_backend.doctor import Finding

FAULT_FOUND = 1
SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red"), "skipped": ("–", "dim")}
NAME_WIDTH = 18


def doctor(
    project: Annotated[
        int | None,
        typer.Option("--project", metavar="N", help="Check only this project, connected or not."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="This service's address as Label Studio reaches it; needed only if Label Studio does not "
            "list it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the whole installation: one line per check, and for each fault how to fix it.

    It checks Label Studio; each connected project, for which it makes Label Studio call this service; Redis,
    the workers, the database and the weights; and this machine. Run it where `dsal serve` runs and on each
    worker's machine. It changes nothing, except that it writes and deletes a small file in the store.

    The exit status is 1 if there is a fault, else 0; warnings do not count.

    Examples: `dsal doctor`, `dsal doctor --project 3 --backend http://dsal.backend:9090`
    """
    from ml_backend.doctor import Installation, check_installation, is_healthy

    if backend is not None and not backend.startswith(("http://", "https://")):
        raise WrongUseError(
            f'--backend must be an address such as http://dsal.backend:9090, not "{backend}".'
        )
    settings, wrong = _read_settings()
    installation = Installation(
        settings, tuple(wrong), backend, project, former_names=tuple(former_names(os.environ))
    )
    console = output()
    found: list[Finding] = []
    for finding in check_installation(installation):
        if not as_json:
            _print(console, finding, found[-1] if found else None)
        found.append(finding)
    if as_json:
        console.print(_as_json(found), soft_wrap=True, markup=False)
    else:
        _print_summary(console, found)
    if not is_healthy(found):
        raise typer.Exit(FAULT_FOUND)


def _read_settings() -> tuple[Settings, list[str]]:
    """The settings, with the default for each invalid one, and a sentence about each of those."""
    from ml_backend.cli.exits import setting_fault

    defaults: dict[str, Any] = {}
    sentences: list[str] = []
    while True:
        try:
            return Settings(**defaults), sentences
        except ValidationError as error:
            for fault in error.errors():
                sentences.append(f"{setting_fault(fault)}.")
                for name in _named(fault):
                    defaults[name] = Settings.model_fields[name].get_default(call_default_factory=True)


def _named(fault: Any) -> list[str]:
    """The settings that an error is about; an error about several settings names them in its message."""
    if fault["loc"]:
        return [str(fault["loc"][0])]
    words = re.findall(r"[A-Z][A-Z_]+", fault["msg"])
    return [word.lower() for word in words if word.lower() in Settings.model_fields]


def _print(console: Console, finding: Finding, previous: Finding | None) -> None:
    """Print one finding, below a heading where the findings of another project begin."""
    if previous is not None and finding.project != previous.project:
        heading = "This service" if finding.project is None else f"Project {finding.project}"
        console.print(f"\n{heading}", style="bold")
    sign, colour = SIGNS[finding.state]
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=NAME_WIDTH)
    line.add_column()
    text = Text(printable(finding.sentence), style="dim" if finding.state == "skipped" else "")
    if finding.cure:
        text.append(f" → {finding.cure}", style=colour)
    line.add_row(Text(sign, style=colour), Text(finding.name), text)
    console.print(line)


def _print_summary(console: Console, found: Sequence[Finding]) -> None:
    faults = sum(finding.state == "fault" for finding in found)
    warnings = counted(sum(finding.state == "warning" for finding in found), "warning")
    if faults:
        console.print(f"\n{counted(faults, 'fault')}, {warnings}. Fix the first fault first.")
    else:
        console.print(f"\nNo faults, {warnings}.")


def _as_json(found: Sequence[Finding]) -> str:
    from ml_backend.doctor import is_healthy

    content = {"healthy": is_healthy(found), "findings": [dataclasses.asdict(one) for one in found]}
    return json.dumps(content, indent=2, ensure_ascii=False)
