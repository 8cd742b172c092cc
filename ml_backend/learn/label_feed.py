"""Continuous learning: labels join the running training, whose weights draw the next tasks meanwhile.

A run is a round: it takes each label as it comes, pauses when it has learned them, and ends with a new
version when RETRAIN_EVERY labels have changed, after a quiet time, or on request. If another project's
training waits, the run stops and is resumed later from its checkpoint.
"""

from __future__ import annotations

import copy
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.items import OutsideFault, is_outside
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.examples import Data, ImagesAwayError
from ml_backend.learn.heartbeat import Lease, say
from ml_backend.learn.judgement import can_select
from ml_backend.learn.labels import task_of
from ml_backend.queue.context import Context
from ml_backend.store import drafts, events, runs
from ml_backend.store.clock import seconds_since
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Draft
from ml_backend.store.weights import WeightStoreError
from model.network import DeeplySupervisedUNet
from model.training.continuous import Examples, Feed
from model.training.dataset import Example
from model.training.first_click import first_click
from model.training.settings import Progress, TrainingStopped

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Time between two looks at the events, and at whether the run may end."""

RETRY_SECONDS = 15.0
"""Time after which labels that could not be read are read again."""

MOST_RETRIES = 20
"""Retries after which the run fails; it is repeated like any training that failed for a temporary reason."""

ROUND_STEPS = 20
"""Steps with all labels of a round, for weights that were trained before.

