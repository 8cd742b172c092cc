"""Candidates first: of a large pool, only the tasks that may come next are scored before an order is shown.

The others keep mask and score of the version before, under the new version's name, and are scored by it in
the background, the next ones first. So the time to a new order does not grow with the pool, and every task
has exactly one score of the published version at every moment (`ml_backend.score.due`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.score.batch import ranking
from ml_backend.score.blind import BlindTasks
from ml_backend.score.chunks import chunk_size
from ml_backend.score.ranking import copy_known, known_scores, scores_of
from ml_backend.score.strategy import differs_only_in_strategy, made_by
from ml_backend.store import projects, runs, scores, versions
from ml_backend.store.models import Score, ScoreState, Version
from model.strategies import priority

logger = logging.getLogger(__name__)

NO_CHUNK = -1
"""Chunk of scores that are not computed in chunks."""


def keep_former(context: Context, version: Version, config: LabelConfig) -> int:
    """Let all tasks but CANDIDATES keep mask and score of the published version; returns their number.

    Nothing is kept of a version that was made for another labeling config, learned other labels, or has
    initial weights; nor if a former version is published again, since people do not want the present masks;
    nor of tasks whose mask was drawn by a draft, or whose image has changed.

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
        if versions.is_published_again(session, version) and version.parent_id != former.id:
            return 0
        drawer = _Drawer.of(session, former, version)
        ranked = ranking(session, former, without=())
        blind = BlindTasks.read(session, context.settings, project, config)
    if drawer is None or not _is_comparable(context, former, version, config):
        return 0
    chosen = choose(ranked, pending, context.settings.candidates, version.id)
    others = [task for task in pending if task not in chosen]
    kept = 0
    for part in known_scores(context, former, others, config):
        with context.database.write() as session:
            rows = scores_of(session, version, part)
            for known, image in part:
                by, found, row = drawer.of_row(known), None, rows.get(known.task_id)
                is_blind = known.task_id in blind
                with contained(f"The former score of task {known.task_id}", logger.warning):
                    found = copy_known(row, version, known, image, is_blind=is_blind) if by else None
                if found is not None and row is not None:
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
