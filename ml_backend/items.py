"""One boundary around each item: what goes wrong with one task, annotation, region or image stays its own.

Labels, predictions and images come from many people and programs, so any of them may be malformed in a way
that nobody foresaw. Code that walks over items puts each one inside `contained`.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError
from rq.timeouts import BaseTimeoutException
from sqlalchemy.exc import DataError, SQLAlchemyError, StatementError

logger = logging.getLogger(__name__)

LONGEST_REASON = 200
"""Characters of an error's text that are shown; it may quote the item."""

_OF_THE_MACHINE = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""Errors of files and devices that would meet the next item, too."""

_OF_THE_DEVICE = frozenset({"OutOfMemoryError", "AcceleratorError"})
"""Names of torch's errors for a device that is full or broken; torch itself is not loaded for them."""

_OPENCV_NO_MEMORY = -4


class OutsideFault:
    """Base of errors of our own that are not an item's fault, or that know whether they are."""

    @property
    def is_outside(self) -> bool:
        """Whether the error would meet the next item just as well."""
        return True


@contextmanager
def contained(what: str, report: Callable[[str], object]) -> Iterator[None]:
    """Run the block for one item; if the item is at fault, log the trace and report one sentence.

    All errors are the item's (`is_outside` tells the others), so that no list of expected ones can be
    incomplete. The others are raised: they stop the job, which is tried again.

    Args:
        what: the item at the start of a sentence, such as "Task 7".
        report: called with the sentence, which `dsal status` is to show.
    """
    try:
        yield
    except Exception as error:
        if is_outside(error):
            raise
        logger.exception("%s is left out.", what)
        report(f"{what} is left out: it cannot be used ({reason(error)}).")


def is_outside(error: BaseException) -> bool:
    """Whether an error is the fault of what surrounds an item, so that the next one would fail, too.

    That is so for a database or Redis that fails, unless the database refuses a value; for Label Studio that
    does not answer, refuses the token or fails (`LabelStudioError.is_outside`); for memory, disk and device;
    for the time limit of a job, a lost lease and other errors that derive from `OutsideFault`; and for
    whatever is no `Exception`, such as a signal. Everything else is the item's.
    """
    if not isinstance(error, Exception):
        return True
    if isinstance(error, OutsideFault):
        return error.is_outside
    if isinstance(error, SQLAlchemyError):
        return not _refuses_value(error)
    if isinstance(error, RedisError | BaseTimeoutException | MemoryError | ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError):
        return error.errno in _OF_THE_MACHINE
    return _lacks_memory(error)


def reason(error: BaseException) -> str:
    """An error in one line: its class and the beginning of its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:LONGEST_REASON]}" if text else type(error).__name__


def _refuses_value(error: SQLAlchemyError) -> bool:
    """Whether a statement failed by the values it was given."""
    if isinstance(error, DataError):
        return True
    given = error.orig if isinstance(error, StatementError) else None
    return isinstance(given, ValueError | TypeError | OverflowError)


def _lacks_memory(error: Exception) -> bool:
    """Whether torch or OpenCV could not allocate memory, or the device failed."""
    if any(kind.__name__ in _OF_THE_DEVICE for kind in type(error).__mro__):
        return True
    if getattr(error, "code", None) == _OPENCV_NO_MEMORY:
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
