"""Training: re-read the labels, fine-tune, compare with the champion, hand the version on."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.events import after_training
from ml_backend.images import IMAGE_FAULTS
from ml_backend.jobs.context import FINAL, Context, job, open_context
from ml_backend.jobs.examples import Data, read_examples, read_pair
from ml_backend.jobs.labels import choose
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.lease import Lease, hold
from ml_backend.owners import Owner
from ml_backend.prediction import load_segmenter
from ml_backend.store import labels, projects, runs, versions
from ml_backend.store.models import RunState, TrainingRun, Version, VersionState
from ml_backend.store.names import version_name
from model.comparison import clearly_worse
from model.loss import LossWeights
from model.metrics import evaluate
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.preprocessing import PreprocessingSettings
from model.training import TrainingResult, train
from model.training_settings import Progress, TrainingError, TrainingSettings
from model.weights import Card, WeightsError, load_version, save_version

logger = logging.getLogger(__name__)

SIGN_OF_LIFE_SECONDS = 3.0


OUR_FAULTS = (*FINAL, *IMAGE_FAULTS, WeightsError, TrainingError)
"""Errors whose text is a sentence that needs no name before it."""


@job
def run_training(project_id: int) -> None:
    """Train a project on all labels it has now, as one run that a kill does not end.

    Does nothing if another process trains the project or nothing has changed. After a kill the next worker
    carries the same run on from its last checkpoint.
    """
    with open_context() as context:
        owner = Owner.current()
        with context.database.write() as session:
            projects.ensure(session, project_id, seed=context.settings.seed)
            run = runs.begin(session, project_id, owner)
        if run is None:
            return
        try:
            with hold(context.database, run.id, owner) as lease:
                version = _train(context, project_id, run, owner, lease)
        except runs.LeaseLostError as error:
            logger.warning("%s", error)
            return
        except Exception as error:
            _fail(context, run, error)
            raise
        if version is not None and version.state is VersionState.SCORING:
            context.queues.request_score_version(version.id)
        shutil.rmtree(_folder(context, run), ignore_errors=True)
        after_training(context.database, context.queues, context.settings, project_id)


def _fail(context: Context, run: TrainingRun, error: Exception) -> None:
    """Note why the run ended; its events stay pending, so that the next try or the next change takes them."""
    sentence = str(error) if isinstance(error, OUR_FAULTS) else f"{type(error).__name__}: {error}"
    with context.database.write() as session:
        runs.finish(session, session.get_one(TrainingRun, run.id), RunState.FAILED, message=sentence)
    shutil.rmtree(_folder(context, run), ignore_errors=True)


def _train(context: Context, project_id: int, run: TrainingRun, owner: Owner, lease: Lease) -> Version | None:
    config = context.read_config(project_id)
    tasks = choose(context.label_studio.labelled_tasks(project_id))
    champion, network = _champion(context, project_id, config)
    preprocessing = PreprocessingSettings(size=context.settings.image_size)
    data = read_examples(context, project_id, tasks, config, preprocessing)
    if not data.training:
        with context.database.write() as session:
            _end(session, project_id, run, data, None)
        return None
    shape = NetworkSettings(classes=len(config.labels) + 1, width=context.settings.network_width)
    if network is not None and network.settings != shape:
        network = None
    result = train(
        data.training,
        data.validation,
        labels=config.labels,
        network=shape,
        settings=_settings(context),
        start=network,
        checkpoints=_folder(context, run) / "checkpoint",
        progress=_signs_of_life(context, run, owner, lease),
    )
    parent = champion if network is not None else None
    directory = _save(context, project_id, run, config, result, parent, preprocessing)
    metrics, worse = _judge(context, project_id, config, directory, champion, data, result)
    return _record(context, project_id, run, owner, data, config, directory, metrics, parent, worse)


def _champion(
    context: Context, project_id: int, config: LabelConfig
) -> tuple[Version | None, DeeplySupervisedUNet | None]:
    """The published version and its network, to fine-tune from; without one that fits, None."""
    with context.database.read() as session:
        champion = versions.published(session, project_id)
    if champion is None or champion.weights_hash is None or tuple(champion.labels) != config.labels:
        return None, None
    network, _ = load_version(context.weights.get(champion.weights_hash))
    return champion, network if context.settings.train_from == "previous" else None


def _settings(context: Context) -> TrainingSettings:
    settings = context.settings
    return TrainingSettings(
        steps=settings.train_steps,
        seconds=settings.train_seconds,
        batch=settings.batch_size,
        seed=settings.seed,
        precision=settings.precision,
        device=settings.device,
        loss=LossWeights(settings.loss_lower, settings.loss_middle, settings.loss_final),
    )


def _folder(context: Context, run: TrainingRun) -> Path:
    return context.settings.checkpoint_dir / f"run-{run.id}"


def _signs_of_life(
    context: Context, run: TrainingRun, owner: Owner, lease: Lease
) -> Callable[[Progress], None]:
    """A callback that stops a training whose lease is lost, and tells `dsal status` how far it is."""
    last = 0.0

    def tell(progress: Progress) -> None:
        nonlocal last
        lease.check()
        if time.monotonic() - last < SIGN_OF_LIFE_SECONDS:
            return
        last = time.monotonic()
        of = "" if progress.steps is None else f" of {progress.steps}"
        with context.database.write() as session:
            runs.keep(session, run.id, owner)
            session.get_one(
                TrainingRun, run.id
            ).message = f"step {progress.step}{of}, {progress.seconds:.0f} s, loss {progress.loss:.3f}"

    return tell


def _save(
    context: Context,
    project_id: int,
    run: TrainingRun,
    config: LabelConfig,
    result: TrainingResult,
    parent: Version | None,
    preprocessing: PreprocessingSettings,
) -> Path:
    with context.database.read() as session:
        number = versions.next_round(session, project_id)
        seed = projects.get(session, project_id).seed  # type: ignore[union-attr]
    directory = _folder(context, run) / "version"
    card = Card(
        name=version_name(project_id, number, seed),
        labels=config.labels,
        network=result.network.settings,
        preprocessing=preprocessing,
        loss=_settings(context).loss,
        metrics={name: value for name, value in result.metrics.items() if np.isfinite(value)},
        parent=None if parent is None else parent.name,
        training={**_settings(context).to_dict(), "steps_done": result.steps, "run": run.id},
    )
    save_version(directory, result.network, card)
    return directory


def _judge(
    context: Context,
    project_id: int,
    config: LabelConfig,
    directory: Path,
    champion: Version | None,
    data: Data,
    result: TrainingResult,
) -> tuple[dict[str, Any], bool]:
    """Validation DSC at original resolution, and whether it is clearly worse than the champion's."""
    metrics: dict[str, Any] = {
        "steps": result.steps,
        "training_seconds": round(result.seconds, 1),
        "training_images": len(data.training),
        "validation_images": len(data.validation),
        "problems": data.problems,
    }
    if not data.validation:
        return metrics, False

    def pairs() -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
        for key in data.validation_ids:
            pair = read_pair(context, project_id, data.tasks[key], config)
            yield pair.image, pair.mask

    own = evaluate(load_segmenter(context.settings, directory), pairs())
    metrics |= {"validation_dsc": own.dsc, "per_label": own.per_label}
    if champion is None or champion.weights_hash is None:
        return metrics, False
    theirs = evaluate(load_segmenter(context.settings, context.weights.get(champion.weights_hash)), pairs())
    metrics["champion_validation_dsc"] = theirs.dsc
    return metrics, clearly_worse(theirs.per_image, own.per_image, context.settings.publish_margin)


