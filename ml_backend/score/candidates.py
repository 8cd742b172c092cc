"""Candidates first: of a large pool, only the tasks that may come next are scored before an order is shown.

The others keep mask and score of the version before, under the new version's name, and are scored by it in
the background, the next ones first. So the time to a new order does not grow with the pool, and every task
has exactly one score of the published version at every moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.batch import ranking
from ml_backend.score.blind import BlindTasks
from ml_backend.score.chunks import LOCK_SECONDS, chunk_size
from ml_backend.score.failed_images import MAX_CONSECUTIVE_FAILURES
from ml_backend.score.prediction import KeepLoaded, Scored, image_of, scorer
from ml_backend.score.pruning import TOP_TASKS
from ml_backend.score.ranking import ROWS_AT_ONCE, copy_known
from ml_backend.score.recording import record
from ml_backend.score.redraw import former_mask, prediction_of
from ml_backend.score.strategy import differs_only_in_strategy, made_by
from ml_backend.store import edits, labels_seen, projects, runs, scores, versions
from ml_backend.store.models import FormerMask, Score, ScoreState, Version, VersionState
from model.strategies import priority

logger = logging.getLogger(__name__)

NO_CHUNK = -1
"""Chunk of scores that are not computed in chunks."""

TURN_SECONDS = 30.0
"""A background job ends after this time, and its next one continues."""


def keep_former(context: Context, version: Version, config: LabelConfig) -> int:
    """Let all tasks but CANDIDATES keep mask and score of the published version; returns their number.

    Nothing is kept of a version that was made for another labeling config, learned other labels, or has
    initial weights; nor of tasks whose mask was drawn by a draft, or whose image has changed.

    Args:
        context: the context of the job.
        version: a version whose scores are planned.
        config: the labeling config.
    """
    with context.database.read() as session:
        former = versions.published(session, version.project_id)
        pending = scores.tasks_in(session, version.id, ScoreState.PENDING)
        project = projects.get(session, version.project_id)
        assert project is not None
        if former is None or not 0 < context.settings.candidates < len(pending):
            return 0
        drawer = _Drawer.of(session, former, version)
        ranked = ranking(session, former, without=())
        blind = BlindTasks.read(session, context.settings, project, config)
    if drawer is None or not _is_comparable(context, former, version, config):
        return 0
    chosen = choose(ranked, pending, context.settings.candidates, version.id)
    others = [task for task in pending if task not in chosen]
    kept = 0
    for first in range(0, len(others), ROWS_AT_ONCE):
        part = others[first : first + ROWS_AT_ONCE]
        data = context.label_studio.task_data(version.project_id, part)
        with context.database.write() as session:
            for known in scores.of_tasks(session, former.id, [task for task in part if task in data]):
                image, by = image_of(data[known.task_id], config), drawer.of_row(known)
                if by is None:
                    continue
                copied = copy_known(session, version, known, image, is_blind=known.task_id in blind)
                if copied is not None:
                    row, found = copied
                    row.priority = priority(made_by(version), found, project.seed)
                    row.state, row.drawn_by_run, row.due = ScoreState.RANKED, by, True
                    row.chunk = NO_CHUNK
                    kept += 1
    with context.database.write() as session:
        size = chunk_size(context.settings, len(pending) - kept)
        scores.divide_again(session, version.id, chunk_size=size)
    logger.info("%s scores %d of %d images first.", version.name, len(pending) - kept, len(pending))
    return kept


def choose(ranked: Sequence[int], pending: Sequence[int], size: int, seed: int) -> set[int]:
    """The tasks to score first: half of them the next ones in order, the others random, by the seed.

    Args:
        ranked: tasks in the order before; it may contain tasks that are not pending.
        pending: tasks to choose from.
        size: how many to choose; at most all of `pending`.
        seed: of the random draw.
    """
    waiting = set(pending)
    top = [task for task in ranked if task in waiting][: size // 2]
    rest = sorted(waiting.difference(top))
    drawn = np.random.default_rng(seed).permutation(len(rest))[: size - len(top)]
    return {*top, *(rest[index] for index in drawn)}


def _is_comparable(context: Context, former: Version, version: Version, config: LabelConfig) -> bool:
    probe = made_by(version).probe()
    return (
        tuple(former.labels) == tuple(version.labels)
        and (probe is None or made_by(former).probe() == probe)
        and differs_only_in_strategy(context.settings, config, former)
    )


@dataclass(frozen=True)
class _Drawer:
    """Which training drew the masks of a version.

    Attributes:
        run: the training that produced the version.
        earlier: the trainings that produced the versions up to this one.
    """

    run: int
    earlier: set[int]

    @classmethod
    def of(cls, session: Session, former: Version, version: Version) -> _Drawer | None:
        """That of the published version; None if it was not trained here, as masks are attributed by run."""
        if former.weights_hash is None:
            return None
        run = runs.that_made(session, former.project_id, former.weights_hash)
        return None if run is None else cls(run, runs.of_versions_before(session, version))

    def of_row(self, known: Score) -> int | None:
        """The training that drew a task's mask; None if it was drawn by a draft."""
        if known.drawn_by_run is None:
            return self.run
        return known.drawn_by_run if known.due and known.drawn_by_run in self.earlier else None


