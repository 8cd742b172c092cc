"""What the page and the API say of a project: quality, versions, next images, agreement, actions, jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfigError
from ml_backend.label_studio.config import parse as parse_config
from ml_backend.page import health, progress
from ml_backend.page.figures import Figure, accepted, overall, per_label
from ml_backend.page.health import Problem
from ml_backend.page.pictures import COLOURS
from ml_backend.page.progress import Progress
from ml_backend.queue.listing import ListedJob, listed_jobs
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import (
    agreements,
    edits,
    events,
    examinations,
    labels_seen,
    projects,
    runs,
    scores,
    suspicious,
    versions,
)
from ml_backend.store.edits import Help
from ml_backend.store.models import ExaminedLabel, Project, Score, TrainingRun, Version, VersionState
from model.strategies import parse

NEXT_IMAGES = 12
"""Images that the page shows as the next ones."""

LEAST_AGREED = 8
"""Tasks with the lowest agreement that the page lists."""

LOOKED_AT = 20
"""Suspicious labels that the page lists."""

LATEST_RUNS = 8
"""Trainings that the page lists."""


@dataclass(frozen=True)
class Summary:
    """A project in the list of projects."""

    project: Project
    progress: Progress
    problems: list[Problem]
    published: Version | None
    dsc: Figure
    labels: int
    changes: int


@dataclass(frozen=True)
class VersionRow:
    """A version with its figures.

    Attributes:
        parent: the version it was made from; None if that is not known.
        is_again: whether it has the very weights of its parent.
        changed: what differs from its parent, in words.
        helped: how its masks helped annotators; None if none was used.
    """

    version: Version
    parent: Version | None
    is_again: bool
    dsc: Figure
    labels: dict[str, Figure]
    helped: Help | None
    accepted: Figure
    changed: str

    @property
    def can_be_published(self) -> bool:
        """Whether publishing it would change anything."""
        in_use = self.version.state in (VersionState.PUBLISHED, VersionState.SCORING)
        return self.version.weights_hash is not None and not in_use

    @property
    def can_be_deleted(self) -> bool:
        """Whether its weights may be deleted."""
        return self.can_be_published and not self.version.kept

    @property
    def kind(self) -> str:
        """Its state, for people."""
        return {"superseded": "former"}.get(self.version.state.value, self.version.state.value)


@dataclass(frozen=True)
class NextImage:
    """One of the next images; `link` opens its task in Label Studio."""

    score: Score
    link: str


def summary(session: Session, settings: Settings, project: Project) -> Summary:
    """A project in short."""
    version = versions.published(session, project.id)
    return Summary(
        project,
        progress.of_project(session, settings, project),
        list(health.of_project(session, project)),
        version,
        Figure(None, None, None, 0) if version is None else overall(version),
        labels_seen.count(session, project.id),
        events.pending(session, project.id).changes,
    )


def summaries(session: Session, settings: Settings) -> list[Summary]:
    """All projects in short, archived ones last."""
    found = [summary(session, settings, project) for project in projects.all_projects(session)]
    return sorted(found, key=lambda one: (one.project.archived_at is not None, one.project.id))


def version_rows(session: Session, project_id: int) -> list[VersionRow]:
    """All versions of a project with their figures, newest first."""
    listed = versions.of_project(session, project_id)
    by_id = {version.id: version for version in listed}
    helps = edits.helps(session, project_id)
    rows = []
    for version in listed:
        parent = by_id.get(version.parent_id or 0)
        is_again = versions.is_published_again(session, version)
        helped = helps.get(version.name)
        rows.append(
            VersionRow(
                version,
                parent,
                is_again,
                overall(version),
                per_label(version),
                helped,
                accepted(helped),
                _changed(version, parent, is_again=is_again),
            )
        )
    return rows


def _changed(version: Version, parent: Version | None, *, is_again: bool) -> str:
    """What made a version differ from the one it was made from."""
    if is_again and parent is not None:
        return version.message or f"the weights of {parent.name} again"
    if version.round == 0:
        return "initial weights" if version.weights_hash else "random order, no weights yet"
    start = "trained from scratch" if parent is None else f"trained on from {parent.name}"
    more = version.labels_used - (0 if parent is None else parent.labels_used)
    count = f", {more:+d} labels" if parent is not None else f" on {version.labels_used} labels"
    return f"{start}{count}"


def next_images(session: Session, settings: Settings, project: Project, limit: int) -> list[NextImage]:
    """The next images in the order of the published version, without those known to be labelled."""
    version = versions.published(session, project.id)
    if version is None:
        return []
    labelled = labels_seen.labelled_tasks(session, project.id) | events.tasks_annotated(session, project.id)
    rows = scores.next_in_order(
        session,
        version.id,
        highest_first=parse(version.strategy).highest_first,
        without=labelled,
        limit=limit,
    )
    return [NextImage(row, link(settings, project.id, row.task_id)) for row in rows]


def link(settings: Settings, project_id: int, task_id: int) -> str:
    """Where a person opens a task in Label Studio."""
    return f"{browser_root(settings)}/projects/{project_id}/data?task={task_id}"


def browser_root(settings: Settings) -> str:
    """The address at which people open Label Studio, without a slash at its end."""
    return (settings.label_studio_public_url or settings.label_studio_url).rstrip("/")


@dataclass(frozen=True)
class SuspiciousLabel:
    """A label to look at again.

    Attributes:
        label: what was found.
        link: opens its task in Label Studio.
        stamp: changes with its picture; empty without one.
    """

    label: ExaminedLabel
    link: str
    stamp: str


def again(session: Session, settings: Settings, project: Project) -> dict[str, Any] | None:
    """The labels to look at again, the most suspicious first; None if no examination ever began."""
    examined, extent = suspicious.count(session, project.id), examinations.extent(session, project)
    if not examined and extent is None:
        return None
    listed = suspicious.listed(session, project.id)
    pictured = suspicious.pictured(session, project.id)
    rows = [
        SuspiciousLabel(
            one,
            link(settings, project.id, one.task_id),
            f"{one.examined_at:%y%m%d%H%M%S}" if one.annotation_id in pictured else "",
        )
        for one in listed[:LOOKED_AT]
    ]
    return {
        "examined": examined,
        "extent": extent,
        "rows": rows,
        "more": max(0, len(listed) - LOOKED_AT),
        "legend": _legend(project),
    }


def _legend(project: Project) -> list[tuple[str, str]]:
    """Name and colour of each label; none if there is only one."""
    try:
        labels = parse_config(project.label_config).labels
    except LabelConfigError:
        return []
    colours = [f"#{bytes(COLOURS[place % len(COLOURS)]).hex()}" for place in range(len(labels))]
    return list(zip(labels, colours, strict=True)) if len(labels) > 1 else []


def agreement(session: Session, settings: Settings, project_id: int) -> dict[str, Any] | None:
    """Agreement of annotators: mean, number of tasks, and the tasks with the lowest; None without any."""
    known = agreements.summaries(session).get(project_id)
    if known is None:
        return None
    lowest = [
        {
            "task": task,
            "annotators": one.annotators,
            "dsc": one.dsc,
            "link": link(settings, project_id, task),
        }
        for task, one in agreements.lowest(session, project_id, LEAST_AGREED).items()
    ]
    return {"dsc": known.dsc, "tasks": known.tasks, "lowest": lowest}


def latest_runs(session: Session, project_id: int) -> list[TrainingRun]:
    """The latest trainings, newest first."""
    return runs.of_project(session, project_id)[:LATEST_RUNS]


def jobs_of(
    session: Session, queues: JobQueues, project_id: int | None
) -> tuple[list[ListedJob], Problem | None]:
    """The jobs of a project (all if None), and those of none; and the problem if Redis does not answer."""
    try:
        jobs = listed_jobs(queues)
    except RedisError:
        return [], Problem("Redis does not answer, so the jobs are not known.", "Start Redis.")
    if project_id is None:
        return jobs, None
    mine = {version.id for version in versions.of_project(session, project_id)}
    return [job for job in jobs if _concerns(job, project_id, mine)], None


def _concerns(job: ListedJob, project_id: int, version_ids: set[int]) -> bool:
    project, version = job.arguments.get("project_id"), job.arguments.get("version_id")
    if project is None and version is None:
        return True
    return project == project_id or version in version_ids


def accepted_over_time(rows: Sequence[VersionRow]) -> list[VersionRow]:
    """Versions whose masks annotators used, oldest first."""
    return [row for row in reversed(rows) if row.helped is not None and row.helped.shown]


def ago(moment: datetime | None, present: datetime) -> str:
    """How long ago something was, in words: "12 s ago", "3 h ago"; "–" for never."""
    if moment is None:
        return "–"
    seconds = max(0.0, (present - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
