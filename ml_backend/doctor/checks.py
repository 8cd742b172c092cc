"""The check as a whole: which checks there are, in which order, and what each stands on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ml_backend.doctor import access, callback, connected_project, infrastructure, machine
from ml_backend.doctor.finding import Finding, State, Verdict, fault, ok
from ml_backend.doctor.installation import ConnectedProject, Installation
from ml_backend.doctor.runner import Check, CheckRun
from ml_backend.store import projects

BEFORE: tuple[Check[Installation], ...] = (
    Check("settings", machine.look_at_settings),
    Check("Label Studio", access.look_at_address),
    Check("token", access.look_at_token, needs=("Label Studio",)),
)
PROJECT: tuple[Check[ConnectedProject], ...] = (
    Check("project", connected_project.look_at_project, needs=("token",)),
    Check("ML backend", callback.look_at_backend, needs=("project",), seconds=90.0),
    Check("call back", callback.look_at_call, needs=("ML backend",)),
    Check("address protection", callback.look_at_protection, needs=("project",)),
    Check("host name", callback.look_at_host, needs=("project", "address protection")),
    Check("webhook", connected_project.look_at_webhook, needs=("ML backend",)),
    Check("labeling config", connected_project.look_at_config, needs=("project",)),
    Check("view", connected_project.look_at_view, needs=("project",)),
    Check("sampling", connected_project.look_at_settings, needs=("project",)),
    Check("model version", connected_project.look_at_version, needs=("ML backend", "database")),
)


AFTER: tuple[Check[Installation], ...] = (
    Check("Redis", infrastructure.look_at_redis),
    Check("workers", infrastructure.look_at_workers, needs=("Redis",)),
    Check("queues", infrastructure.look_at_queues, needs=("Redis",)),
    Check("database", infrastructure.look_at_database),
    Check("store", infrastructure.look_at_store, seconds=60.0),
    Check("weights", infrastructure.look_at_weights, needs=("database", "store")),
    Check("device", machine.look_at_device, seconds=60.0),
    Check("engine", machine.look_at_engine, seconds=60.0),
    Check("disk", machine.look_at_disk),
)


def check_installation(installation: Installation) -> Iterator[Finding]:
    """Look at everything, in the order in which one thing stands on another, and yield what is found.

    Nothing is changed but a small file, written into the store of weights and deleted again. What was opened
    is closed at the end.
    """
    find_projects = Check("projects", _find_projects, needs=("database",))
    shared = CheckRun(installation, (*BEFORE, find_projects, *AFTER))
    try:
        for check in (*BEFORE, find_projects):
            yield from shared.of(check)
        for number in _numbers(installation):
            subject = ConnectedProject(installation, number)
            yield from CheckRun(subject, PROJECT, number, shared.stands).findings()
        for check in AFTER:
            yield from shared.of(check)
    finally:
        installation.close()


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether no fault is among the findings; warnings are allowed."""
    return all(finding.state is not State.FAULT for finding in findings)


def _find_projects(installation: Installation) -> Iterator[Verdict]:
    """Which projects are to be looked at."""
    number = installation.chosen
    known = _known(installation)
    if number is not None and number in _archived(installation):
        yield fault(
            f"Project {number} is archived: nothing is done for it.", f"Run dsal projects restore {number}."
        )
    elif number is not None and number not in known:
        yield fault(
            f"This service's database knows no project {number}: it was never connected.",
            f"Run dsal connect --project {number} --backend {installation.own_url}.",
        )
    elif not known:
        yield fault(
            "No project is connected.",
            f"Run dsal connect --project N --backend {installation.own_url} (N: the number in its address).",
        )
    else:
        shown = [number] if number is not None else known
        yield ok(f"Connected: {', '.join(map(str, shown))}.")


def _known(installation: Installation) -> list[int]:
    assert installation.database is not None
    with installation.database.read() as session:
        return [each.id for each in projects.active(session)]


def _archived(installation: Installation) -> list[int]:
    assert installation.database is not None
    with installation.database.read() as session:
        return [each.id for each in projects.all_projects(session) if each.archived_at is not None]


def _numbers(installation: Installation) -> list[int]:
    if installation.chosen is not None:
        return [installation.chosen]
    return [] if installation.database is None else _known(installation)
