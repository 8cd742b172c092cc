"""Continuous training: new examples join at the next step, and averaged weights are handed out on the way.

A training that ends and begins again for every few labels shows their effect late and loses the state of its
optimiser. Here one run continues: its caller feeds it, it pauses once it has converged, and it continues with
the next label. The weights of single steps are noisy, so the run hands out only the moving average of its
weights (`model.training.averaging`).
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training import checkpoint as checkpointing
from model.training.averaging import Average
from model.training.batches import Batches
from model.training.checkpoint import Checkpoint
from model.training.checks import check_examples, check_network
from model.training.dataset import Example
from model.training.plateau import has_converged
from model.training.run import Run
from model.training.settings import Progress, TrainingResult, TrainingSettings, TrainingStopped
from model.training.validation import validation_dsc

WARM_UP_STEPS = 10
"""Steps in which the learning rate rises to its peak, where it stays: the average replaces a cool-down."""

DRAFT_STEPS = 10
"""Averaged weights are handed out after this many steps on new examples, and after 2, 4, 8 … times that."""


@dataclass(frozen=True)
class Examples:
    """The examples of a training from now on.

    Attributes:
        training: at least one.
        validation: examples with other keys; if empty, nothing is selected.
        fresh: those of `training` that are new; they are learned first.
    """

    training: Sequence[Example]
    validation: Sequence[Example]
    fresh: Sequence[Example] = ()


class Feed(ABC):
    """What a continuous training asks of its caller, in its thread; all may raise `TrainingStopped`."""

    @abstractmethod
    def take(self) -> Examples | None:
        """All examples if any have changed since the last call, else None; asked before each step."""

    @abstractmethod
    def ends(self, steps: int, *, settled: bool) -> bool:
        """Whether the training ends now; asked after each step, and repeatedly while it pauses.

        Args:
            steps: since examples were last taken.
            settled: whether it pauses: it has stopped improving, or its budget is spent.
        """

    @abstractmethod
    def rest(self) -> None:
        """Wait a moment; called repeatedly between the plateau and the next example."""

    @abstractmethod
    def draft(self, network: DeeplySupervisedUNet, progress: Progress, start_dsc: float | None) -> None:
        """Use averaged weights.

        Args:
            network: in evaluation mode; the next step changes it again.
            progress: of the step.
            start_dsc: Dice of the start weights on the same validation images as `progress.validation_dsc`;
                None without start weights or validation images.
        """


def train_continuously(
    feed: Feed,
    *,
    labels: tuple[str, ...],
    network: NetworkSettings,
    settings: TrainingSettings,
    start: DeeplySupervisedUNet | None = None,
    checkpoints: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Train on what `feed` gives until it ends the training, and keep the best averaged weights.

    Args:
        feed: gives examples; its first `take` must give some.
        labels, network, start, progress: as of `model.training.run.train`.
        settings: its budget counts from the last new example on, and the learning rate stays at its peak.
        checkpoints: a directory for this run alone; a checkpoint is continued whatever the examples are now.

    Raises:
        TrainingError: as of `model.training.run.train`.
        TrainingStopped: the feed raised it.
    """
    examples = feed.take()
    assert examples is not None  # required of the feed
    check_examples(examples.training, examples.validation, labels)
    check_network(labels, network, start)
    return _ContinuousRun(feed, examples, labels, network, settings, start, checkpoints, progress).finish()


