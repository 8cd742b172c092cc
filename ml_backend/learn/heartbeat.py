"""Heartbeats of a running training, so that no other process takes it over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from ml_backend.items import is_outside, reason
from ml_backend.store import runs
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import TrainingRun
from ml_backend.store.runs import LeaseLostError

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0


class Lease:
    """Tells a training whether it still owns its run."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._lost = threading.Event()

    def check(self) -> None:
        """Raise `LeaseLostError` if a person or another process has taken the run away; cheap."""
        if self._lost.is_set():
            raise LeaseLostError(
                f"Training run {self._run_id} was taken over by another process, paused or ended."
            )

    def lose(self) -> None:
        """Mark the lease as lost."""
        self._lost.set()


def say(database: Database, run_id: int, owner: ProcessId, message: str) -> None:
    """Show what a run does in `dsal status`; a database that is locked or away is only logged.

    Raises:
        LeaseLostError: the run no longer belongs to `owner`.
    """
    try:
        with database.write() as session:
            runs.keep(session, run_id, owner)
            session.get_one(TrainingRun, run_id).message = message
    except SQLAlchemyError as error:
        if not is_outside(error):
            raise
        logger.warning("What training run %d does could not be stored: %s", run_id, reason(error))


@contextmanager
def hold(database: Database, run_id: int, owner: ProcessId) -> Iterator[Lease]:
    """Send a heartbeat every 10 s until the block ends; call `Lease.check` regularly inside it."""
    lease, ended = Lease(run_id), threading.Event()
    arguments = (database, run_id, owner, lease, ended)
    thread = threading.Thread(target=_send_heartbeats, args=arguments, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()


def _send_heartbeats(
    database: Database, run_id: int, owner: ProcessId, lease: Lease, ended: threading.Event
) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        try:
            with database.write() as session:
                runs.keep(session, run_id, owner)
        except LeaseLostError:
            lease.lose()
            return
        except SQLAlchemyError:
            # The lease outlasts several missed heartbeats; the next `keep` notices if it has expired.
            logger.warning("The heartbeat of training run %d could not be stored.", run_id, exc_info=True)
