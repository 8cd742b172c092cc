"""When a training starts: the one place that turns events into at most one waiting training a project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ml_backend.queue import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import events, runs
from ml_backend.store.database import Database
from ml_backend.store.models import now

EVENTS_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class TrainingPolicy:
    """Training starts when enough changed, when it has been quiet after a change, or when it was asked for.

    While a training runs nothing is decided; its end decides, so that everything that came meanwhile leads to
    at most one more. An event is committed before `consider` looks, and a run ends before `after_training`
    looks: one of the two sees the other, and nothing is missed between them.
    """

    database: Database
    queues: JobQueues
    retrain_every: int
    quiet_seconds: float

    @classmethod
    def from_settings(cls, settings: Settings, database: Database, queues: JobQueues) -> TrainingPolicy:
        """The policy of RETRAIN_EVERY and QUIET_SECONDS."""
        return cls(database, queues, settings.retrain_every, settings.quiet_seconds)

    def consider(self, project_id: int) -> None:
        """Ask for a training if the project's pending events want one; cheap, and harmless when repeated."""
        if self.queues.training_waits(project_id):
            return
        with self.database.read() as session:
            run = runs.running(session, project_id)
            if run is not None and not runs.is_abandoned(run):
                return
            waiting = events.pending(session, project_id)
        if run is not None or (waiting.fresh and (waiting.asked or waiting.changes >= self.retrain_every)):
            self.queues.request_training(project_id)
        elif waiting.fresh and waiting.last_at is not None:
            quiet_for = (now() - waiting.last_at).total_seconds()
            self.queues.request_training(project_id, delay=max(0.0, self.quiet_seconds - quiet_for))

    def after_training(self, project_id: int) -> None:
        """Decide about what came during a training; to be called once its run has ended, well or badly."""
        with self.database.write() as session:
            events.prune(session, older_than=EVENTS_KEPT)
        self.consider(project_id)
