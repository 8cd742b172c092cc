"""The `@job` decorator, which registers the function that does a kind of job.

A queued job names its kind, not a function, so modules can move while jobs are waiting. Only the worker needs
the functions: `functions_in` imports the packages that define them, and `job_class` looks them up by name.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec

from rq import get_current_job
from rq.job import Job

from ml_backend.label_studio.config import LabelConfigError
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context, JobError, open_context
from ml_backend.queue.kinds import JobKind
from ml_backend.queue.patience import note_failure, seconds_until_retry
from ml_backend.store.weights import WeightStoreError

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")

FINAL = (JobError, LabelConfigError, WeightStoreError)
"""Errors that only a person can resolve; a retry would fail again."""

KIND = "job_kind"
"""Attribute of a registered function that contains its kind."""

FORMER_NAMES: Mapping[str, JobKind] = MappingProxyType(
    {
        "ml_backend.jobs.start.run_start": kinds.ORDER,
        "ml_backend.jobs.score.run_score_new": kinds.SCORE_NEW,
        "ml_backend.jobs.score.run_score_version": kinds.SCORE_VERSION,
        "ml_backend.jobs.score.run_score_chunk": kinds.SCORE_CHUNK,
        "ml_backend.jobs.rank.run_rank_version": kinds.RANK,
        "ml_backend.jobs.publish.run_publish": kinds.PUBLISH,
        "ml_backend.jobs.again.run_score_again": kinds.RETRY_IMAGES,
        "ml_backend.jobs.deal.run_deal": kinds.ASSIGN,
        "ml_backend.jobs.reconcile.run_reconcile": kinds.RECONCILE,
        "ml_backend.jobs.train.run_training": kinds.TRAINING,
    }
)
"""Kinds by the function names in jobs that were queued before 2026-11-26."""


def job(
    kind: JobKind,
) -> Callable[[Callable[Concatenate[Context, Arguments], None]], Callable[Arguments, None]]:
    """Register a function that does the jobs of a kind.

    The function is called with an open `Context` and the job's arguments. An error that only a person can
    resolve is logged and ends the job; any other error is raised, and the queue retries the job
    (`ml_backend.queue.patience`).
    """

    def register(work: Callable[Concatenate[Context, Arguments], None]) -> Callable[Arguments, None]:
        @wraps(work)
        def perform(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
            try:
                with open_context() as context:
                    work(context, *args, **kwargs)
            except FINAL as error:
                logger.error("Job %s %s: %s", kind.name, kwargs, error)
            except Exception as error:
                if isinstance(error, LabelStudioError) and error.status == GONE:
                    logger.error("Job %s %s: %s", kind.name, kwargs, error)
                    return
                current = get_current_job()
                if current is not None:
                    note_failure(current, error)
                raise

        setattr(perform, KIND, kind)
        return perform

    return register


def functions_in(packages: Iterable[str]) -> dict[str, Callable[..., None]]:
    """Import all modules of these packages; returns their registered functions by the name of the kind."""
    found: dict[str, Callable[..., None]] = {}
    for name in packages:
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__, f"{name}."):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(kind := getattr(value, KIND, None), JobKind):
                    found[kind.name] = value
    return found


def job_class(functions: Mapping[str, Callable[..., None]]) -> type[Job]:
    """A subclass of RQ's job that looks up its function by the name of its kind or by a former name.

    It waits for passing faults to end (`ml_backend.queue.patience`).

    Any other name is imported, as RQ does.
    """

    class RegisteredJob(Job):
        def get_retry_interval(self) -> int:
            seconds = seconds_until_retry(self)
            return super().get_retry_interval() if seconds is None else max(1, round(seconds))

        @property
        def func(self) -> Any:
            name = self.func_name or ""
            kind = FORMER_NAMES.get(name)
            return functions.get(name if kind is None else kind.name) or super().func

    return RegisteredJob
