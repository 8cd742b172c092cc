"""Training: fine-tune given weights, or train fresh ones, within a budget of steps or seconds."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training import checkpoint as checkpointing
from model.training.batches import Batch, Batches, ExampleSource
from model.training.checkpoint import Checkpoint
from model.training.checks import check_examples, check_network
from model.training.dataset import Example
from model.training.device import TrainingDevice
from model.training.optimisation import Budget, optimiser, rate_factor
from model.training.plateau import cool_down_factor, cool_down_steps, has_converged
from model.training.ranks import ALONE, Ranks, joined
from model.training.settings import (
    Progress,
    TrainingError,
    TrainingResult,
    TrainingSettings,
    TrainingStopped,
)
from model.training.start import start_network
from model.training.stepping import LateLoss, Stepper
from model.training.validation import Best, validation_dsc

__all__ = ["Progress", "TrainingError", "TrainingResult", "TrainingSettings", "train"]

logger = logging.getLogger(__name__)

NON_FINITE_STEPS = 5
"""Number of steps in a row without a finite loss that end the run."""
RECENT_STEPS = 10


def train(
    training: Sequence[Example] | ExampleSource,
    validation: Sequence[Example],
    *,
    labels: tuple[str, ...],
    network: NetworkSettings,
    settings: TrainingSettings,
    start: DeeplySupervisedUNet | None = None,
    checkpoints: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Train on `training` and keep the weights with the best Dice on `validation`.

    Where torchrun has started several processes, each calls this with the same arguments: they share each
    batch, the first one alone validates, reports and writes checkpoints, and all get its result.

    Deterministic under `settings.seed` for a budget in steps, in fp32, on one machine's CPU with one number
    of threads. torch's global generator and number of threads are not changed.

    Args:
        training: at least one example, or a source that draws them as they are needed.
        validation: examples with other keys; if empty, the last weights are kept.
        labels: foreground label names; the network has one class more.
        network: shape of fresh weights; `start` must have the same, except for dropout.
        settings: how to train.
        start: weights to fine-tune; not changed. They count as step 0 when the best weights are chosen.
        checkpoints: a directory for this run alone. If it contains a checkpoint of the same run (labels,
            network, settings, data and start weights are compared), the run resumes there; any other
            checkpoint is ignored and replaced. The last one is kept, so a caller that is killed before it
            stores the result gets it again at once; remove the directory after that.
        progress: called after each step, in this thread; an exception it raises ends the run. After
            `TrainingStopped`, the same call resumes it at this step.

    Raises:
        TrainingStopped: `progress` raised it.
        TrainingError: there are no examples, training and validation share a key, settings and data
            contradict each other, the loss was not finite `NON_FINITE_STEPS` times in a row, or another
            process of the training has ended.
    """
    check_examples(training, validation, labels)
    check_network(labels, network, start)
    with joined() as ranks:
        run = Run(training, validation, labels, network, settings, start, checkpoints, progress, ranks)
        return ranks.shared(run.finish())


