"""Notes that Label Studio called, so that anybody with the database can tell its call really arrived here."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import SQLAlchemyError

from ml_backend.store import projects
from ml_backend.store.database import Database

logger = logging.getLogger(__name__)


class CallLog:
    """Writes calls down in a thread of its own: Label Studio waits 3 s, a busy database may take longer."""

    def __init__(self, database: Database) -> None:
        """Write into `database`."""
        self._database = database
        self._seen: deque[int] = deque()
        self._writer = ThreadPoolExecutor(1)

    def note(self, project_id: int) -> None:
        """Note a call about a project; returns at once."""
        self._seen.append(project_id)
        self._writer.submit(self._write)

    def _write(self) -> None:
        seen = {self._seen.popleft() for _ in range(len(self._seen))}
        if not seen:
            return
        try:
            with self._database.write() as session:
                projects.note_calls(session, seen)
        except SQLAlchemyError:
            # Only `dsal doctor` misses it, and says so.
            logger.warning("A call of Label Studio could not be noted.", exc_info=True)
