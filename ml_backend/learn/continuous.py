"""Continuous learning: labels join the running training, whose weights draw the next tasks meanwhile.

A run is a round: it takes each label as it comes, rests when it has learned them, and ends with a new version
when RETRAIN_EVERY labels have changed, after a quiet time, or on request. It also makes way for trainings of
other projects, and is continued from its checkpoint afterwards.
"""

from __future__ import annotations

import copy
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.examples import Data, ImagesAwayError
from ml_backend.learn.heartbeat import Lease
from ml_backend.learn.judgement import can_select
from ml_backend.queue.context import Context
from ml_backend.store import drafts, events, runs, scores, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import TrainingRun, VersionState, now
from model.network import DeeplySupervisedUNet
from model.training.continuous import Examples, Feed, Interrupted
from model.training.dataset import Example
from model.training.settings import Progress

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Time between two looks at the events, and at whether the run may end."""

RETRY_SECONDS = 15.0
"""Time after which labels that could not be read are read again."""

TURN_SECONDS = 30.0
"""Time after which a run makes way for a training of another project that waits."""

ROUND_STEPS = 40
"""Steps after the last label of a round, for weights that were trained before.

A network that learns from scratch goes on to its plateau, and so does a training that was asked for.
"""


class OtherProjectsTurnError(Interrupted):
    """Another project's training waits; `delay` is the time in seconds after which this one is requested."""

    def __init__(self, delay: float) -> None:
        super().__init__("Another project's training waits.")
        self.delay = delay


