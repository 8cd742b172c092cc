"""Failures of training runs: the recorded sentence, and whether they are temporary."""

from __future__ import annotations

from ml_backend.items import is_outside
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.examples import ImagesAwayError
from ml_backend.queue.jobs import FINAL
from model.training.settings import TrainingError
from model.weights import WeightsError

WITH_SENTENCE = (*FINAL, LabelStudioError, ImagesAwayError, WeightsError, TrainingError)
"""Errors whose text is a sentence; others are reported with the name of their class."""


def sentence(error: Exception) -> str:
    """The message of a run that failed with this error."""
    return str(error) if isinstance(error, WITH_SENTENCE) else f"{type(error).__name__}: {error}"


def is_temporary(error: Exception) -> bool:
    """Whether a training that failed with this error may succeed later, when a fault around it has ended.

    Temporary are a Label Studio that does not answer, answers with a server error or refuses the token, an
    export that breaks, images that cannot be reached, and a database, disk, memory or device that fails.
    """
    return not isinstance(error, FINAL) and is_outside(error)
