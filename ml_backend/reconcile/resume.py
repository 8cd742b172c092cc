"""Work that the database says is unfinished, and that has no job: requested again when a worker starts."""

from __future__ import annotations

from ml_backend.learn.trigger import consider
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import assignments, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import ProjectState, ScoreState, VersionState


def resume_trainings(settings: Settings, database: Database, queues: JobQueues) -> int:
    """Ask for the trainings that events or abandoned runs call for; returns the number of new jobs."""
    with database.read() as session:
        known = [project.id for project in projects.active(session)]
    return sum(consider(database, queues, settings, project_id) for project_id in known)


def resume_orderings(database: Database, queues: JobQueues) -> int:
    """Ask for every first ordering, scoring and publication that the database says is unfinished.

    Returns the number of new jobs.
    """
    with database.read() as session:
        active = {one.id: one for one in projects.active(session)}
        scoring = {
            version.id: (scores.count(session, version.id), scores.unfinished_chunks(session, version.id))
            for version in versions.in_state(session, VersionState.SCORING)
            if version.project_id in active
        }
    asked = 0
    for project in active.values():
        if project.state is ProjectState.NEW:
            asked += queues.request_order(project.id)
    for version_id, (counted, chunks) in scoring.items():
        if not sum(counted.values()):
            asked += queues.request_score_version(version_id)
        elif chunks:
            asked += queues.request_chunks(version_id, chunks, again=True)
        elif counted[ScoreState.MEASURED]:
            asked += queues.request_rank(version_id)
        else:
            asked += queues.request_publish(version_id)
    return asked


def resume_deals(database: Database, queues: JobQueues) -> None:
    """Ask to fill the hands of several annotators, which others have emptied while no worker ran."""
    with database.read() as session:
        dealt = [
            number
            for number in assignments.projects_with_annotators(session)
            if projects.is_active(session, number)
        ]
    for project_id in dealt:
        queues.request_assignment(project_id)
