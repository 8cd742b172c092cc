"""What a job works with, opened when it starts and closed when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig, LabelConfigError, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.images.reader import ImageReader
from ml_backend.queue.queues import JobQueues, connect_redis
from ml_backend.settings import Settings
from ml_backend.store import assignments, projects
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore, WeightStoreError

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")


class JobError(RuntimeError):
    """A job that cannot do its work, however often it is tried; one sentence that says why."""


FINAL = (JobError, LabelConfigError, WeightStoreError)
"""What only a person can mend: trying the job again would fail again."""

GONE = 404
"""What Label Studio answers for a project that was deleted, or that the token's owner may not see."""


def job(work: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make a job of a function: a fault that only a person can mend is logged, not tried again."""

    @wraps(work)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            work(*args, **kwargs)
        except FINAL as error:
            logger.error("%s %s: %s", work.__name__, kwargs, error)
        except LabelStudioError as error:
            if error.status != GONE:
                raise
            logger.error("%s %s: %s", work.__name__, kwargs, error)

    return run


@dataclass(frozen=True)
class Context:
    """The settings and the ways to Label Studio, the database, the weights and the queues."""

    settings: Settings
    label_studio: LabelStudio
    database: Database
    weights: WeightStore
    queues: JobQueues
    images: ImageReader

    def is_active(self, project_id: int) -> bool:
        """Whether anything is to be done for the project: it is known here and not archived."""
        with self.database.read() as session:
            return projects.is_active(session, project_id)

    def request_deal(self, project_id: int) -> None:
        """Ask to fill the hands of the project's annotators, if it has several."""
        with self.database.read() as session:
            dealt = assignments.is_dealt(session, project_id)
        if dealt:
            self.queues.request_deal(project_id)

    def read_config(self, project_id: int) -> LabelConfig:
        """The project's labeling config as Label Studio has it now; the database is brought up to date.

        Raises:
            LabelConfigError: nothing in it can be drawn with.
            LabelStudioError: the project cannot be read.
        """
        fields = self.label_studio.project(project_id)
        with self.database.write() as session:
            project = projects.ensure(session, project_id, seed=self.settings.seed)
            project.title = fields["title"]
            projects.set_label_config(session, project, fields["label_config"])
        return parse(fields["label_config"])


@contextmanager
def open_context() -> Iterator[Context]:
    """Open everything a job needs, configured from the environment of the worker that runs it."""
    settings = Settings()
    if not settings.label_studio_api_key.get_secret_value():
        raise JobError("The worker has no LABEL_STUDIO_API_KEY; set it to a personal access token.")
    label_studio = LabelStudio(
        settings.label_studio_url,
        settings.label_studio_api_key.get_secret_value(),
        timeout=settings.http_timeout,
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
            ImageReader.from_settings(settings, label_studio),
        )
    finally:
        client.close()
        database.close()
