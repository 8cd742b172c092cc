"""What is the fault of one item, and what is not."""

from __future__ import annotations

import errno

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.timeouts import JobTimeoutException
from sqlalchemy.exc import DataError, OperationalError, StatementError

from ml_backend.items import contained, is_outside
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.label_feed import StoppedError
from ml_backend.queue.context import JobError
from ml_backend.store.runs import LeaseLostError
from ml_backend.store.weights import WeightStoreError


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


OUTSIDE = [
    OperationalError("SELECT 1", {}, OSError("The database is away.")),
    RedisConnectionError("Redis is away."),
    MemoryError(),
    OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    OSError(errno.ENOSPC, "No space left on device"),
    ConnectionResetError(),
    JobTimeoutException("24 hours"),
    LeaseLostError("Another process trains."),
    StoppedError("another project's turn", 1.0),
    JobError("There is no token."),
    WeightStoreError("No weights are stored."),
    LabelStudioError("Nothing answers."),
    LabelStudioError("The token is refused.", 401),
    LabelStudioError("It fails.", 503),
]

OF_THE_ITEM = [
    TypeError("unhashable type: 'dict'"),
    KeyError("data"),
    OverflowError("int too large to convert to float"),
    RecursionError("maximum recursion depth exceeded"),
    AssertionError(),
    OSError("image file is truncated"),
    OSError(errno.ENAMETOOLONG, "File name too long"),
    DataError("INSERT", {}, ValueError("NUL")),
    StatementError("A value", "INSERT", {}, OverflowError("too large")),
    LabelStudioError("Task 7 does not exist.", 404),
    LabelStudioError("It refuses.", 400),
]


@pytest.mark.parametrize("error", OUTSIDE, ids=lambda error: type(error).__name__)
def test_a_fault_that_the_next_item_would_meet_too_is_raised(error: Exception) -> None:
    reports: list[str] = []
    with pytest.raises(type(error)), contained("Task 7", reports.append):
        raise error
    assert reports == []


@pytest.mark.parametrize("error", OF_THE_ITEM, ids=lambda error: type(error).__name__)
def test_any_other_fault_is_the_items_and_is_named(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[str] = []
    with contained("Task 7", reports.append):
        raise error
    (sentence,) = reports
    assert sentence.startswith("Task 7 is left out: it cannot be used (")
    assert sentence.endswith(").")
    assert "\n" not in sentence
    assert caplog.records[0].exc_info is not None, "the trace is in the log"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_signals_are_no_fault_of_an_item(error: BaseException) -> None:
    assert is_outside(error)
