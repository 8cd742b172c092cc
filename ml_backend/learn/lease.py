"""Signs of life of a running training, so that no second process takes it over while it works."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from ml_backend.store import runs
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.runs import LeaseLostError

logger = logging.getLogger(__name__)

SIGN_SECONDS = 10.0


class Lease:
    """Tells a training whether it is still the only one."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._lost = threading.Event()

    def check(self) -> None:
        """Raise `LeaseLostError` once another process has taken the training over; costs nothing."""
        if self._lost.is_set():
            raise LeaseLostError(f"Training run {self._run_id} was taken over by another process.")

    def lose(self) -> None:
        """Note that the lease is gone."""
        self._lost.set()


@contextmanager
def hold(database: Database, run_id: int, owner: ProcessId) -> Iterator[Lease]:
    """Give a sign of life every 10 s until the block ends; call the lease's `check` now and then."""
    lease, ended = Lease(run_id), threading.Event()
    thread = threading.Thread(target=_live, args=(database, run_id, owner, lease, ended), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()


def _live(database: Database, run_id: int, owner: ProcessId, lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(SIGN_SECONDS):
        try:
            with database.write() as session:
                runs.keep(session, run_id, owner)
        except LeaseLostError:
            lease.lose()
            return
        except SQLAlchemyError:
            # The lease outlasts several missed signs; a longer silence is found by the next `keep`.
            logger.warning("No sign of life could be given for training run %d.", run_id, exc_info=True)
