"""Continuations: with LEARN_FROM=0, a training whose time was over before it converged is continued.

Nobody waits for that, so it makes way for whoever waits for a training. If that is another project, its
checkpoint keeps what it has learned. With new labels of its own project it begins again from the published
version, as any round does.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from ml_backend.learn.label_feed import StoppedError
from ml_backend.learn.trigger import is_due
from ml_backend.queue.context import Context
from ml_backend.store import events

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""Time between two looks at what waits."""


@dataclass
class Continuation:
    """A run that may be one; any other run makes no way here."""

    context: Context
    project_id: int
    run_id: int
    _began: float = field(default_factory=time.monotonic, init=False)
    _looked_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        with self.context.database.read() as session:
            self.only_continues = events.only_continues(session, self.run_id)

    def make_way(self) -> None:
        """Stop if somebody waits for a training; to be called after each step.

        Raises:
            StoppedError: somebody does; the run is to be resumed afterwards.
        """
        moment = time.monotonic()
        if not self.only_continues or moment - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = moment
        context = self.context
        if is_due(context.database, context.settings, self.project_id):
            raise StoppedError("makes way for new labels", 1.0)
        if moment - self._began < context.settings.turn_seconds:
            return
        try:
            waits = context.queues.others_train(self.project_id)
        except RedisError:
            logger.warning("Redis does not answer; the training of project %d goes on.", self.project_id)
            return
        if waits:
            raise StoppedError("waits for the training of another project", 1.0)
