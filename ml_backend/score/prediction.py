"""Masks and scores for tasks, for the scoring jobs and for `/predict`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig, LabelConfigError, parse
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import IMAGE_FAULTS, ImageReader
from ml_backend.queue.context import image_reader
from ml_backend.score.blind import BlindTasks
from ml_backend.score.drawing import Drawing
from ml_backend.score.first_order import random_score
from ml_backend.score.segmenters import NoRoomError, Segmenters
from ml_backend.score.strategy import made_by
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version, now
from ml_backend.store.version_names import open_name
from ml_backend.store.weights import WeightStore
from model.classes import Classes
from model.consistency import Consistency, consistency
from model.strategies import Measurement, Strategy, last, priority, published

if TYPE_CHECKING:
    from model.segmenter import Segmentation, Segmenter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """A task's prediction.

    Attributes:
        task_id: Label Studio's id.
        score: mean of L-DSC and M-DSC, in [0, 1]; blank masks and unreadable images get the score that is
            labelled last. Without a network it is random.
        priority: the query strategy's own number, in [0, 1], for this image alone; the score itself for
            strategies that follow it.
        result: regions of the final mask, in the form of the labeling config.
        l_dsc, m_dsc: agreement of the lower (middle) mask with the final one; None without a network.
        blank: nothing was found in the image.
        hidden: something was found, but not shown, as its quality is below the project's floor.
        quality: estimated real Dice of the mask; None for a blank mask, and without a network or an image.
        margin: its margin of error; None if the estimate is rough.
        error: why the image could not be fetched or read, in one sentence.
        transient: whether a later attempt may succeed.
    """

    task_id: int
    score: float
    priority: float
    result: list[dict[str, Any]] = field(default_factory=list)
    l_dsc: float | None = None
    m_dsc: float | None = None
    blank: bool = False
    hidden: bool = False
    quality: float | None = None
    margin: float | None = None
    error: str | None = None
    transient: bool = False
    measurement: Measurement | None = field(default=None, repr=False)
    """What query strategies read; None without a network or an image."""


Scorer = Callable[[int, Mapping[str, Any]], Scored]
Reader = Callable[[int, Mapping[str, Any], LabelConfig], NDArray[np.uint8] | NDArray[np.uint16]]
"""A function from (task id, task data, labeling config) to the grey image (H, W)."""


def scorer(
    settings: Settings,
    weights: WeightStore,
    images: ImageReader,
    version: Version,
    seed: int,
    config: LabelConfig,
    blind: Container[int] = (),
) -> Scorer:
    """A function that scores (task id, task data) under a version; at random without weights, seeded.

    Args:
        settings, weights, images: of the context.
        version: its weights and its strategy.
        seed: the project's.
        config: the labeling config.
        blind: tasks that are shown without a mask (`ml_backend.score.blind`).
    """
    if version.weights_hash is None:
        return partial(_at_random, seed)
    segmenter = load_segmenter(settings, weights.get(version.weights_hash))
    reader = partial(images.read, version.project_id)
    return _without_masks(_by_network(segmenter, settings, reader, version, seed, config), blind)


def _without_masks(score: Scorer, blind: Container[int]) -> Scorer:
    """The same scorer, which gives `blind` tasks their score but no mask."""

    def score_blind(task_id: int, data: Mapping[str, Any]) -> Scored:
        scored = score(task_id, data)
        return replace(scored, result=[]) if task_id in blind else scored

    return score_blind


def _by_network(
    segmenter: Segmenter, settings: Settings, read: Reader, version: Version, seed: int, config: LabelConfig
) -> Scorer:
    """A function that scores (task id, task data) with a version's segmenter."""
    strategy = made_by(version)
    drawing = Drawing.of(settings.for_project(config.knobs.overrides), version)
    return lambda task_id, data: segment(segmenter, strategy, drawing, read, config, task_id, data, seed)


def _at_random(seed: int, task_id: int, _data: Mapping[str, Any]) -> Scored:
    score = random_score(task_id, seed)
    return Scored(task_id, score, score)


def load_segmenter(settings: Settings, directory: Path) -> Segmenter:
    """A version's segmenter with the engine, device and precision of the settings."""
    from model.segmenter import Segmenter

    return Segmenter(directory, engine=settings.engine, device=settings.device, precision=settings.precision)


