"""Training: re-read the labels, fine-tune, compare with the champion, record the new version."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from ml_backend.label_studio.config import LabelConfig
from ml_backend.learn.continuation import Continuation
from ml_backend.learn.examples import Data, Read, read_examples
from ml_backend.learn.extra_examples import EXTRA_EXAMPLES
from ml_backend.learn.heartbeat import Lease, hold, say
from ml_backend.learn.judgement import can_select, judge
from ml_backend.learn.label_feed import LabelFeed, StoppedError
from ml_backend.learn.label_updates import LabelReader
from ml_backend.learn.labels import Chosen, LabelledTask, label_digests
from ml_backend.learn.outcome import Outcome, nothing_better
from ml_backend.learn.start_weights import StartingPoint, starting_point
from ml_backend.learn.trigger import after_training
from ml_backend.learn.version_folder import training_settings, write_folder
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.store import events, labels_seen, projects, runs, versions
from ml_backend.store.drafts import name_of
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import RunState, TrainingRun, Version, VersionState
from model.network import DeeplySupervisedUNet
from model.training.continuous import train_continuously
from model.training.dataset import Example
from model.training.first_click import first_click
from model.training.run import TrainingResult, train
from model.training.settings import Progress

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 3.0
"""Shortest time between two updates of the training's progress."""

STARTED_FROM = (VersionState.SCORING, VersionState.PUBLISHED, VersionState.SUPERSEDED)
"""States of versions from which a training may start."""

POSTPONED_SECONDS = 3.0
"""How long a training is postponed while its project is being scored."""


@job(kinds.TRAINING)
def train_project(context: Context, project_id: int) -> None:
    """Train a project on all labels it has now, as one run that survives a kill.

    Does nothing if another process trains the project or nothing has changed. After a kill the next worker
    resumes the run from its last checkpoint.
    """
    if not context.settings.learn_from and context.is_scored_now(project_id):
        context.queues.request_training(project_id, delay=POSTPONED_SECONDS)
        return
    owner = ProcessId.current()
    with context.database.write() as session:
        may_learn = projects.may_learn(session, project_id)
        run = runs.begin(session, project_id, owner) if may_learn else None
    if run is None:
        return
    training = Training(context, project_id, run.id, owner)
    try:
        with hold(context.database, run.id, owner) as lease:
            version = training.perform(lease)
    except runs.LeaseLostError as error:
        logger.warning("%s", error)
        training.clear_if_ended()
        return
    except StoppedError as stopped:
        with context.database.write() as session:
            runs.release(session, run.id, owner, stopped.reason)
        if stopped.delay is not None:
            context.queues.request_training(project_id, delay=stopped.delay)
        return
    except Exception as error:
        training.outcome.failure(error)
        if context.settings.notify_url.get_secret_value():
            context.queues.request_notice_of_run(run.id)
        training.clear()
        after_training(context.database, context.queues, context.settings, project_id)
        raise
    if version is not None and version.state is VersionState.SCORING:
        context.queues.request_score_version(version.id)
    else:
        # A network that learns no more makes no version, or none that is better.
        context.request_notice_to_stop(project_id)
    training.clear()
    after_training(context.database, context.queues, context.settings, project_id)


@dataclass(frozen=True)
class Learned:
    """The end of a training.

    Attributes:
        result: its weights and figures.
        data: the labels that it took into account.
        ended_early: whether only TRAIN_SECONDS ended it, so that it would learn more if it continued.
    """

    result: TrainingResult
    data: Data
    ended_early: bool