A network that learns from scratch goes on to its plateau, and so does a training that was asked for.
"""

LAST_STEPS = 10
"""Minimum steps with the newest label before a full round ends; `LONGEST_STEPS` takes precedence."""

LONGEST_STEPS = 3 * ROUND_STEPS
"""Maximum steps with all labels of a round; it then ends even if its newest label has just arrived."""


class StoppedError(OutsideFault, TrainingStopped):
    """The run stops here and is to be resumed.

    Attributes:
        reason: why, in words.
        delay: seconds after which it is requested; None if something else will request it.
    """

    def __init__(self, reason: str, delay: float | None) -> None:
        super().__init__(reason)
        self.reason, self.delay = reason, delay


@dataclass
class LabelFeed(Feed):
    """Gives a project's labels to its running training, and decides when the round is over.

    Attributes:
        context, project_id, run_id, owner, lease: of the run.
        config: the labeling config that the network is trained for.
        read: reads all labels again.
        write: writes a network as a version's folder, given the steps done and figures for its card.
        data: what `read` gave last; at first, what the run begins with.
        further: examples of other sources, which do not change.
        is_fresh_network: whether the network learns from scratch.
        folder: for drafts.
        ended_settled: whether the training had nothing more to gain within its budget when it ended.
        config_changed: whether the labeling config is no longer `config`: the round ends, and later labels
            are left to the next run.
    """

    context: Context
    project_id: int
    run_id: int
    owner: ProcessId
    lease: Lease
    config: LabelConfig
    read: Callable[[], Data]
    write: Callable[[Path, DeeplySupervisedUNet, int, Mapping[str, float]], None]
    data: Data
    further: list[Example]
    is_fresh_network: bool
    folder: Path
    ended_settled: bool = field(default=False, init=False)
    config_changed: bool = field(default=False, init=False)
    _round: events.Round = field(init=False)
    _is_requested: bool = field(init=False)
    _given: bool = field(default=False, init=False)
    _retry_at: float | None = field(default=None, init=False)
    _retries: int = field(default=0, init=False)
    _looked_at: float = field(default=0.0, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _full_steps: int = field(default=0, init=False)
    _rests: bool = field(default=False, init=False)
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
        is_due = self._retry_at is not None and moment >= self._retry_at
        former = {one.key for one in self.data.training} | {one.key for one in self.data.validation}
        data = self._read_again(moment, is_due=is_due)
        if data is None:
            return None
        self.data = data
        changed = former != {one.key for one in data.training} | {one.key for one in data.validation}
        if not changed or not data.training:
            return None
        self._rests = False
        return self._examples(fresh=[one for one in data.training if one.key not in former])

    def _read_again(self, moment: float, *, is_due: bool) -> Data | None:
        """All labels; None if there is nothing new, or if they cannot be read now and are to be read again.

        Raises:
            LabelStudioError, ImagesAwayError, SQLAlchemyError: reading failed permanently, or too many times
                in a row.
        """
        try:
            if not self._consume() and not is_due:
                return None
            data = self.read()
        except (LabelStudioError, ImagesAwayError, SQLAlchemyError) as error:
            if not is_outside(error) or self._retries == MOST_RETRIES:
                raise
            self._retries, self._retry_at = self._retries + 1, moment + RETRY_SECONDS
            self._say(f"new labels cannot be read and are tried again: {error}")
            return None
        self._retries, self._retry_at = 0, None
        return data

    def ends(self, steps: int, *, settled: bool) -> bool:
        """Whether the round is over; it is not while a version of the project is being scored."""
        self._full_steps += self._is_full()
        moment = time.monotonic()
        if moment - self._asked_at < LOOK_SECONDS:
            return False
        self._asked_at = moment
        if not self.context.is_active(self.project_id):
            raise StoppedError("the project is archived", None)
        try:
            return self._is_over(steps, settled=settled)
        except RedisError:
            logger.warning("Redis does not answer; the training of project %d goes on.", self.project_id)
            return False

    def _is_over(self, steps: int, *, settled: bool) -> bool:
        """Whether the round is over.

        Raises:
            StoppedError: it is another project's turn.
        """
        is_quiet = self._quiet_for() >= self.context.settings.quiet_seconds
        is_due = self._is_full() or self._is_requested or is_quiet
        is_learned = settled or self._hurries(steps)
        is_over = self.config_changed or (is_due and is_learned and self._retry_at is None)
        if is_over and not self.context.is_scored_now(self.project_id):
            self.ended_settled = settled
            return True
        if is_over or not is_due:
            # A round that only needs to be learned is finished first; otherwise two projects would take
            # turns for ever.
            self._make_way(settled=settled)
        return False

    def _hurries(self, steps: int) -> bool:
        """Whether a full round has been learned well enough to end before the plateau."""
        if self.is_fresh_network or self._is_requested:
            return False
        if self._full_steps >= LONGEST_STEPS:
            return True
        return self._full_steps >= ROUND_STEPS and steps >= LAST_STEPS

    def rest(self) -> None:
        """Wait for the next look, and keep the lease."""
        self.lease.check()
        if not self._rests:
            self._rests = True
            self._say(f"has learned {self.data.used} labels and waits for the next")
        time.sleep(LOOK_SECONDS / 2)

    def draft(self, network: DeeplySupervisedUNet, progress: Progress, start_dsc: float | None) -> None:
        """Let these weights draw the next tasks, unless the first were better on the validation images.

        A failing store or queue is only logged, because drafts are optional and must not fail the training.
        """
        margin = self.context.settings.publish_margin
        dsc = progress.validation_dsc
        if start_dsc is not None and dsc is not None and dsc < start_dsc - margin:
            logger.info("Step %d draws nothing: its validation Dice is too low.", progress.step)
            return
        self.lease.check()
        directory = self.folder / "draft"
        shutil.rmtree(directory, ignore_errors=True)
        drawn_by = copy.deepcopy(network).to("cpu").eval()
        figures = first_click(drawn_by, self.data.validation or self.data.training)
        self.write(directory, drawn_by, progress.step, figures)
        try:
            self._publish(directory, progress.step)
        except (OSError, WeightStoreError, RedisError, SQLAlchemyError) as error:
            logger.warning("The draft of step %d is not used: %s", progress.step, error)

    def _publish(self, directory: Path, step: int) -> None:
        """Store the weights in `directory` as the project's draft, and request that tasks are drawn by it."""
        weights_hash = self.context.weights.put(directory)
        with self.context.database.write() as session:
            runs.keep(session, self.run_id, self.owner)
            draft = Draft(
                project_id=self.project_id,
                run_id=self.run_id,
                weights_hash=weights_hash,
                labels=list(self.config.labels),
                step=step,
                learned=self.data.used,
            )
            surplus = drafts.replace(session, draft)
        self.context.queues.request_redraw(self.project_id)
        for key in surplus:
            self.context.weights.delete(key)

    def _examples(self, fresh: list[Example]) -> Examples:
        # With too few images nothing is selected: the last weights are kept.
        validation = self.data.validation if can_select(self.data) else []
        labelled = {label.task_id for label in self.data.seen.values()}
        further = [one for one in self.further if task_of(one.key) not in labelled]
        return Examples([*self.data.training, *further], validation, fresh)

    def _consume(self) -> bool:
        """Take the pending events into this run; False if there are none for it."""
        with self.context.database.read() as session:
            pending = events.pending(session, self.project_id)
        if not pending.fresh or self.config_changed:
            return False
        self.config_changed = self.context.read_config(self.project_id) != self.config
        if self.config_changed:
            return False
        with self.context.database.write() as session:
            runs.keep(session, self.run_id, self.owner)
            events.consume(session, self.project_id, self.run_id)
        self._read_round()
        return True

    def _say(self, message: str) -> None:
        """Show what the run does in `dsal status`."""
        say(self.context.database, self.run_id, self.owner, message)

    def _read_round(self) -> None:
        with self.context.database.read() as session:
            self._round = events.of_run(session, self.run_id)
            self._is_requested = events.was_asked_for(session, self.run_id)

    def _is_full(self) -> bool:
        return self._round.changes >= self.context.settings.retrain_every

    def _quiet_for(self) -> float:
        """Seconds since the last change; infinite if there was none."""
        last = self._round.last_at
        return math.inf if last is None else seconds_since(last)

    def _make_way(self, *, settled: bool) -> None:
        """Raise `StoppedError` if it is another project's turn."""
        if time.monotonic() - self._began < self.context.settings.turn_seconds:
            return
        if self.context.queues.others_train(self.project_id):
            quiet = self.context.settings.quiet_seconds - self._quiet_for()
            delay = max(1.0, quiet) if settled else 1.0
            raise StoppedError("waits for the training of another project", delay)
