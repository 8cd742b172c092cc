"""Labels to look at again: each annotation against a network that has not learned from it.

Every version has learned the labels that it should judge, faults included. So the labels are divided into
folds, and a network is trained for each on the labels of the others, from weights that know none of them: the
project's initial weights, or fresh ones (`model.training.cross_fitting`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.learn.examples import MaskError, read_pairs
from ml_backend.learn.label_updates import LabelReader
from ml_backend.learn.labels import LabelledTask
from ml_backend.learn.start_weights import StartingPoint, starting_point
from ml_backend.learn.version_folder import training_settings
from ml_backend.queue.context import Context
from ml_backend.score.prediction import load_segmenter
from ml_backend.store import suspicious, versions
from ml_backend.store.models import ExaminedLabel
from ml_backend.store.suspicious import CurrentLabel
from model.classes import Classes
from model.pretrained import pretrained_start
from model.segmenter import Segmenter
from model.suspicion import Evidence, examine, in_words, judge
from model.training.cross_fitting import FOLDS, Fold, cross_fit
from model.training.dataset import Example, make_example
from model.training.settings import Progress
from model.weights import Card, save_version

logger = logging.getLogger(__name__)

MOST_REGIONS = 5
"""Regions that are kept of a label."""
PICTURE_SIDE = 512
"""Longest side in pixels of the network's label map that is kept for a picture."""


@dataclass(frozen=True, eq=False)
class _Examined:
    """An annotation with what speaks against it, and the network's label map as a PNG."""

    task: LabelledTask
    annotation_id: int
    changed_at: str
    evidence: Evidence
    seen: bytes


def examine_project(
    context: Context,
    project_id: int,
    *,
    steps: int | None = None,
    progress: Callable[[int, Progress], None] | None = None,
) -> int:
    """Examine all labels of a project and store what was found; returns the number of labels examined.

    Args:
        context: of the service.
        project_id: the project.
        steps: of each training; None trains until it has converged, for at most TRAIN_SECONDS.
        progress: called after each training step with the number of the fold.

    Raises:
        LabelConfigError, LabelStudioError, TrainingError, WeightsError, WeightStoreError: it cannot be done.
    """
    config = context.read_config(project_id)
    tasks = LabelReader(context, project_id, config).read().labelled
    begun = start_weights(context, project_id, config)
    examples, images = _read(context, project_id, tasks, config, begun)
    settings = replace(training_settings(context.settings, config), episodes=0)
    if steps is not None:
        settings = replace(settings, steps=steps, until_plateau=False)
    by_name = {str(task.task_id): task for task in tasks}
    found: list[_Examined] = []
    for fold in cross_fit(
        examples,
        images,
        labels=config.labels,
        network=begun.network,
        settings=settings,
        start=begun.start,
        progress=progress,
    ):
        held = [by_name[name] for name in fold.images]
        found += _judge_fold(context, project_id, config, begun, fold, held)
    rows = _rows(project_id, found, config)
    with context.database.write() as session:
        suspicious.replace(session, project_id, rows)
    return len(rows)


def trainings() -> int:
    """Number of trainings of an examination."""
    return FOLDS


def update(context: Context, project_id: int) -> None:
    """Note which of the examined labels were changed, deleted or confirmed since.

    Raises:
        LabelConfigError, LabelStudioError: the labels cannot be read.
    """
    config = context.read_config(project_id)
    tasks = LabelReader(context, project_id, config).read().labelled
    current = {
        one.id: CurrentLabel(task.digests[one.id], one.updated_at) for task in tasks for one in task.counting
    }
    with context.database.write() as session:
        suspicious.update(session, project_id, current)


def start_weights(context: Context, project_id: int, config: LabelConfig) -> StartingPoint:
    """Weights that have learned none of the project's labels, in the shape of its published version.

    The project's initial weights if it has any, else the shipped ones if they have the same shape: their
    encoder saves most of the steps even where no bones are to be seen. Otherwise fresh ones.

    Raises:
        WeightsError, WeightStoreError: weights cannot be read.
    """
    with context.database.read() as session:
        first = versions.at_round(session, project_id, 0)
        published = versions.published(session, project_id)
    if first is not None and first.weights_hash is not None:
        return starting_point(context, first, config)
    begun = starting_point(context, published, config)
    shipped, card = pretrained_start(Classes(config.labels, config.indices))
    preprocessing = replace(card.preprocessing, size=begun.preprocessing.size)
    if shipped.settings.width == begun.network.width and preprocessing == begun.preprocessing:
        return replace(begun, network=shipped.settings, start=shipped, is_champion=False)
    return replace(begun, start=None, is_champion=False)