@dataclass
class Training:
    """One run and its steps."""

    context: Context
    project_id: int
    run_id: int
    owner: ProcessId
    _progress_at: float = field(default=0.0, init=False)

    def perform(self, lease: Lease) -> Version | None:
        """Re-read the labels, fine-tune, judge, record the new version; None if there is nothing to learn.

        Raises:
            LeaseLostError: another process has taken over the run.
            LabelConfigError, LabelStudioError, TrainingError, WeightsError: the run cannot be done.
        """
        context = self.context
        config = context.read_config(self.project_id)
        labels = LabelReader(context, self.project_id, config)
        chosen = labels.read()
        if self._is_needless(chosen.labelled, config):
            self.outcome.needless(len(chosen.labelled))
            return None
        source = self._latest()
        begun = starting_point(context, source, config)
        known: dict[int, Read] = {}

        def read(chosen: Chosen) -> Data:
            return self._read(chosen, config, begun, known)

        data = read(chosen)
        if not data.training:
            self.outcome.without_version(data, "There are no labels to learn from.")
            return None
        further = {
            name: extra(context, source, config, begun.preprocessing, data.teaching)
            for name, extra in EXTRA_EXAMPLES.items()
        }
        parent = source if begun.start is not None else None
        extra_examples = [*chain(*further.values())]
        learned = self._learn(lease, config, begun, parent, data, extra_examples, lambda: read(labels.read()))
        result, data = learned.result, learned.data
        stays = source is not None and source.state is not VersionState.SUPERSEDED and begun.is_champion
        if source is not None and stays and result.metrics["kept_step"] == 0:
            self.outcome.without_version(data, nothing_better(source, data))
            return None
        counts = {name: len(examples) for name, examples in further.items()}
        result.metrics.update(counts, training_images=float(len(data.training)))
        result.metrics.update(first_click(result.network, data.validation or data.training))
        directory = self._folder / "version"
        self._write(config, begun, parent, directory, result.network, result.steps, result.metrics)
        own = name_of(self.project_id, self.run_id)
        judgement = judge(context, self.project_id, config, directory, self._champion(), data, own)
        figures = {
            "steps": result.steps,
            "training_seconds": round(result.seconds, 1),
            "converged": result.converged,
            **counts,
            **judgement.metrics,
        }
        verdict = judgement.verdict
        continues = not verdict and learned.ended_early
        return self.outcome.version(directory, data, config, parent, figures, verdict, continues=continues)

    def _read(
        self, chosen: Chosen, config: LabelConfig, begun: StartingPoint, known: dict[int, Read]
    ) -> Data:
        """The examples of the labels; `known` remembers those that were read before."""
        data = read_examples(
            self.context, self.project_id, chosen.labelled, config, begun.preprocessing, known
        )
        data.problems[:0] = chosen.left_out
        return data

    def _learn(
        self,
        lease: Lease,
        config: LabelConfig,
        begun: StartingPoint,
        parent: Version | None,
        data: Data,
        further: list[Example],
        read: Callable[[], Data],
    ) -> Learned:
        """Train until the round is over, or with LEARN_FROM=0 on the labels there are now."""
        settings = training_settings(self.context.settings, config)
        checkpoints = self._folder / "checkpoint"
        if not self.context.settings.learn_from:
            continuation = Continuation(self.context, self.project_id, self.run_id)

            def report(progress: Progress) -> None:
                self._report_progress(progress, lease)
                continuation.make_way()

            result = train(
                [*data.training, *further],
                # With too few images nothing is selected: the last weights are kept.
                data.validation if can_select(data) else [],
                labels=config.labels,
                network=begun.network,
                settings=settings,
                start=begun.start,
                checkpoints=checkpoints,
                progress=report,
            )
            seconds = settings.seconds
            early = not result.converged and seconds is not None and result.seconds >= seconds
            return Learned(result, data, early)
        feed = LabelFeed(
            self.context,
            self.project_id,
            self.run_id,
            self.owner,
            lease,
            config,
            read=read,
            write=partial(self._write, config, begun, parent),
            data=data,
            further=further,
            is_fresh_network=begun.start is None,
            folder=self._folder,
        )
        result = train_continuously(
            feed,
            labels=config.labels,
            network=begun.network,
            settings=settings,
            start=begun.start,
            checkpoints=checkpoints,
            progress=lambda progress: self._report_progress(progress, lease),
        )
        return Learned(result, feed.data, feed.ended_settled and not result.converged and not settings.steps)

    def _write(
        self,
        config: LabelConfig,
        begun: StartingPoint,
        parent: Version | None,
        directory: Path,
        network: DeeplySupervisedUNet,
        steps: int,
        metrics: Mapping[str, float],
    ) -> None:
        write_folder(
            directory,
            network,
            self.context,
            self.project_id,
            config,
            begun.preprocessing,
            run_id=self.run_id,
            steps=steps,
            parent=parent,
            metrics=metrics,
        )

    @property
    def outcome(self) -> Outcome:
        """Records how the run ends."""
        return Outcome(self.context, self.project_id, self.run_id, self.owner)

    def clear(self) -> None:
        """Remove the checkpoints."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def clear_if_ended(self) -> None:
        """Remove the checkpoints if a person has ended the run; another process may continue it otherwise."""
        with self.context.database.read() as session:
            run = session.get(TrainingRun, self.run_id)
        if run is None or run.state is not RunState.RUNNING:
            self.clear()

    @property
    def _folder(self) -> Path:
        return self.context.settings.checkpoint_dir / f"run-{self.run_id}"

    def _is_needless(self, tasks: Sequence[LabelledTask], config: LabelConfig) -> bool:
        """Whether the training was not requested by a person and the last version learned the same labels.

        An event says only that an annotation was saved: the change may be to a comment on a region, or to an
        annotation that does not count.
        """
        with self.context.database.read() as session:
            latest = next(iter(versions.of_project(session, self.project_id)), None)
            if latest is None or latest.weights_hash is None or tuple(latest.labels) != config.labels:
                return False
            if events.was_asked_for(session, self.run_id):
                return False
            return not labels_seen.difference(session, self.project_id, label_digests(tasks))

    def _champion(self) -> Version | None:
        """The published version, if it has weights and they are available."""
        with self.context.database.read() as session:
            champion = versions.published(session, self.project_id)
        if champion is None or champion.weights_hash is None:
            return None
        return champion if self.context.weights.can_give(champion.weights_hash) else None

    def _latest(self) -> Version | None:
        """The newest version that is published or on its way there; if its weights are lost, one before it.

        None if the newest has no weights, or nothing is left of any.
        """
        with self.context.database.read() as session:
            ours = versions.of_project(session, self.project_id)
        states = [VersionState.SCORING, VersionState.PUBLISHED]
        for version in ours:
            if version.state in states:
                if version.weights_hash is None:
                    return None
                if self.context.weights.can_give(version.weights_hash):
                    return version
                logger.warning("The weights of %s are missing or damaged.", version.name)
                states = [*STARTED_FROM]
        return None

    def _report_progress(self, progress: Progress, lease: Lease) -> None:
        """Stop if the lease is lost, and record the progress that `dsal status` shows."""
        lease.check()
        if time.monotonic() - self._progress_at < PROGRESS_SECONDS:
            return
        self._progress_at = time.monotonic()
        # With continuous learning the budget counts from the last label on.
        of = "" if progress.steps is None or self.context.settings.learn_from else f" of {progress.steps}"
        message = f"step {progress.step}{of}, {progress.seconds:.0f} s, loss {progress.loss:.3f}"
        say(self.context.database, self.run_id, self.owner, message)
