"""Scores that are due: behind an order made of candidates, the published version scores all other tasks.

Their predictions are replaced where they are, one by one, since Label Studio can change several only by
storing them anew under another name. Reading, measuring and replacing overlap: while the network works on
some tasks, the masks of those before are replaced.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.label_studio.one_item import OneItemError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.batch import ranking
from ml_backend.score.chunks import LOCK_SECONDS
from ml_backend.score.failed_images import MAX_CONSECUTIVE_FAILURES
from ml_backend.score.importing import refusal
from ml_backend.score.prediction import KeepLoaded, Scored
from ml_backend.score.pruning import TOP_TASKS
from ml_backend.score.recording import record
from ml_backend.score.redraw import former_mask, is_same_mask
from ml_backend.score.scorers import scorer_for
from ml_backend.store import edits, labels_seen, runs, scores, versions
from ml_backend.store.models import FormerMask, Score, ScoreState, Version, VersionState

logger = logging.getLogger(__name__)

TURN_SECONDS = 30.0
"""A background job ends after this time, and its next one continues."""

SENDERS = 2
"""Predictions that are replaced at the same time. Label Studio writes them one after another, since it is one
process; more requests only wait there for the lock of its database, as those of annotators do."""


@job(kinds.SCORE_DUE)
def score_due(context: Context, version_id: int) -> None:
    """Score the tasks that still have a former version's score by the published version, in its order.

    Ends if another job waits, and continues after it. Tasks that are open keep what their annotator sees. If
    images cannot be reached, the next comparison with Label Studio tries again.
    """
    version = _published(context, version_id)
    if version is None:
        return
    with context.queues.locks.exclusive(context.queues.due_name(version_id), LOCK_SECONDS) as free:
        finished = not free or _score_rest(context, version)
    if not finished:
        context.queues.request_score_due(version_id)


def _score_rest(context: Context, version: Version) -> bool:
    """Score the rest until another job waits; False if there is more to do."""
    with context.database.read() as session:
        due = scores.due(session, version.id)
        labelled = labels_seen.labelled_tasks(session, version.project_id)
        ranked = ranking(session, version, without=labelled)
        by_versions = runs.of_versions_before(session, version)
    # Those that were labelled since come last: they are only noted as done.
    waiting = [task for task in ranked if task in due] + sorted(due.difference(ranked))
    size = context.settings.score_chunk
    with _Rest(context, version, set(ranked[:TOP_TASKS]), by_versions) as rest:
        for first in range(0, len(waiting), size):
            if first and rest.is_over():
                return False
            if _published(context, version.id) is None:
                return True
            rest.score(waiting[first : first + size])
            if rest.failures >= MAX_CONSECUTIVE_FAILURES:
                return True
    if waiting:
        logger.info("%s has scored the tasks that were not among its candidates.", version.name)
    return True


def _published(context: Context, version_id: int) -> Version | None:
    """The version if it is published and no newer one is being scored, which will have its own candidates."""
    with context.database.read() as session:
        version = versions.in_work(session, version_id, VersionState.PUBLISHED)
        if version is None:
            return None
        ours = versions.of_project(session, version.project_id)
    return None if any(one.id > version_id and one.state is VersionState.SCORING for one in ours) else version


@dataclass
class _Rest:
    """Scores tasks that are due; a context manager, which waits for all replacements at its end.

    Attributes:
        context, version: of the job.
        top: tasks that may be open on pages of which Label Studio does not know.
        by_versions: the trainings that produced former versions; masks of others were drawn by a draft.
        failures: how many images in a row could not be read for a temporary reason.
    """

    context: Context
    version: Version
    top: Collection[int]
    by_versions: Collection[int]
    failures: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._ends = time.monotonic() + TURN_SECONDS
        self._load = KeepLoaded()
        self._config: LabelConfig | None = None
        self._former: dict[int, int] = {}
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="replace")
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="send")
        self._replaced: Future[None] | None = None

    def __enter__(self) -> _Rest:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._wait()
            if kind is None:
                self._forget_unseen()
        finally:
            self._behind.shutdown()
            self._senders.shutdown()

    def is_over(self) -> bool:
        """Whether the turn is over, or another job waits."""
        return time.monotonic() > self._ends or self.context.queues.others_wait()

    def score(self, part: Sequence[int]) -> None:
        """Measure these tasks, and begin to replace their masks and scores."""
        data = self.context.label_studio.data_to_label(self.version.project_id, part)
        found = self._measured(data) if data else []
        # Labelled and deleted tasks stay as they are; those that were not reached are measured later.
        done = [task for task in part if task not in data]
        self._wait()
        self._replaced = self._behind.submit(self._replace, found, done)

    def _wait(self) -> None:
        replaced, self._replaced = self._replaced, None
        if replaced is not None:
            replaced.result()

    def _measured(self, data: Mapping[int, Mapping[str, Any]]) -> list[Scored]:
        self._config = self._config or self.context.read_config(self.version.project_id)
        score = scorer_for(self.context, self.version, config=self._config, load=self._load)
        found: list[Scored] = []
        with closing(score(data)) as stream:
            for one in stream:
                found.append(one)
                self.failures = self.failures + 1 if one.transient else 0
                if self.failures >= MAX_CONSECUTIVE_FAILURES or self.is_over():
                    break
        return found

    def _replace(self, found: Sequence[Scored], done: Sequence[int]) -> None:
        """Replace the masks and scores of measured tasks, and note which tasks are done.

        An image that cannot be read leaves the mask of the version before, which is better than none.
        """
        studio, project_id = self.context.label_studio, self.version.project_id
        scored = {one.task_id: one for one in found if not one.error}
        opened = studio.opened(project_id) if scored else set()
        shown = studio.to_label_with(project_id, sorted(scored.keys() - opened), self.version.name)
        with self.context.database.write() as session:
            former = self._note_former(session, scored, shown)
        self._former |= {task: mask.id for task, mask in former.items()}
        refused: dict[int, str] = {}
        send = partial(self._sent, scored, shown, refused)
        done_with = {task for task in self._senders.map(send, shown) if task is not None}
        sent = done_with - refused.keys()
        later = opened | {one.task_id for one in found if one.transient} | (shown.keys() - done_with)
        with self.context.database.write() as session:
            rows = scores.of_tasks(session, self.version.id, sorted(sent))
            drafted = [row for row in rows if self._is_drafted(row)]
            for row in drafted:
                one = scored[row.task_id]
                row.l_dsc, row.m_dsc, row.score, row.priority = one.l_dsc, one.m_dsc, one.score, one.priority
            own = [scored[row.task_id] for row in rows if row.due and row not in drafted]
            record(session, self.version, own, ScoreState.WRITTEN)
            for row in scores.of_tasks(session, self.version.id, sorted(refused)):
                row.error = refusal(refused[row.task_id])
            left = {*done, *(one.task_id for one in found)} - later
            scores.no_longer_due(session, self.version.id, left)

    def _note_former(
        self, session: Session, scored: Mapping[int, Scored], shown: Mapping[int, Mapping[str, Any]]
    ) -> dict[int, FormerMask]:
        """Record the masks that are about to be replaced, so that a kill leaves none unrecorded.

        A job that was killed after it replaced a mask finds its own: that is no former one.
        """
        noted = {}
        for row in scores.of_tasks(session, self.version.id, sorted(shown)):
            before = shown[row.task_id]
            is_same = is_same_mask(before["result"], scored[row.task_id].result)
            if row.due and not self._is_drafted(row) and not is_same:
                noted[row.task_id] = former_mask(self.version, row, before)
                edits.note_former(session, noted[row.task_id])
        return noted

    def _sent(
        self,
        scored: Mapping[int, Scored],
        shown: Mapping[int, Mapping[str, Any]],
        refused: dict[int, str],
        task: int,
    ) -> int | None:
        """The task, once it is replaced or refused; None if Label Studio fails on this one."""
        with contained(f"The score of task {task}", logger.warning):
            return self._send(scored, shown, refused, task)
        return None

    def _send(
        self,
        scored: Mapping[int, Scored],
        shown: Mapping[int, Mapping[str, Any]],
        refused: dict[int, str],
        task: int,
    ) -> int:
        """Replace one task's score, and its mask unless a draft drew it, whose weights are newer.

        What Label Studio refuses leaves the prediction of the version before, and joins `refused`.
        """
        one, before = scored[task], shown[task]
        with self.context.database.read() as session:
            row = session.get(Score, (self.version.id, task))
        if row is None or not row.due:
            return task
        is_drafted = self._is_drafted(row)
        stays = is_drafted or is_same_mask(before["result"], one.result)
        if not stays or before["score"] != one.score:
            try:
                # With the same mask, its regions still get this version's probabilities and estimate.
                result = None if is_drafted else one.result
                self.context.label_studio.rescore_prediction(before["id"], one.score, result)
            except LabelStudioError as error:
                if error.is_outside or isinstance(error, OneItemError):
                    raise
                if error.status != GONE:
                    refused[task] = error.detail or str(error)
        return task

    def _is_drafted(self, row: Score) -> bool:
        return row.drawn_by_run is not None and row.drawn_by_run not in self.by_versions

    def _forget_unseen(self) -> None:
        """Of thousands of tasks, only masks that somebody may have seen are remembered."""
        if not self._former:
            return
        studio, project_id = self.context.label_studio, self.version.project_id
        unseen = studio.to_label(project_id, sorted(self._former)) - studio.opened(project_id)
        with self.context.database.write() as session:
            edits.forget_former(session, [self._former[task] for task in unseen.difference(self.top)])