class _ContinuousRun(Run):
    """One continuous training.

    Attributes:
        average: of the weights of all steps.
        start, start_dsc: the start weights, and their Dice on the present validation images.
        keys: of the examples that were last taken.
        taken_at: step at which examples were last taken.
        taken_after: seconds of training until then.
        rested: seconds without steps.
        draft_at: step after which averaged weights are handed out next.
    """

    def __init__(
        self,
        feed: Feed,
        examples: Examples,
        labels: tuple[str, ...],
        network: NetworkSettings,
        settings: TrainingSettings,
        start: DeeplySupervisedUNet | None,
        checkpoints: Path | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        super().__init__(
            examples.training, examples.validation, labels, network, settings, start, checkpoints, progress
        )
        # Examples come and go during a run, and its start weights may be replaced by better ones meanwhile.
        configuration = {
            "continuous": True,
            "labels": labels,
            "network": checkpointing.shape(network),
            "settings": settings.to_dict(),
        }
        self.fingerprint = checkpointing.run_fingerprint(configuration, [], None)
        self.feed, self.labels, self.examples = feed, labels, examples
        self.average = Average(self.network)
        self.start = start
        self.start_dsc: float | None = None
        self.keys: list[str] = []
        self.taken_at, self.taken_after, self.rested, self.draft_at = 0, 0.0, 0.0, DRAFT_STEPS

    def finish(self) -> TrainingResult:
        """Run until the feed ends it."""
        self._resume()
        if self.step == 0 and self.fine_tunes and self.validation:
            self._report((0, math.nan), self._validate())
        ended = False
        try:
            while not ended:
                self._begin_with(self.examples)
                with closing(self.batches.stream(self.step)) as stream:
                    ended = not self._follow(stream)
        except TrainingStopped:
            self._save_stopped()
            raise
        return self._result()

    def _follow(self, stream: Any) -> bool:
        """Train until new examples arrive (True) or the feed ends the training (False)."""
        while True:
            fresh = self.feed.take()
            if fresh is not None:
                check_examples(fresh.training, fresh.validation, self.labels)
                self.examples = fresh
                return True
            steps, settled = self.step - self.taken_at, self._is_settled()
            if steps and self.feed.ends(steps, settled=settled):
                self._report_end()
                return False
            if settled:
                began = time.monotonic()
                self.feed.rest()
                self.rested += time.monotonic() - began
            else:
                self._step(stream)

    def _step(self, stream: Any) -> None:
        self._learn(next(stream))
        self.average.update(self.network, self.step)
        drafts = self.step >= self.draft_at or self._is_settled()
        self._report_steps(validate=drafts or self.step % self.settings.validate_every == 0)
        if drafts or self._is_settled():
            self._report_unread(0)
            self.draft_at = self.step + max(DRAFT_STEPS, self.step - self.taken_at)
            self.feed.draft(self.average.network, self.history[-1], self._start_dsc())

    def _report_end(self) -> None:
        """Validate and save the last step, unless that has happened."""
        self._report_unread(0)
        last = self.history[-1]
        if self.validation and last.validation_dsc is None:
            self.history.pop()
            self._report((last.step, last.loss), self._validate(), finished=True)
        else:
            self._save()

    def _begin_with(self, examples: Examples) -> None:
        """Continue with these examples; if any is new, the plateau and the budget count from now on."""
        keys = [one.key for one in (*examples.training, *examples.validation)]
        if [one.key for one in self.validation] != [one.key for one in examples.validation]:
            self.start_dsc = None
        self.training, self.validation = examples.training, examples.validation
        if self.step and keys != self.keys:
            # The best weights so far have not seen the new examples, or were chosen on other images.
            self.best = None
        if keys != self.keys:
            self.taken_at, self.taken_after, self.converged_at = self.step, self._seconds(), None
            soon = self.step + DRAFT_STEPS
            self.draft_at = soon if self.draft_at <= self.step else min(self.draft_at, soon)
        self.keys = keys
        settings = self.settings
        self.batches = Batches(
            examples.training,
            settings.batch,
            seed=settings.seed,
            augment=settings.augment,
            balanced=settings.balanced,
            crop=settings.crop,
            first=examples.fresh,
            since=self.step,
            device=self.device,
            episodes=self.episodes,
        )

    @property
    def candidate(self) -> DeeplySupervisedUNet:
        """The averaged network."""
        return self.average.network

    def _start_dsc(self) -> float | None:
        """Dice of the start weights on the present validation images."""
        if self.start is None or not self.validation:
            return None
        if self.start_dsc is None:
            start = copy.deepcopy(self.start).to(self.device.device)
            self.start_dsc = validation_dsc(start, self.validation, self.device)
        return self.start_dsc

    def _is_settled(self) -> bool:
        spent = self.budget.spent(self.step - self.taken_at, self._seconds() - self.taken_after)
        return self.converged_at is not None or spent >= 1

    def _watch_plateau(self) -> None:
        since = [one for one in self.history if one.step > self.taken_at]
        if self.settings.until_plateau and self.converged_at is None and since and has_converged(since):
            self.converged_at = self.step

    def _rate(self) -> float:
        return self.settings.learning_rate * min(1.0, (self.step + 1) / WARM_UP_STEPS)

    def _seconds(self) -> float:
        return super()._seconds() - self.rested

    def _further_tensors(self) -> dict[str, Tensor]:
        return checkpointing.prefixed("average", self.average.state())

    def _further_state(self) -> dict[str, Any]:
        return {
            "keys": self.keys,
            "taken_at": self.taken_at,
            "taken_after": self.taken_after,
            "draft_at": self.draft_at,
        }

    def _resume(self) -> Checkpoint | None:
        found = super()._resume()
        if found is None:
            self.average = Average(self.network)
        else:
            self.average.network.load_state_dict(checkpointing.unprefixed("average", found.tensors))
            self.keys, self.draft_at = found.state["keys"], found.state["draft_at"]
            self.taken_at, self.taken_after = found.state["taken_at"], found.state["taken_after"]
        return found
