"""Calls about one task or prediction: whether its failure is that item's, or Label Studio's as a whole.

Label Studio answers 500 for as long as something that it stored about one item cannot be read or sent, and
also when its own database is away. Only the second is worth waiting for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ml_backend.label_studio.errors import FAILED, LabelStudioError
from ml_backend.label_studio.sdk import Transport

WAITS = (0.5, 2.0)
"""Seconds before a call that changes something is sent again; the client itself repeats those that read."""

Answer = TypeVar("Answer")


class OneItemError(LabelStudioError):
    """Label Studio fails on one item and answers otherwise."""

    @property
    def is_outside(self) -> bool:
        """Whether another item would fail as well: no."""
        return False


def read_one(transport: Transport, what: str, call: Callable[[], Answer]) -> Answer:
    """The answer to a call that reads `what`, such as "the predictions of task 7".

    Raises:
        OneItemError: Label Studio fails on this item and answers otherwise.
        LabelStudioError: it does not answer, or fails otherwise as well.
    """
    try:
        return call()
    except LabelStudioError as error:
        if error.status != FAILED:
            raise
        # Reads Label Studio's database, and fails as this call did if that is at fault.
        transport.call("GET", "/api/current-user/whoami")
        raise OneItemError(
            f"Label Studio fails on {what} (HTTP {FAILED}) and answers otherwise: check its log.",
            FAILED,
            error.detail,
        ) from error


def change_one(transport: Transport, what: str, call: Callable[[], Answer]) -> Answer:
    """The same for a call that changes `what`, and that does no harm when it is repeated."""
    for seconds in WAITS:
        try:
            return call()
        except LabelStudioError as error:
            if error.status != FAILED:
                raise
            time.sleep(seconds)
    return read_one(transport, what, call)
