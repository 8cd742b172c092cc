"""Training: re-read the labels, fine-tune, compare with the champion, record the new version."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.examples import Data, ImagesAwayError, read_examples
from ml_backend.learn.extra_examples import EXTRA_EXAMPLES
from ml_backend.learn.heartbeat import Lease, hold
from ml_backend.learn.judgement import can_select, judge
from ml_backend.learn.labels import LabelledTask, label_digests, sort_out
from ml_backend.learn.problems import summed_up
from ml_backend.learn.start_weights import starting_point
from ml_backend.learn.trigger import after_training
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import FINAL, job
from ml_backend.store import agreements, events, labels_seen, projects, runs, scores, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Project, RunState, TrainingRun, Version, VersionState
from ml_backend.store.version_names import version_name
from model.engines import prepare_version
from model.imaging.preprocessing import PreprocessingSettings
from model.loss import LossWeights, default_dice
from model.training.run import TrainingResult, train
from model.training.settings import Progress, TrainingError, TrainingSettings
from model.weights import Card, WeightsError, save_version

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 3.0
"""Shortest time between two updates of the training's progress."""

UNFINISHED = "It had not converged after TRAIN_SECONDS and continues as soon as nothing else waits."
"""Message of a run whose version is published and trained further."""

UNCHANGED = "The masks are those that the last version learned from; there is nothing new to learn."
"""Message of a run that made no version."""

OUR_FAULTS = (*FINAL, LabelStudioError, ImagesAwayError, WeightsError, TrainingError)
"""Errors whose text is a sentence; others are reported with the name of their class."""

POSTPONED_SECONDS = 3.0
"""How long a training is postponed while its project is being scored."""


@job(kinds.TRAINING)
def train_project(context: Context, project_id: int) -> None:
    """Train a project on all labels it has now, as one run that survives a kill.

    Does nothing if another process trains the project or nothing has changed. After a kill the next worker
    resumes the run from its last checkpoint.
    """
    if _is_scored_now(context, project_id):
        context.queues.request_training(project_id, delay=POSTPONED_SECONDS)
        return
    owner = ProcessId.current()
    with context.database.write() as session:
        active = projects.is_active(session, project_id)
        run = runs.begin(session, project_id, owner) if active else None
    if run is None:
        return
    training = Training(context, project_id, run.id, owner)
    try:
        with hold(context.database, run.id, owner) as lease:
            version = training.perform(lease)
    except runs.LeaseLostError as error:
        logger.warning("%s", error)
        return
    except Exception as error:
        training.fail(error)
        after_training(context.database, context.queues, context.settings, project_id)
        raise
    if version is not None and version.state is VersionState.SCORING:
        context.queues.request_score_version(version.id)
    training.clear()
    after_training(context.database, context.queues, context.settings, project_id)


