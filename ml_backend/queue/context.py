"""The context of a job: settings and connections, opened when the job starts and closed when it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ml_backend.items import OutsideFault
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig, parse
from ml_backend.label_studio.images.downloads import Downloader
from ml_backend.label_studio.images.hosts import ImageHosts
from ml_backend.label_studio.images.places import Places
from ml_backend.label_studio.images.reader import ImageReader
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import assignments, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import VersionState
from ml_backend.store.weights import WeightStore

logger = logging.getLogger(__name__)


class JobError(OutsideFault, RuntimeError):
    """A job failed for a reason that a retry does not change; the message is one sentence that says why."""


@dataclass(frozen=True)
class Context:
    """Settings, and access to Label Studio, the database, the weights, the queues and the images."""

    settings: Settings
    label_studio: LabelStudio
    database: Database
    weights: WeightStore
    queues: JobQueues
    images: ImageReader

    def is_active(self, project_id: int) -> bool:
        """Whether the project is in the database and not archived."""
        with self.database.read() as session:
            return projects.is_active(session, project_id)

    def is_scored_now(self, project_id: int) -> bool:
        """Whether jobs score a version of the project now; a newer one must not overtake it."""
        with self.database.read() as session:
            unfinished = {
                version.id: scores.unfinished_chunks(session, version.id)
                for version in versions.of_project(session, project_id)
                if version.state is VersionState.SCORING
            }
        return any(self.queues.is_scored_now(version, chunks) for version, chunks in unfinished.items())

    def request_assignment(self, project_id: int) -> None:
        """Request an assignment of tasks if the project has several annotators, or its view shows a batch."""
        with self.database.read() as session:
            assigned = assignments.are_needed(session, project_id)
        if assigned:
            self.queues.request_assignment(project_id)

    def request_notice_to_stop(self, project_id: int) -> None:
        """Request a look at whether it is time to stop, if anybody wants to be told."""
        if self.settings.notify_url.get_secret_value():
            self.queues.request_notice_to_stop(project_id)

    def read_config(self, project_id: int) -> LabelConfig:
        """Read the project's labeling config from Label Studio, and update the database with it.

        If it has changed, a new order is requested: the webhook that reports the change then finds it known.

        Raises:
            LabelConfigError: it has no usable tag for masks.
            LabelStudioError: the project cannot be read.
        """
        fields = self.label_studio.project(project_id)
        with self.database.write() as session:
            project = projects.ensure(session, project_id, seed=self.settings.seed)
            project.title = fields["title"]
            was_known = bool(project.label_config)
            has_changed = projects.set_label_config(session, project, fields["label_config"])
        if was_known and has_changed:
            self.queues.request_order(project_id)
        return parse(fields["label_config"])


@contextmanager
def open_context(label_studio: LabelStudio | None = None) -> Iterator[Context]:
    """Open the context of a job, configured from the environment of the worker that runs it.

    Args:
        label_studio: of a command that was given another address or token; None takes those of the settings.

    Raises:
        JobError: LABEL_STUDIO_API_KEY is empty.
    """
    settings = Settings()
    token = settings.label_studio_api_key.get_secret_value()
    if label_studio is None and not token:
        raise JobError("The worker has no LABEL_STUDIO_API_KEY; set it to a personal access token.")
    label_studio = label_studio or LabelStudio(
        settings.label_studio_url, token, timeout=settings.http_timeout
    )
    database = Database(settings.effective_database_url)
    client = connect_redis(settings)
    try:
        yield Context(
            settings,
            label_studio,
            database,
            WeightStore(settings.effective_store_url, settings.weights_cache_dir),
            JobQueues(client),
            image_reader(settings, label_studio),
        )
    finally:
        client.close()
        database.close()


def image_reader(
    settings: Settings,
    label_studio: LabelStudio,
    *,
    here: int | None = None,
    places: Places | None = None,
) -> ImageReader:
    """An image reader with the configured limits on bytes, pixels, seconds and cache size.

    For `here` and `places` see `ImageReader`.
    """
    download = Downloader(
        label_studio.credentials,
        hosts=ImageHosts.parse(settings.image_hosts),
        seconds=settings.http_timeout,
        max_bytes=settings.max_image_bytes,
    )
    return ImageReader(
        download,
        label_studio.url,
        settings.image_cache_dir,
        settings.cache_bytes,
        settings.max_image_pixels,
        here,
        places,
    )