def segment(
    segmenter: Segmenter,
    strategy: Strategy,
    drawing: Drawing,
    read: Reader,
    config: LabelConfig,
    task_id: int,
    data: Mapping[str, Any],
    seed: int,
) -> Scored:
    """Fetch, segment and score one task; an unreadable image gives `Scored.error`, not an exception.

    Args:
        segmenter: the version's.
        strategy: computes the priority, from the masks as the network drew them.
        drawing: decides whether and how the final mask is shown.
        read: returns the grey image (H, W) of (task id, task data, labeling config).
        config: the labeling config, which decides the form and threshold of the regions.
        task_id, data: the task.
        seed: of strategies with random draws.
    """
    try:
        image = read(task_id, data, config)
    except IMAGE_FAULTS as error:
        transient = isinstance(error, ImageUnavailable) and error.transient
        return Scored(task_id, last(strategy), last(strategy), error=str(error), transient=transient)
    found = segmenter.segment([image], threshold=config.knobs.threshold, probe=strategy.probe())[0]
    agreement, final = _in_labels(found, segmenter.labels, config)
    measurement = replace(found.measurement(str(task_id)), consistency=agreement)
    quality = drawing.quality.estimate(measurement)
    hidden = drawing.hides(quality)
    return Scored(
        task_id,
        published(strategy, agreement),
        priority(strategy, measurement, seed),
        [] if hidden else drawing.regions(final, config),
        agreement.l_dsc,
        agreement.m_dsc,
        agreement.blank,
        hidden,
        quality,
        None if quality is None else drawing.quality.margin,
        measurement=measurement,
    )


def _in_labels(
    found: Segmentation, labels: Sequence[str], config: LabelConfig
) -> tuple[Consistency, NDArray[np.uint8]]:
    """Consistency and final mask, of the labels that still exist if they changed after the training."""
    agreement, final = found.consistency, found.final
    if tuple(labels) != config.labels:
        classes = Classes(config.labels, config.indices)
        lower, middle, final = (
            classes.translate(mask, labels) for mask in (found.lower, found.middle, found.final)
        )
        agreement = consistency(lower, middle, final, len(config.labels))
    return agreement, final


class Predictor:
    """Answers `/predict` from the published version; threads share it, and LOADED_VERSIONS segmenters.

    Before a version is published, the initial weights draw each task that is opened, so that annotators need
    not start on an empty page while all tasks are still being scored. Such an answer is for the page alone
    (`ml_backend.store.version_names.open_name`).
    """

    def __init__(self, settings: Settings, database: Database, weights: WeightStore) -> None:
        self._settings = settings
        self._database = database
        self._images: ImageReader | None = None
        self._segmenters = Segmenters(
            settings.loaded_versions, lambda weights_hash: load_segmenter(settings, weights.get(weights_hash))
        )
        self._lock = threading.Lock()

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], project_id: int, deadline: float
    ) -> list[list[dict[str, Any]]]:
        """One list for each task, in their order: a prediction, or nothing if there is none in time.

        Args:
            tasks: Label Studio's tasks.
            project_id: their project.
            deadline: `time.monotonic()` by which the answer must be ready; later tasks get [].
        """
        with self._database.read() as session:
            project = projects.get(session, project_id)
            version = versions.published(session, project_id) or versions.first_to_draw(session, project_id)
        if project is None or version is None or project.archived_at is not None:
            return [[] for _ in tasks]
        try:
            config = parse(project.label_config)
        except LabelConfigError as error:
            logger.warning("Project %s cannot be predicted: %s", project_id, error)
            return [[] for _ in tasks]
        with self._database.read() as session:
            blind = BlindTasks.read(session, self._settings, project, config)
        is_ordering = version.id == project.published_version_id
        name = version.name if is_ordering else open_name(project_id, now().date())
        try:
            with self._scorer(version, project.seed, config, deadline) as score:
                return _in_time(_without_masks(score, blind), tasks, name, deadline)
        except NoRoomError as error:
            logger.warning("Project %s is left to the workers: %s", project_id, error)
            return [[] for _ in tasks]

    @contextmanager
    def _scorer(self, version: Version, seed: int, config: LabelConfig, deadline: float) -> Iterator[Scorer]:
        """A scorer, with the version's segmenter borrowed for the block."""
        if version.weights_hash is None:
            yield partial(_at_random, seed)
            return
        with self._segmenters.borrow(version.weights_hash, deadline) as segmenter:
            reader = partial(self._reader().read, version.project_id)
            yield _by_network(segmenter, self._settings, reader, version, seed, config)

    def _reader(self) -> ImageReader:
        """Made on first use: without a token the server can still answer everything but images."""
        with self._lock:
            if self._images is None:
                label_studio = LabelStudio(
                    self._settings.label_studio_url,
                    self._settings.label_studio_api_key.get_secret_value(),
                    timeout=self._settings.http_timeout,
                )
                self._images = image_reader(self._settings, label_studio)
            return self._images


def _in_time(
    score: Scorer, tasks: Sequence[Mapping[str, Any]], version: str, deadline: float
) -> list[list[dict[str, Any]]]:
    """One answer per task; [] if the longest answer so far would not fit into the time that is left."""
    answers: list[list[dict[str, Any]]] = []
    longest = 0.0
    for task in tasks:
        began = time.monotonic()
        if began + longest > deadline:
            answers.append([])
            continue
        answers.append(_answer(score(int(task["id"]), task["data"]), version))
        longest = max(longest, time.monotonic() - began)
    return answers


def _answer(scored: Scored, version: str) -> list[dict[str, Any]]:
    if scored.error is not None:
        logger.warning("Task %s is not predicted: %s", scored.task_id, scored.error)
        return []
    return [{"result": scored.result, "score": scored.score, "model_version": version}]
