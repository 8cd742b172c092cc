"""Notices: a small JSON message to NOTIFY_URL: a version is published, a training failed, it is time to stop.

A job sends them, so nobody waits for them. The message says nothing that is secret: no address, no token, no
image. Cloud metadata addresses are refused, as for images, and so are redirects.
"""

from __future__ import annotations

import logging
from typing import Any

import requests

from ml_backend.label_studio.images.guard import guarded_session
from ml_backend.label_studio.images.hosts import HostRefusedError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context, JobError
from ml_backend.queue.jobs import job
from ml_backend.store import projects, versions
from ml_backend.store.models import Project, TrainingRun, Version, now
from ml_backend.store.outlook import Outlook, outlook
from model.quality import MIN_IMAGES

logger = logging.getLogger(__name__)

SECONDS = 10.0
"""Time limit to connect, and of each read."""


@job(kinds.NOTIFY)
def notify(
    context: Context,
    version_id: int | None = None,
    run_id: int | None = None,
    project_id: int | None = None,
) -> None:
    """Send one notice: of a published version, of a failed training, or that it is time to stop.

    Args:
        context: of the job.
        version_id: a version that is published.
        run_id: a training that failed.
        project_id: a project of which it may be time to stop.

    Raises:
        JobError: the address is refused.
        NoticeError: it does not answer, or answers with an error; the queue tries again.
    """
    if project_id is not None:
        tell_to_stop(context, project_id)
        return
    address = context.settings.notify_url.get_secret_value()
    with context.database.read() as session:
        version = None if version_id is None else session.get(Version, version_id)
        run = None if run_id is None else session.get(TrainingRun, run_id)
        known = version or run
        project = None if known is None else session.get(Project, known.project_id)
    if not address or project is None:
        return
    if version is not None:
        send(address, of_version(project, version))
    elif run is not None:
        send(address, of_failure(project, run))


def tell_to_stop(context: Context, project_id: int) -> bool:
    """Tell that it is time to stop, if it is and nobody was told; returns whether this call told it.

    It is told once, however many rounds agree, and again only after a round that did not. What was told is
    recorded afterwards: a kill in between tells it twice, rather than never.

    Raises:
        JobError, NoticeError: see `notify`.
    """
    address = context.settings.notify_url.get_secret_value()
    with context.database.read() as session:
        project = projects.get(session, project_id)
        if project is None or project.archived_at is not None or not address:
            return False
        found = outlook(session, project_id, versions.published(session, project_id))
    was_told = project.told_to_stop_at is not None
    if found.is_time_to_stop == was_told:
        return False
    if found.is_time_to_stop:
        send(address, of_stop(project, found))
    with context.database.write() as session:
        session.get_one(Project, project_id).told_to_stop_at = now() if found.is_time_to_stop else None
    return found.is_time_to_stop


def of_stop(project: Project, found: Outlook) -> dict[str, Any]:
    """The notice that it is time to stop."""
    return {
        "text": f"{_named(project)}: {found.sentence()}.",
        "event": "time-to-stop",
        "project": project.id,
    }


def of_version(project: Project, version: Version) -> dict[str, Any]:
    """The notice that a version is published."""
    dsc, images = version.metrics.get("validation_dsc"), version.metrics.get("validation_images", 0)
    quality = "there are too few validation images to tell how good it is"
    if dsc is not None and images >= MIN_IMAGES:
        quality = f"validation DSC {dsc:.3f} on {images} images"
    return {
        "text": f"{_named(project)}: {version.name} is published, from {version.labels_used} labels; "
        f"{quality}.",
        "event": "version-published",
        "project": project.id,
        "version": version.name,
    }


def of_failure(project: Project, run: TrainingRun) -> dict[str, Any]:
    """The notice that a training failed; its reason is on the page, as it may name addresses."""
    return {
        "text": f"{_named(project)}: a training failed; the page of the ML backend says why.",
        "event": "training-failed",
        "project": project.id,
        "run": run.id,
    }


def send(address: str, message: dict[str, Any]) -> None:
    """Post a message.

    Raises:
        JobError: the address is refused.
        NoticeError: see `notify`.
    """
    with guarded_session() as session:
        try:
            answer = session.post(address, json=message, timeout=SECONDS, allow_redirects=False)
        except HostRefusedError as error:
            raise JobError(f"NOTIFY_URL is refused: {error}.") from error
        except requests.RequestException as error:
            # The text of the error contains the address, which may contain a secret.
            raise NoticeError(f"NOTIFY_URL does not answer ({type(error).__name__}).") from None
    if not answer.ok or answer.is_redirect:
        raise NoticeError(f"NOTIFY_URL answers {answer.status_code}.")


class NoticeError(RuntimeError):
    """The notice was not taken; the queue tries again."""


def _named(project: Project) -> str:
    return f"Project {project.id} “{project.title}”" if project.title else f"Project {project.id}"
