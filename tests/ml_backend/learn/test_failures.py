"""A failed training is tried again if waiting may help."""

from __future__ import annotations

import errno

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn import failures
from ml_backend.learn.examples import ImagesAwayError
from model.training.settings import TrainingError


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (LabelStudioError("It does not answer.", status=None), True),
        (LabelStudioError("Bad gateway.", status=502), True),
        (LabelStudioError("The token is not accepted.", status=401), True),
        (ImagesAwayError("No image could be read."), True),
        (TrainingError("The loss is not finite."), False),
        (OperationalError("SELECT 1", {}, OSError("The server has gone.")), True),
        (RedisConnectionError("Redis has gone."), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (MemoryError(), True),
        (LabelStudioError("What is that?", status=400), False),
        (KeyError("data"), False),
    ],
)
def test_what_passes_by_itself_is_temporary(error: Exception, temporary: bool) -> None:
    assert failures.is_temporary(error) is temporary


def test_an_unexpected_error_is_named_by_its_class() -> None:
    assert failures.sentence(KeyError("data")) == "KeyError: 'data'"
    assert failures.sentence(TrainingError("The loss is not finite.")) == "The loss is not finite."
