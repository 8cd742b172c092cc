"""All checks, in their order and with the checks that each one needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ml_backend.doctor import access, callback, connected_project, infrastructure, interaction, machine
from ml_backend.doctor.finding import Finding, State, Verdict, fault, ok
from ml_backend.doctor.installation import ConnectedProject, Installation
from ml_backend.doctor.runner import Check, CheckRun
from ml_backend.store import projects

BEFORE: tuple[Check[Installation], ...] = (
    Check("settings", machine.check_settings),
    Check("Label Studio", access.check_address),
    Check("token", access.check_token, needs=("Label Studio",)),
)
PROJECT: tuple[Check[ConnectedProject], ...] = (
    Check("project", connected_project.check_project, needs=("token",)),
    Check("ML backend", callback.check_backend, needs=("project",), seconds=90.0),
    Check("call back", callback.check_call, needs=("ML backend",)),
    Check("address protection", callback.check_protection, needs=("project",)),
    Check("host name", callback.check_host, needs=("project", "address protection")),
    Check("webhook", connected_project.check_webhook, needs=("ML backend",)),
    Check("labeling config", connected_project.check_config, needs=("project",)),
    Check("prompts", interaction.check_prompts, needs=("ML backend", "labeling config")),
    Check("view", connected_project.check_view, needs=("project",)),
    Check("sampling", connected_project.check_settings, needs=("project",)),
    Check("model version", connected_project.check_version, needs=("ML backend", "database")),
    Check("masks", connected_project.check_masks, needs=("model version",)),
)
AFTER: tuple[Check[Installation], ...] = (
    Check("Redis", infrastructure.check_redis),
    Check("workers", infrastructure.check_workers, needs=("Redis",)),
    Check("queues", infrastructure.check_queues, needs=("Redis",)),
    Check("database", infrastructure.check_database),
    Check("store", infrastructure.check_store, seconds=60.0),
    Check("weights", infrastructure.check_weights, needs=("database", "store")),
    Check("device", machine.check_device, seconds=60.0),
    Check("engine", machine.check_engine, seconds=60.0),
    Check("disk", machine.check_disk),
)


def check_installation(installation: Installation) -> Iterator[Finding]:
    """Run all checks, each after those that it needs, and yield their findings.

    Changes nothing, except that it writes and deletes a small file in the store of weights. Closes at the end
    what it opened.
    """
    find_projects = Check("projects", _find_projects, needs=("database",))
    shared = CheckRun(installation, (*BEFORE, find_projects, *AFTER))
    try:
        for check in (*BEFORE, find_projects):
            yield from shared.of(check)
        for number in _project_numbers(installation):
            subject = ConnectedProject(installation, number)
            yield from CheckRun(subject, PROJECT, number, shared.passed).findings()
        for check in AFTER:
            yield from shared.of(check)
    finally:
        installation.close()


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether no fault is among the findings; warnings are allowed."""
    return all(finding.state is not State.FAULT for finding in findings)


def _find_projects(installation: Installation) -> Iterator[Verdict]:
    """Whether there are connected projects, or whether the chosen one is connected."""
    number = installation.chosen
    known = _known(installation)
    if number is not None and number in _archived(installation):
        yield fault(
            f"Project {number} is archived, so it is not served.", f"Run dsal projects restore {number}."
        )
    elif number is not None and number not in known:
        yield fault(
            f"Project {number} is not in this service's database: it was never connected.",
            f"Run dsal connect --project {number} --backend {installation.own_url}.",
        )
    elif not known:
        yield fault(
            "No project is connected.",
            f"Run dsal connect --project N --backend {installation.own_url} (N is the number in the "
            "project's address).",
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


def _project_numbers(installation: Installation) -> list[int]:
    if installation.chosen is not None:
        return [installation.chosen]
    return [] if installation.database is None else _known(installation)