def _record(
    context: Context,
    project_id: int,
    run: TrainingRun,
    owner: Owner,
    data: Data,
    config: LabelConfig,
    directory: Path,
    metrics: dict[str, Any],
    parent: Version | None,
    worse: bool,
) -> Version:
    """Store the weights, then version, seen labels and the end of the run in one transaction."""
    weights_hash = context.weights.put(directory)
    with context.database.write() as session:
        runs.keep(session, run.id, owner)
        project = projects.ensure(session, project_id, seed=context.settings.seed)
        version = versions.create(
            session,
            project,
            round=versions.next_round(session, project_id),
            state=VersionState.REJECTED if worse else VersionState.SCORING,
            labels=config.labels,
            parent_id=None if parent is None else parent.id,
            weights_hash=weights_hash,
            labels_used=len(data.tasks),
            metrics=metrics,
            seconds_training=metrics["training_seconds"],
        )
        if worse:
            version.message = (
                f"Not published: validation DSC {metrics['validation_dsc']:.3f} against "
                f"{metrics['champion_validation_dsc']:.3f} of the serving version."
            )
        _end(session, project_id, run, data, version)
    return version


def _end(session: Any, project_id: int, run: TrainingRun, data: Data, version: Version | None) -> None:
    seen = {task.annotation_id: task.fingerprint for task in data.tasks.values()}
    labels.replace(session, project_id, seen)
    current = session.get_one(TrainingRun, run.id)
    message = "; ".join(data.problems) or (
        "" if version is not None else "There are no labels to learn from."
    )
    runs.finish(
        session,
        current,
        RunState.FINISHED,
        message=message,
        labels=len(data.tasks),
        version_id=None if version is None else version.id,
    )
