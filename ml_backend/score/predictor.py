"""Answers to `/predict`, from segmenters that stay loaded between requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from ml_backend.items import contained
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig, LabelConfigError, parse
from ml_backend.label_studio.images.places import Places
from ml_backend.label_studio.images.reader import ImageReader
from ml_backend.queue.context import image_reader
from ml_backend.score.blind import BlindTasks
from ml_backend.score.by_network import NetworkScorer
from ml_backend.score.prediction import (
    Scored,
    Scorer,
    at_random,
    load_segmenter,
    with_mask_of,
    without_mask,
)
from ml_backend.score.redraw import drafted
from ml_backend.score.segmenters import NoRoomError, Segmenters
from ml_backend.settings import Settings
from ml_backend.store import drafts, projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Draft, Version, now
from ml_backend.store.version_names import open_name
from ml_backend.store.weights import WeightStore
from model.pretrained import pretrained_version

if TYPE_CHECKING:
    from model.segmenter import Segmenter

logger = logging.getLogger(__name__)

ScoreOne = Callable[[int, Mapping[str, Any]], Scored]
"""A function from (task id, task data) to its prediction."""

SHIPPED = "shipped"
"""Key of the shipped weights among the segmenters."""

MOST_PIXELS = 32_000_000
"""Largest image that a web process reads: radiographs have up to 20 megapixels. Larger ones are left to the
workers, as their masks alone take hundreds of megabytes."""


class Predictor:
    """Answers `/predict` from the published version; threads share it, and LOADED_VERSIONS segmenters.

    Before a version is published, the initial weights draw each task that is opened, so that annotators need
    not start on an empty page while all tasks are still being scored. Such an answer is for the page alone
    (`ml_backend.store.version_names.open_name`). While a project learns, its newest weights draw the mask;
    the score is always that of the version, so that orders are never mixed.
    """

    def __init__(self, settings: Settings, database: Database, weights: WeightStore) -> None:
        self._settings = settings
        self._database = database
        self._images: ImageReader | None = None
        self.segmenters = Segmenters(settings.loaded_versions, partial(_load, settings, weights))
        self._lock = threading.Lock()
        self.places = Places()

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
            draft = drafts.current(session, project_id)
        is_ordering = version.id == project.published_version_id
        name = version.name if is_ordering else open_name(project_id, now().date())
        try:
            score = self._score(version, draft, project.seed, config, deadline)
            return _in_time(lambda *task: without_mask(score(*task), blind), tasks, name, deadline)
        except NoRoomError as error:
            logger.warning("Project %s is left to the workers: %s", project_id, error)
            return [[] for _ in tasks]

    def _score(
        self, version: Version, draft: Draft | None, seed: int, config: LabelConfig, deadline: float
    ) -> ScoreOne:
        """Scores by the version, and draws by the draft if there is one; segmenters are borrowed in turn."""

        def score(task_id: int, data: Mapping[str, Any]) -> Scored:
            with self._scorer(version, seed, config, deadline) as by_version:
                (scored,) = by_version({task_id: data})
            if draft is None:
                return scored
            with self._scorer(drafted(version, draft), seed, config, deadline) as by_draft:
                (drawn,) = by_draft({task_id: data})
            return with_mask_of(scored, drawn)

        return score

    @contextmanager
    def _scorer(self, version: Version, seed: int, config: LabelConfig, deadline: float) -> Iterator[Scorer]:
        """A scorer, with the version's segmenter borrowed for the block."""
        if version.weights_hash is None:
            yield partial(at_random, seed)
            return
        with self.segmenters.borrow(version.weights_hash, deadline) as segmenter:
            reader = partial(self.reader().read, version.project_id)
            # Left before another version is waited for, whose user may wait for a place.
            with self.places.work():
                yield NetworkScorer.of(segmenter, self._settings, reader, version, seed, config)

    @cached_property
    def label_studio(self) -> LabelStudio:
        """Made on first use: without a token the server can still answer everything but images."""
        settings = self._settings
        token = settings.label_studio_api_key.get_secret_value()
        return LabelStudio(settings.label_studio_url, token, timeout=settings.http_timeout)

    def is_shared(self, project_id: int) -> bool:
        """Whether several people annotate each task of a project.

        Raises:
            LabelStudioError: Label Studio does not answer.
        """
        return int(self.label_studio.project(project_id).get("maximum_annotations") or 1) > 1

    def reader(self) -> ImageReader:
        """The reader of images, made on first use."""
        with self._lock:
            if self._images is None:
                self._images = image_reader(
                    self._settings, self.label_studio, here=MOST_PIXELS, places=self.places
                )
            return self._images


def _load(settings: Settings, weights: WeightStore, weights_hash: str) -> Segmenter:
    """The segmenter of a version, or of the shipped weights."""
    folder = pretrained_version() if weights_hash == SHIPPED else weights.get(weights_hash)
    return load_segmenter(settings, folder)


def _in_time(
    score: ScoreOne, tasks: Sequence[Mapping[str, Any]], version: str, deadline: float
) -> list[list[dict[str, Any]]]:
    """One answer per task; [] if the longest answer so far would not fit into the time that is left."""
    answers: list[list[dict[str, Any]]] = []
    longest = 0.0
    for task in tasks:
        began = time.monotonic()
        if began + longest > deadline:
            answers.append([])
            continue
        answer: list[dict[str, Any]] = []
        with contained(f"Task {task.get('id')!r}", logger.warning):
            answer = _answer(score(int(task["id"]), task["data"]), version)
        answers.append(answer)
        longest = max(longest, time.monotonic() - began)
    return answers


def _answer(scored: Scored, version: str) -> list[dict[str, Any]]:
    if scored.error is not None:
        logger.warning("Task %s is not predicted: %s", scored.task_id, scored.error)
        return []
    return [{"result": scored.result, "score": scored.score, "model_version": version}]
