"""How a training run ends: with a version, without one, or with an error; each is one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfig
from ml_backend.learn import failures
from ml_backend.learn.examples import Data
from ml_backend.learn.problems import summed_up
from ml_backend.queue.context import Context
from ml_backend.store import agreements, drafts, edits, events, labels_seen, runs, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Project, RunState, TrainingRun, Version, VersionState

logger = logging.getLogger(__name__)

UNFINISHED = "It had not converged after TRAIN_SECONDS; it continues when no other training is waiting."
"""Message of a run whose version is published and trained further."""

UNCHANGED = "The masks are those that the last version learned from; there is nothing new to learn."
"""Message of a run that made no version."""


@dataclass(frozen=True)
class Outcome:
    """Records the end of one run."""

    context: Context
    project_id: int
    run_id: int
    owner: ProcessId

    def version(
        self,
        directory: Path,
        data: Data,
        config: LabelConfig,
        parent: Version | None,
        figures: dict[str, Any],
        verdict: str,
        *,
        continues: bool,
    ) -> Version:
        """Store the weights, then record version, seen labels and the end of the run in one transaction."""
        weights_hash = self.context.weights.put(directory)
        with self.context.database.write() as session:
            runs.keep(session, self.run_id, self.owner)
            version = versions.create(
                session,
                session.get_one(Project, self.project_id),
                round=versions.next_round(session, self.project_id),
                state=VersionState.REJECTED if verdict else VersionState.SCORING,
                labels=config.labels,
                parent_id=None if parent is None else parent.id,
                weights_hash=weights_hash,
                labels_used=data.used,
                metrics=figures,
                seconds_training=figures["training_seconds"],
            )
            version.message = verdict
            edits.rename(session, self.project_id, drafts.name_of(self.project_id, self.run_id), version.name)
            surplus = drafts.drop(session, self.project_id) if verdict else []
            self._end(session, data, version, UNFINISHED if continues else "")
            if continues:
                # Stored with the version, so that a kill in between does not end the learning.
                events.add(session, self.project_id, events.CONTINUE_TRAINING)
        if verdict:
            self._forget(surplus)
        return version

    def without_version(self, data: Data, remark: str) -> None:
        """Record that the labels were learned, or could not be, without a new version."""
        with self.context.database.write() as session:
            self._end(session, data, None, remark)
            surplus = drafts.drop(session, self.project_id)
        self._forget(surplus)

    def needless(self, tasks: int) -> None:
        """Record that the labels are those that the last version learned from."""
        with self.context.database.write() as session:
            run = session.get_one(TrainingRun, self.run_id)
            runs.finish(session, run, RunState.FINISHED, message=UNCHANGED, labels=tasks)

    def failure(self, error: Exception) -> None:
        """Record why the run failed; its events stay pending for the next attempt or the next change."""
        with self.context.database.write() as session:
            run = session.get_one(TrainingRun, self.run_id)
            if run.state is not RunState.RUNNING or run.owner != str(self.owner):
                return
            run.passing = failures.is_temporary(error)
            runs.finish(session, run, RunState.FAILED, message=failures.sentence(error))

    def _forget(self, surplus: Iterable[str]) -> None:
        """Delete the weights of a dropped draft, and request that its masks are drawn again.

        The run has ended by now, so a store or queue that fails is only logged.
        """
        try:
            self.context.queues.request_redraw(self.project_id)
            for key in surplus:
                self.context.weights.delete(key)
        except (OSError, RedisError) as error:
            logger.warning("The draft of project %d is not cleared away: %s", self.project_id, error)

    def _end(self, session: Session, data: Data, version: Version | None, remark: str) -> None:
        labels_seen.replace(session, self.project_id, data.seen)
        agreements.replace(session, self.project_id, data.agreements)
        sentences = [*summed_up(data.problems), *([remark] if remark else [])]
        runs.finish(
            session,
            session.get_one(TrainingRun, self.run_id),
            RunState.FINISHED,
            message="; ".join(sentences),
            labels=data.used,
            version_id=None if version is None else version.id,
        )


def nothing_better(champion: Version, data: Data) -> str:
    """One sentence for a training that kept the weights it started from."""
    return (
        f"The training found no better weights than those of {champion.name} on {len(data.validated)} "
        "validation images, so that version stays."
    )
