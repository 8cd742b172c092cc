"""A failed training is tried again if waiting may help, at growing intervals."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn import failures
from ml_backend.learn.examples import ImagesAwayError
from model.training.settings import TrainingError


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (LabelStudioError("It does not answer.", status=None), True),
        (LabelStudioError("Bad gateway.", status=502), True),
        (LabelStudioError("The token is not accepted.", status=401), False),
        (ImagesAwayError("No image could be read."), True),
        (TrainingError("The loss is not finite."), False),
        (KeyError("data"), False),
    ],
)
def test_what_passes_by_itself_is_temporary(error: Exception, temporary: bool) -> None:
    assert failures.is_temporary(error) is temporary


def test_an_unexpected_error_is_named_by_its_class() -> None:
    assert failures.sentence(KeyError("data")) == "KeyError: 'data'"
    assert failures.sentence(TrainingError("The loss is not finite.")) == "The loss is not finite."


def test_waits_double_with_each_request_that_fails_up_to_a_day() -> None:
    ends_of_requests = range(
        failures.RUNS_PER_REQUEST, 20 * failures.RUNS_PER_REQUEST, failures.RUNS_PER_REQUEST
    )
    waits = [failures.wait_after(runs) for runs in ends_of_requests]
    assert waits[:3] == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)]
    assert waits[-1] == timedelta(days=1)
