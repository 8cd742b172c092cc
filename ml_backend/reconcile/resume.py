"""Work that the database shows as unfinished and that has no job: requested again."""

from __future__ import annotations

from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.learn.trigger import consider
from ml_backend.queue.kinds import EXAMINE, ORDER, TRAINING
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import assignments, examinations, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, ProjectState, VersionState


def resume_trainings(settings: Settings, database: Database, queues: JobQueues) -> int:
    """Request trainings for pending events and abandoned runs; returns the number of new jobs.

    A training that is being executed considers the events that remain at its end.
    """
    with database.read() as session:
        active = {project.id for project in projects.active(session)}
    idle = sorted(active - queues.executing(TRAINING))
    return sum(consider(database, queues, settings, project_id) for project_id in idle)


def resume_orders(database: Database, queues: JobQueues) -> int:
    """Request every unfinished order, scoring and publication; returns the number of new jobs."""
    with database.read() as session:
        active = {one.id: one for one in projects.active(session)}
        scoring = {
            version.id: (scores.count(session, version.id), scores.unfinished(session, version.id))
            for version in versions.in_state(session, VersionState.SCORING)
            if version.project_id in active
        }
    requested, ordering = 0, queues.executing(ORDER)
    for project in active.values():
        if project.id in ordering:
            continue
        if project.state is ProjectState.NEW and _can_be_ordered(project):
            requested += queues.request_order(project.id)
    for version_id, (counted, unfinished) in scoring.items():
        if queues.plans_scores(version_id):
            continue
        if sum(counted.values()):
            requested += queues.request_next_step(version_id, unfinished)
        else:
            requested += queues.request_score_version(version_id)
    return requested


def resume_rest(database: Database, queues: JobQueues) -> None:
    """Request the scores that published versions still have from former ones, unless a job computes them.

    That may be work that waits for images or for open tasks, so it does not count as a job that was missing.
    """
    with database.read() as session:
        active = {one.id for one in projects.active(session)}
        scoring = {version.project_id for version in versions.in_state(session, VersionState.SCORING)}
        due = [
            version.id
            for version in versions.in_state(session, VersionState.PUBLISHED)
            if version.project_id in active - scoring and scores.due(session, version.id)
        ]
    for version_id in due:
        if not queues.locks.is_locked(queues.due_name(version_id)):
            queues.request_score_due(version_id)


def resume_examinations(settings: Settings, database: Database, queues: JobQueues) -> None:
    """Request the examination of labels where it is due, unless there is anything else to do."""
    if not settings.examine_from or not queues.is_idle(EXAMINE):
        return
    with database.read() as session:
        due = [
            project.id
            for project in projects.active(session)
            if examinations.is_due(session, project, settings.examine_from)
        ]
    for project_id in due:
        queues.request_examination(project_id)


def resume_assignments(database: Database, queues: JobQueues) -> None:
    """Request an assignment for each active project with several annotators, or whose view shows a batch.

    People may have labelled all of their tasks while no worker was running.
    """
    with database.read() as session:
        several = set(assignments.projects_with_annotators(session))
        shown = {project.id for project in projects.showing_batches(session)}
        assigned = [one.id for one in projects.active(session) if one.id in several | shown]
    for project_id in assigned:
        queues.request_assignment(project_id)


def _can_be_ordered(project: Project) -> bool:
    """Whether a first order may succeed.

    A labeling config without a usable tag needs a person, not another job; its change requests an order.
    """
    if not project.label_config:
        return True
    try:
        parse(project.label_config)
    except LabelConfigError:
        return False
    return True
