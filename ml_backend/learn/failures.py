"""Failures of training runs: the recorded sentence, whether they are temporary, when to try again."""

from __future__ import annotations

from datetime import timedelta

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.examples import ImagesAwayError
from ml_backend.queue.jobs import FINAL
from ml_backend.queue.kinds import RETRY_SECONDS
from model.training.settings import TrainingError
from model.weights import WeightsError

WITH_SENTENCE = (*FINAL, LabelStudioError, ImagesAwayError, WeightsError, TrainingError)
"""Errors whose text is a sentence; others are reported with the name of their class."""

FIRST_WAIT = timedelta(minutes=5)
"""Delay before a training that failed is requested again; it doubles with each further request that fails."""

LONGEST_WAIT = timedelta(days=1)

RUNS_PER_REQUEST = len(RETRY_SECONDS) + 1
"""Runs that one failing request makes, because the queue retries the job."""


def sentence(error: Exception) -> str:
    """The message of a run that failed with this error."""
    return str(error) if isinstance(error, WITH_SENTENCE) else f"{type(error).__name__}: {error}"


def is_temporary(error: Exception) -> bool:
    """Whether a training that failed with this error may succeed later without anyone's help.

    Temporary are a Label Studio that does not answer or answers with a server error, and images that cannot
    be reached.
    """
    if isinstance(error, LabelStudioError):
        return error.status is None or error.status >= 500
    return isinstance(error, ImagesAwayError)


def wait_after(failed_runs: int) -> timedelta:
    """Delay before a training is requested again after so many failed runs in a row (at least 1)."""
    doublings = min((failed_runs - 1) // RUNS_PER_REQUEST, 16)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)