@job(kinds.SCORE_DUE)
def score_due(context: Context, version_id: int) -> None:
    """Score the tasks that still have a former version's score by the published version, in its order.

    Ends if another job waits, and continues after it. Tasks that are open keep what their annotator sees. If
    images cannot be reached, the next comparison with Label Studio tries again.
    """
    version = _published(context, version_id)
    if version is None:
        return
    with context.queues.exclusive(context.queues.due_name(version_id), LOCK_SECONDS) as free:
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
    rest = _Rest(context, version, set(ranked[:TOP_TASKS]), by_versions)
    ends = time.monotonic() + TURN_SECONDS
    for first in range(0, len(waiting), context.settings.score_chunk):
        if first and (time.monotonic() > ends or context.queues.others_wait()):
            return False
        if _published(context, version.id) is None:
            return True
        rest.score(waiting[first : first + context.settings.score_chunk])
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
    """Scores the tasks that were not among the candidates.

    Attributes:
        context, version: of the job.
        top: tasks that may be open on pages of which Label Studio does not know.
        by_versions: the trainings that produced former versions; masks of others were drawn by a draft.
        failures: how many images in a row could not be read for a temporary reason.
    """

    context: Context
    version: Version
    top: Container[int]
    by_versions: Container[int]
    failures: int = field(default=0, init=False)
    _load: KeepLoaded = field(default_factory=KeepLoaded, init=False)

    def score(self, part: Sequence[int]) -> None:
        """Measure these tasks, and replace their masks and scores."""
        studio, project_id = self.context.label_studio, self.version.project_id
        opened = studio.opened(project_id)
        to_label = studio.to_label(project_id, part) - opened
        data = studio.task_data(project_id, [task for task in part if task in to_label])
        found = self._measured(data) if data else []
        former = {one.task_id: self._replace(one) for one in found if not one.error}
        # Of thousands of tasks, only masks that somebody may have seen are remembered.
        unseen = studio.to_label(project_id, list(former)) - studio.opened(project_id) if former else set()
        forgettable = [mask for task, mask in former.items() if task in unseen and task not in self.top]
        later = opened | {one.task_id for one in found if one.transient}
        with self.context.database.write() as session:
            edits.forget_former(session, [mask.id for mask in forgettable if mask is not None])
            # Labelled and deleted tasks, and those whose image is no image, stay as they are.
            scores.no_longer_due(session, self.version.id, set(part) - later)

    def _measured(self, data: Mapping[int, Mapping[str, Any]]) -> list[Scored]:
        context, version = self.context, self.version
        config = context.read_config(version.project_id)
        with context.database.read() as session:
            project = projects.get(session, version.project_id)
            assert project is not None  # guaranteed by read_config
            blind = BlindTasks.read(session, context.settings, project, config)
        score = scorer(
            context.settings,
            context.weights,
            context.images,
            version,
            project.seed,
            config,
            blind,
            load=self._load,
            upcoming=data,
        )
        found = []
        for task, values in data.items():
            found.append(score(task, values))
            self.failures = self.failures + 1 if found[-1].transient else 0
            if self.failures >= MAX_CONSECUTIVE_FAILURES:
                break
        return found

    def _replace(self, scored: Scored) -> FormerMask | None:
        """Replace a task's mask and score; returns the former mask; None if no mask was replaced.

        A mask that a draft drew stays, because its weights are newer than this version's.
        """
        found = prediction_of(self.context, self.version, scored.task_id)
        if found is None:
            return None
        with self.context.database.write() as session:
            row = session.get(Score, (self.version.id, scored.task_id))
            if row is None or not row.due:
                return None
            is_drafted = row.drawn_by_run is not None and row.drawn_by_run not in self.by_versions
            former = None
            if not is_drafted:
                # Recorded first, so that a kill in between never leaves an unrecorded mask.
                former = former_mask(self.version, row, found)
                edits.note_former(session, former)
        try:
            mask = found["result"] if is_drafted else scored.result
            self.context.label_studio.rescore_prediction(found["id"], mask, scored.score)
        except LabelStudioError as error:
            if error.status != GONE:
                raise
            return former
        with self.context.database.write() as session:
            if is_drafted:
                row = session.get_one(Score, (self.version.id, scored.task_id))
                row.l_dsc, row.m_dsc, row.score = scored.l_dsc, scored.m_dsc, scored.score
                row.priority, row.due = scored.priority, False
            else:
                record(session, self.version, [scored], ScoreState.WRITTEN)
        return former