@dataclass
class LabelFeed(Feed):
    """Gives a project's labels to its running training, and decides when the round is over.

    Attributes:
        context, project_id, run_id, owner, lease: of the run.
        config: the labeling config that the network is trained for.
        read: reads all labels again.
        write: writes a network as a version's folder, given the steps done.
        data: what `read` gave last; at first, what the run begins with.
        further: examples of other sources, which do not change.
        is_fresh_network: whether the network learns from scratch.
        folder: for drafts.
        ended_settled: whether the training had nothing more to gain within its budget when it ended.
    """

    context: Context
    project_id: int
    run_id: int
    owner: ProcessId
    lease: Lease
    config: LabelConfig
    read: Callable[[], Data]
    write: Callable[[Path, DeeplySupervisedUNet, int], None]
    data: Data
    further: list[Example]
    is_fresh_network: bool
    folder: Path
    ended_settled: bool = field(default=False, init=False)
    _round: events.Round = field(init=False)
    _is_requested: bool = field(init=False)
    _given: bool = field(default=False, init=False)
    _retry_at: float | None = field(default=None, init=False)
    _looked_at: float = field(default=0.0, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _full_steps: int = field(default=0, init=False)
    _rests: bool = field(default=False, init=False)
    _start_dsc: float | None = field(default=None, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        self._read_round()

    def take(self) -> Examples | None:
        """The examples, if labels have changed since the last call."""
        if not self._given:
            self._given = True
            return self._examples(fresh=[])
        moment = time.monotonic()
        if moment - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = moment
        if not self._consume() and not (self._retry_at is not None and moment >= self._retry_at):
            return None
        former = {one.key for one in self.data.training} | {one.key for one in self.data.validation}
        try:
            data = self.read()
        except (LabelStudioError, ImagesAwayError) as error:
            logger.warning("New labels of project %d are read again later: %s", self.project_id, error)
            self._retry_at = moment + RETRY_SECONDS
            return None
        self._retry_at, self.data = None, data
        changed = former != {one.key for one in data.training} | {one.key for one in data.validation}
        if not changed or not data.training:
            return None
        self._rests = False
        return self._examples(fresh=[one for one in data.training if one.key not in former])

    def ends(self, *, settled: bool) -> bool:
        """Whether the round is over; it is not while a version of the project is being scored."""
        self._full_steps += self._is_full()
        hurries = self._full_steps >= ROUND_STEPS and not (self.is_fresh_network or self._is_requested)
        moment = time.monotonic()
        if moment - self._asked_at < LOOK_SECONDS:
            return False
        self._asked_at = moment
        try:
            return self._is_over(settled=settled, hurries=hurries)
        except RedisError:
            logger.warning("Redis does not answer; the training of project %d goes on.", self.project_id)
            return False

    def _is_over(self, *, settled: bool, hurries: bool) -> bool:
        is_quiet = self._quiet_for() >= self.context.settings.quiet_seconds
        is_due = self._is_full() or self._is_requested or is_quiet
        may_end = (settled or hurries) and is_due and self._retry_at is None
        if may_end and not is_scored_now(self.context, self.project_id):
            self.ended_settled = settled
            return True
        self._make_way(settled=settled)
        return False

    def rest(self) -> None:
        """Wait for the next look, and keep the lease."""
        self.lease.check()
        if not self._rests:
            self._rests = True
            with self.context.database.write() as session:
                runs.keep(session, self.run_id, self.owner)
                run = session.get_one(TrainingRun, self.run_id)
                run.message = f"has learned {self.data.used} labels and waits for the next"
        time.sleep(LOOK_SECONDS / 2)

    def draft(self, network: DeeplySupervisedUNet, progress: Progress) -> None:
        """Let these weights draw the next tasks, unless the first were better on the validation images."""
        if self._start_dsc is not None and progress.validation_dsc is not None and can_select(self.data):
            margin = self.context.settings.publish_margin
            if progress.validation_dsc < self._start_dsc - margin:
                logger.info("Step %d draws nothing: its validation Dice is too low.", progress.step)
                return
        self.lease.check()
        directory = self.folder / "draft"
        shutil.rmtree(directory, ignore_errors=True)
        self.write(directory, copy.deepcopy(network).to("cpu"), progress.step)
        weights_hash = self.context.weights.put(directory)
        with self.context.database.write() as session:
            runs.keep(session, self.run_id, self.owner)
            surplus = drafts.replace(
                session, self.project_id, weights_hash, self.config.labels, progress.step, self.data.used
            )
        for key in surplus:
            self.context.weights.delete(key)
        try:
            self.context.queues.request_redraw(self.project_id)
        except RedisError:
            logger.warning("Redis does not answer; project %d is drawn again later.", self.project_id)

    def note(self, progress: Progress) -> None:
        """Remember the validation Dice of the start weights; called with the report of each step."""
        if progress.step == 0:
            self._start_dsc = progress.validation_dsc

    def _examples(self, fresh: list[Example]) -> Examples:
        # With too few images nothing is selected: the last weights are kept.
        validation = self.data.validation if can_select(self.data) else []
        return Examples([*self.data.training, *self.further], validation, fresh)

    def _consume(self) -> bool:
        """Take the pending events into this run; False if there are none."""
        with self.context.database.read() as session:
            pending = events.pending(session, self.project_id)
        if not pending.fresh:
            return False
        with self.context.database.write() as session:
            runs.keep(session, self.run_id, self.owner)
            events.consume(session, self.project_id, self.run_id)
        self._read_round()
        return True

    def _read_round(self) -> None:
        with self.context.database.read() as session:
            self._round = events.of_run(session, self.run_id)
            self._is_requested = events.was_asked_for(session, self.run_id)

    def _is_full(self) -> bool:
        return self._round.changes >= self.context.settings.retrain_every

    def _quiet_for(self) -> float:
        """Seconds since the last change; infinite if there was none."""
        last = self._round.last_at
        return math.inf if last is None else (now() - last).total_seconds()

    def _make_way(self, *, settled: bool) -> None:
        """Raise `OtherProjectsTurnError` if it is another project's turn."""
        if time.monotonic() - self._began < TURN_SECONDS:
            return
        if self.context.queues.others_train(self.project_id):
            quiet = self.context.settings.quiet_seconds - self._quiet_for()
            raise OtherProjectsTurnError(max(1.0, quiet) if settled else 1.0)


def is_scored_now(context: Context, project_id: int) -> bool:
    """Whether a version of the project is on its way to annotators, which a newer one would overtake."""
    with context.database.read() as session:
        unfinished = {
            version.id: scores.unfinished_chunks(session, version.id)
            for version in versions.of_project(session, project_id)
            if version.state is VersionState.SCORING
        }
    return any(context.queues.is_scored_now(version, chunks) for version, chunks in unfinished.items())