def _is_scored_now(context: Context, project_id: int) -> bool:
    """Whether a version of the project is on its way to annotators, which a newer one would overtake."""
    with context.database.read() as session:
        unfinished = {
            version.id: scores.unfinished_chunks(session, version.id)
            for version in versions.of_project(session, project_id)
            if version.state is VersionState.SCORING
        }
    return any(context.queues.is_scored_now(version, chunks) for version, chunks in unfinished.items())


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
        rule = context.settings.for_project(config.knobs.overrides).annotations
        exported = context.label_studio.labelled_tasks(self.project_id)
        chosen = sort_out(exported, rule, config.exclusions)
        tasks = chosen.labelled
        if self._is_needless(tasks, config):
            self._end_needless(len(tasks))
            return None
        champion = self._champion()
        begun = starting_point(context, champion, config)
        data = read_examples(context, self.project_id, tasks, config, begun.preprocessing)
        data.problems[:0] = chosen.left_out
        if not data.training:
            with context.database.write() as session:
                self._end(session, data, None, remark="There are no labels to learn from.")
            return None
        further = {
            name: read(context, champion, config, begun.preprocessing, data.teaching)
            for name, read in EXTRA_EXAMPLES.items()
        }
        counts = {name: len(examples) for name, examples in further.items()}
        result = train(
            [*data.training, *chain.from_iterable(further.values())],
            # With too few images nothing is selected: the last weights are kept.
            data.validation if can_select(data) else [],
            labels=config.labels,
            network=begun.network,
            settings=self._settings(config),
            start=begun.start,
            checkpoints=self._folder / "checkpoint",
            progress=lambda progress: self._report_progress(progress, lease),
        )
        parent = champion if begun.start is not None else None
        if champion is not None and begun.is_champion and result.metrics["kept_step"] == 0:
            with context.database.write() as session:
                self._end(session, data, None, remark=_nothing_better(champion, data))
            return None
        result.metrics.update(counts, training_images=float(len(data.training)))
        directory = self._save(config, result, parent, begun.preprocessing)
        judgement = judge(context, self.project_id, config, directory, champion, data)
        figures = {
            "steps": result.steps,
            "training_seconds": round(result.seconds, 1),
            "converged": result.converged,
            **counts,
            **judgement.metrics,
        }
        verdict = judgement.verdict
        continues = not verdict and self._ended_early(result)
        return self._record(directory, data, config, parent, figures, verdict, continues=continues)

    def fail(self, error: Exception) -> None:
        """Record why the run failed; its events stay pending for the next attempt or the next change."""
        sentence = str(error) if isinstance(error, OUR_FAULTS) else f"{type(error).__name__}: {error}"
        with self.context.database.write() as session:
            run = session.get_one(TrainingRun, self.run_id)
            run.passing = _may_pass(error)
            runs.finish(session, run, RunState.FAILED, message=sentence)
        self.clear()

    def clear(self) -> None:
        """Remove the checkpoints."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return self.context.settings.checkpoint_dir / f"run-{self.run_id}"

    def _settings(self, config: LabelConfig) -> TrainingSettings:
        settings = self.context.settings
        dice = default_dice(len(config.labels)) if settings.loss_dice is None else settings.loss_dice
        return TrainingSettings(
            steps=settings.train_steps,
            seconds=settings.train_seconds,
            until_plateau=True,
            batch=settings.batch_size,
            seed=settings.seed,
            precision=settings.precision,
            device=settings.device,
            loss=LossWeights(settings.loss_lower, settings.loss_middle, settings.loss_final, dice),
        )

    def _ended_early(self, result: TrainingResult) -> bool:
        """Whether only TRAIN_SECONDS ended the training, so that it would learn more if it continued."""
        seconds = self.context.settings.train_seconds
        return not result.converged and seconds is not None and result.seconds >= seconds

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

    def _report_progress(self, progress: Progress, lease: Lease) -> None:
        """Stop if the lease is lost, and record the progress that `dsal status` shows."""
        lease.check()
        if time.monotonic() - self._progress_at < PROGRESS_SECONDS:
            return
        self._progress_at = time.monotonic()
        of = "" if progress.steps is None else f" of {progress.steps}"
        with self.context.database.write() as session:
            runs.keep(session, self.run_id, self.owner)
            run = session.get_one(TrainingRun, self.run_id)
            run.message = f"step {progress.step}{of}, {progress.seconds:.0f} s, loss {progress.loss:.3f}"

    def _save(
        self,
        config: LabelConfig,
        result: TrainingResult,
        parent: Version | None,
        preprocessing: PreprocessingSettings,
    ) -> Path:
        """Write the version's folder, including what its engine needs."""
        with self.context.database.read() as session:
            number = versions.next_round(session, self.project_id)
            seed = session.get_one(Project, self.project_id).seed
        directory = self._folder / "version"
        card = Card(
            name=version_name(self.project_id, number, seed),
            labels=config.labels,
            network=result.network.settings,
            preprocessing=preprocessing,
            loss=self._settings(config).loss,
            metrics={name: value for name, value in result.metrics.items() if np.isfinite(value)},
            parent=None if parent is None else parent.name,
            training={**self._settings(config).to_dict(), "steps_done": result.steps, "run": self.run_id},
        )
        save_version(directory, result.network, card)
        settings = self.context.settings
        prepare_version(result.network, directory, engine=settings.engine, device=settings.device)
        return directory

    def _record(
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
            self._end(session, data, version, remark=UNFINISHED if continues else "")
            if continues:
                # Stored with the version, so that a kill in between does not end the learning.
                events.add(session, self.project_id, events.CONTINUE_TRAINING)
        return version

    def _end(
        self,
        session: Session,
        data: Data,
        version: Version | None,
        *,
        remark: str = "",
    ) -> None:
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

    def _end_needless(self, tasks: int) -> None:
        with self.context.database.write() as session:
            run = session.get_one(TrainingRun, self.run_id)
            runs.finish(session, run, RunState.FINISHED, message=UNCHANGED, labels=tasks)


def _nothing_better(champion: Version, data: Data) -> str:
    return (
        f"The training found no better weights than those of {champion.name} on {len(data.validated)} "
        "validation images, so that version stays."
    )


def _may_pass(error: Exception) -> bool:
    """Whether a training that failed with this error may succeed later without anyone's help."""
    if isinstance(error, LabelStudioError):
        return error.status is None or error.status >= 500
    return isinstance(error, ImagesAwayError)