def _read(
    context: Context,
    project_id: int,
    tasks: Sequence[LabelledTask],
    config: LabelConfig,
    begun: StartingPoint,
) -> tuple[list[Example], list[str]]:
    """The examples of all tasks, and the name of each one's image; unreadable tasks are left out."""
    examples: list[Example] = []
    for task in tasks:
        try:
            pairs = list(read_pairs(context, project_id, task, config))
        except (*IMAGE_FAULTS, MaskError) as error:
            logger.warning("%s", error)
            continue
        for number, (image, mask) in enumerate(pairs):
            examples.append(make_example(f"{task.task_id} {number}", image, mask, begun.preprocessing))
    return examples, [example.key.split()[0] for example in examples]


def _judge_fold(
    context: Context,
    project_id: int,
    config: LabelConfig,
    begun: StartingPoint,
    fold: Fold,
    tasks: Sequence[LabelledTask],
) -> Iterator[_Examined]:
    """Compare the annotations of a fold's tasks with its network."""
    with tempfile.TemporaryDirectory(dir=context.settings.model_dir, prefix=".examination-") as folder:
        directory = Path(folder) / "version"
        card = Card(f"fold {fold.number}", config.labels, fold.network.settings, begun.preprocessing)
        save_version(directory, fold.network, card)
        segmenter = load_segmenter(context.settings, directory)
        for task in tasks:
            yield from _examine_task(context, project_id, config, segmenter, task)


def _examine_task(
    context: Context, project_id: int, config: LabelConfig, segmenter: Segmenter, task: LabelledTask
) -> Iterator[_Examined]:
    image = context.images.read(project_id, task.task_id, task.data, config)
    size = (image.shape[0], image.shape[1])
    overlap = context.settings.for_project(config.knobs.overrides).overlap
    probabilities = segmenter.segment([image])[0].probabilities
    seen = _picture(probabilities)
    for one in task.counting:
        mask = label_map(one.result, config, size, overlap).known_map
        if mask is not None:
            evidence = examine(probabilities, mask, size=segmenter.card.preprocessing.size)
            yield _Examined(task, one.id, one.updated_at, evidence, seen)


def _picture(probabilities: NDArray[np.float32]) -> bytes:
    """A PNG of the most probable classes, with a longer side of at most `PICTURE_SIDE`."""
    seen = probabilities.argmax(axis=0).astype(np.uint8)
    scale = min(1.0, PICTURE_SIDE / max(seen.shape))
    if scale < 1:
        wanted = (max(1, round(seen.shape[1] * scale)), max(1, round(seen.shape[0] * scale)))
        seen = np.asarray(cv2.resize(seen, wanted, interpolation=cv2.INTER_NEAREST), np.uint8)
    return cv2.imencode(".png", seen)[1].tobytes()


def _rows(project_id: int, found: Sequence[_Examined], config: LabelConfig) -> list[ExaminedLabel]:
    judged = judge([one.evidence for one in found])
    return [
        ExaminedLabel(
            project_id=project_id,
            annotation_id=one.annotation_id,
            task_id=one.task.task_id,
            digest=one.task.digests[one.annotation_id],
            changed_at=one.changed_at,
            score=suspicion.score,
            is_suspicious=suspicion.is_listed,
            reason=in_words(one.evidence, suspicion, config.labels),
            regions=_regions(one.evidence, config),
            shift_x=one.evidence.displacement[0],
            shift_y=one.evidence.displacement[1],
            seen=one.seen if suspicion.is_listed else None,
        )
        for one, suspicion in zip(found, judged, strict=True)
    ]


def _regions(evidence: Evidence, config: LabelConfig) -> list[dict[str, Any]]:
    names: Mapping[int, str | None] = {0: None, **dict(enumerate(config.labels, start=1))}
    return [
        {
            "given": names[region.given],
            "seen": names[region.seen],
            "pixels": region.pixels,
            "certainty": round(region.certainty, 3),
            "box": list(region.box),
        }
        for region in evidence.regions[:MOST_REGIONS]
    ]