class Run:
    """One training, from its start or its checkpoint to its end."""

    def __init__(
        self,
        training: Sequence[Example] | ExampleSource,
        validation: Sequence[Example],
        labels: tuple[str, ...],
        network: NetworkSettings,
        settings: TrainingSettings,
        start: DeeplySupervisedUNet | None,
        checkpoints: Path | None,
        progress: Callable[[Progress], None] | None,
        ranks: Ranks = ALONE,
    ) -> None:
        if settings.batch < ranks.count:
            raise TrainingError(
                f"{ranks.count} processes cannot share a batch of {settings.batch}; "
                "give a larger batch, or start fewer of them."
            )
        self.training, self.settings, self.ranks = training, settings, ranks
        self.validation = validation if ranks.first else ()
        self.checkpoints, self.progress = (checkpoints, progress) if ranks.first else (None, None)
        self.fine_tunes = start is not None
        self.device = ranks.device(TrainingDevice.find(settings.device, settings.precision))
        self.budget = Budget(settings.steps, settings.seconds)
        is_list = not isinstance(training, ExampleSource)
        self.episodes = settings.episodes if network.prompts and is_list else 0
        self.batches = Batches(
            training,
            settings.batch,
            seed=settings.seed,
            augment=settings.augment,
            balanced=settings.balanced,
            crop=settings.crop,
            device=self.device,
            ranks=ranks,
            episodes=self.episodes,
        )
        self.fingerprint = checkpointing.fingerprint_of(
            training, validation, labels, network, settings, start
        )
        self.network = start_network(network, settings.seed, start, self.device, prompts=bool(self.episodes))
        self.optimiser = optimiser(self.network, settings.learning_rate, settings.weight_decay)
        self.stepper = Stepper(self.network, settings.loss, self.optimiser, self.device, settings.seed, ranks)
        self.step = 0
        self.unread: deque[tuple[int, LateLoss]] = deque()
        self.converged_at: int | None = None
        self.skipped_in_a_row = 0
        self.history: list[Progress] = []
        self.best: Best | None = None
        self.began = time.monotonic()

    def finish(self) -> TrainingResult:
        """Run until the budget ends, or to the end of the cool-down after the plateau."""
        self._resume()
        if self.step == 0 and self.fine_tunes and self.validation:
            self._report((0, math.nan), self._validate())
        finished = bool(self.ranks.agreed(self._is_finished()))
        try:
            with closing(self.batches.stream(self.step)) as stream:
                while not finished:
                    self._learn(next(stream))
                    finished = bool(self.ranks.agreed(self._is_finished()))
                    due = finished or self.step % self.settings.validate_every == 0
                    self._report_steps(validate=due, finished=finished)
        except TrainingStopped:
            self._save_stopped()
            raise
        return self._result()

    @property
    def candidate(self) -> DeeplySupervisedUNet:
        """The network that is validated and kept: here, the one that is trained."""
        return self.network

    def _seconds(self) -> float:
        return time.monotonic() - self.began

    def _spent(self) -> float:
        return self.budget.spent(self.step, self._seconds())

    def _is_finished(self) -> bool:
        cooled = self.converged_at is not None and self.step >= self.converged_at + cool_down_steps(
            self.converged_at
        )
        return cooled or self._spent() >= 1

    def _watch_plateau(self) -> None:
        if self.settings.until_plateau and self.converged_at is None and has_converged(self.history):
            self.converged_at = self.step

    def _rate(self) -> float:
        factor = rate_factor(self._spent())
        if self.converged_at is not None:
            factor *= cool_down_factor(self.step, self.converged_at)
        return self.settings.learning_rate * factor

    def _learn(self, batch: Batch) -> None:
        """Begin one step, whose loss is read later."""
        rate = self.ranks.agreed(self._rate())
        self.unread.append((self.step + 1, self.stepper.learn(batch, rate, self.step)))
        self.step += 1

    def _report_steps(self, *, validate: bool, finished: bool = False) -> None:
        """Report the steps whose losses are read now: all of them if the last one is validated or saved."""
        if not (validate or finished or self.step % self.settings.checkpoint_every == 0):
            self._report_unread(self.device.lag)
            return
        self._report_unread(1)
        read = self._read()
        self._report(read, self._validate() if validate and self.validation else None, finished=finished)
        self._watch_plateau()

    def _report_unread(self, left: int) -> None:
        """Report all steps that are not yet reported, except for the last ones."""
        while len(self.unread) > left:
            self._report(self._read())
            self._watch_plateau()

    def _read(self) -> tuple[int, float]:
        """The oldest step that is not reported, and its loss, or NaN if it was skipped as not finite."""
        step, late = self.unread.popleft()
        loss = late.read()
        self.skipped_in_a_row = 0 if math.isfinite(loss) else self.skipped_in_a_row + 1
        if self.skipped_in_a_row == NON_FINITE_STEPS:
            raise TrainingError(
                f"The loss was not finite {NON_FINITE_STEPS} times in a row (step {step}); "
                "lower the learning rate or train from other weights."
            )
        return step, loss

    def _validate(self) -> float:
        """Dice of the current weights, which are kept if it is the best so far."""
        dsc = validation_dsc(self.candidate, self.validation, self.device)
        if self.best is None or dsc > self.best.dsc:
            self.best = Best.of(self.candidate, dsc, self.step)
        return dsc

    def _report(self, read: tuple[int, float], dsc: float | None = None, *, finished: bool = False) -> None:
        """Record a step; the checkpoint precedes the callback, so that a cancelled run can resume."""
        step, loss = read
        done = Progress(step, self.settings.steps, self._seconds(), loss, dsc)
        self.history.append(done)
        if step and (finished or step % self.settings.checkpoint_every == 0):
            self._save()
        if self.progress is not None:
            self.progress(done)

    def _save_stopped(self) -> None:
        """Save the last step, of whose end the caller need not hear."""
        self.progress = None
        self._report_unread(0)
        self._save()

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        tensors = checkpointing.prefixed("network", self.network.state_dict())
        tensors |= checkpointing.prefixed("optimiser", checkpointing.optimiser_tensors(self.optimiser))
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self._seconds(),
            "converged_at": self.converged_at,
            "skipped_in_a_row": self.skipped_in_a_row,
            "history": [asdict(entry) for entry in self.history],
        }
        if self.best is not None:
            tensors |= checkpointing.prefixed("best", self.best.weights)
            state["best"] = {"dsc": self.best.dsc, "step": self.best.step}
        tensors |= self._further_tensors()
        state |= self._further_state()
        try:
            checkpointing.save_checkpoint(
                self.checkpoints, Checkpoint(tensors, state), fingerprint=self.fingerprint
            )
        except OSError as error:
            # A full disk may have room again before the training ends; only a kill needs the checkpoint.
            logger.warning("The checkpoint of step %d was not written: %s", self.step, error)

    def _further_tensors(self) -> dict[str, Tensor]:
        """Tensors that a subclass needs to resume."""
        return {}

    def _further_state(self) -> dict[str, Any]:
        """JSON values that a subclass needs to resume."""
        return {}

    def _resume(self) -> Checkpoint | None:
        """Continue from the run's checkpoint, if there is one; returns it."""
        found = None
        if self.checkpoints is not None:
            found = checkpointing.load_checkpoint(self.checkpoints, fingerprint=self.fingerprint)
        found = self.ranks.shared(found)
        if found is None:
            return None
        self.network.load_state_dict(checkpointing.unprefixed("network", found.tensors))
        checkpointing.restore_optimiser(self.optimiser, checkpointing.unprefixed("optimiser", found.tensors))
        self.step, self.skipped_in_a_row = found.state["step"], found.state["skipped_in_a_row"]
        self.converged_at = found.state.get("converged_at")
        self.began -= found.state["seconds"]
        self.history = [Progress(**entry) for entry in found.state["history"]]
        if "best" in found.state:
            self.best = Best(**found.state["best"], weights=checkpointing.unprefixed("best", found.tensors))
        return found

    def _result(self) -> TrainingResult:
        seconds = self._seconds()
        losses = [p.loss for p in self.history if math.isfinite(p.loss)][-RECENT_STEPS:]
        metrics = {
            "steps": float(self.step),
            "seconds": seconds,
            "loss": float(np.mean(losses)) if losses else math.nan,
            "training_images": float(self._images()),
            "validation_images": float(len(self.validation)),
            "kept_step": float(self.best.step if self.best else self.step),
        }
        if self.best is not None:
            metrics["validation_dsc"] = self.best.dsc
            if self.history[0].step == 0 and self.history[0].validation_dsc is not None:
                metrics["start_validation_dsc"] = self.history[0].validation_dsc
        network = self.ranks.plain(self.candidate).to("cpu")
        if self.best is not None:
            network.load_state_dict(self.best.weights)
        network.zero_grad(set_to_none=True)
        converged = self.converged_at is not None
        return TrainingResult(network.eval(), metrics, self.history, self.step, seconds, converged)

    def _images(self) -> int:
        if isinstance(self.training, ExampleSource):
            return self.step * self.settings.batch
        return len(self.training)
