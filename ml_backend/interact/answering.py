"""Answers to prompts: the regions of the page that asked, as the project's newest weights correct them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from redis import Redis

from ml_backend.interact.mending import mended
from ml_backend.interact.open_images import OpenImages
from ml_backend.interact.page import Page, PageRegion
from ml_backend.interact.remembered import Remembered
from ml_backend.label_studio.config import LabelConfig, LabelConfigError, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.images.places import Places
from ml_backend.label_studio.images.reader import IMAGE_FAULTS, ImageReader
from ml_backend.label_studio.prompts import Asked, read_prompts
from ml_backend.score.prediction import image_of
from ml_backend.score.predictor import SHIPPED
from ml_backend.score.segmenters import NoRoomError, Segmenters
from ml_backend.settings import Settings
from ml_backend.store import drafts, projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project
from model.interaction.prompts import Box, Click, Mark, PromptError

if TYPE_CHECKING:
    from model.interaction.corrector import OpenImage
    from model.segmenter import Segmenter

logger = logging.getLogger(__name__)

MOST_PROMPTS = 8
"""Prompts of one page that are followed, the newest ones. Usually there is one, as prompts disappear when
their answer is accepted."""


class CannotAnswerError(RuntimeError):
    """A prompt cannot be answered; the message is one sentence for the annotator."""


UNANSWERED = (CannotAnswerError, PromptError, NoRoomError, LabelStudioError, *IMAGE_FAULTS)
"""Errors that concern one prompt, and of which the annotator is told."""


@dataclass(frozen=True)
class _Asking:
    """A project, the task of the page that asks, and the weights that answer."""

    project: Project
    config: LabelConfig
    task: Mapping[str, Any]
    weights: str
    version: str

    @property
    def task_id(self) -> int:
        """Label Studio's id."""
        return int(self.task["id"])


class Interaction:
    """Answers prompts; threads share it.

    Args:
        settings, database, redis: of the service.
        segmenters: loaded versions; `SHIPPED` is the key of the shipped one.
        reader: gives the reader of images.
        is_shared: whether several people annotate each task of a project.
        places: of the images that the process has in memory; the reader takes them too.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        redis: Redis,
        segmenters: Segmenters,
        reader: Callable[[], ImageReader],
        is_shared: Callable[[int], bool],
        places: Places,
    ) -> None:
        self._settings, self._database = settings, database
        self._segmenters, self._reader, self._is_shared = segmenters, reader, is_shared
        self._images = OpenImages()
        self._places = places
        self._remembered = Remembered(redis)

    def answer(
        self, task: Mapping[str, Any], context: Mapping[str, Any], project_id: int, deadline: float
    ) -> dict[str, Any]:
        """One prediction: the regions that the newest prompt changes, each replacing the one with its id.

        Nobody shows an annotator an error. What cannot be answered is therefore the prompt itself, with a
        sentence that the editor shows when it is selected.

        Args:
            task: Label Studio's task, with drafts, annotations and predictions.
            context: of the request, with the prompts on the page.
            project_id: the task's project.
            deadline: `time.monotonic()` until which a version's memory is waited for.
        """
        try:
            asking = self._asking(task, project_id)
            with self._places.work():
                return {"result": self._mended(asking, context, deadline), "model_version": asking.version}
        except UNANSWERED as error:
            logger.warning("A prompt on task %s is not answered: %s", task.get("id"), error)
            return {"result": told(context.get("result"), str(error))}

    def _asking(self, task: Mapping[str, Any], project_id: int) -> _Asking:
        with self._database.read() as session:
            project = projects.get(session, project_id)
            version = versions.published(session, project_id) or versions.first_to_draw(session, project_id)
            draft = drafts.current(session, project_id)
        if project is None or project.archived_at is not None:
            raise CannotAnswerError("This project is not connected: ask an administrator to do so.")
        try:
            config = parse(project.label_config)
        except LabelConfigError as error:
            raise CannotAnswerError(str(error)) from error
        newest = draft or version
        weights = newest.weights_hash if newest is not None else None
        return _Asking(project, config, task, weights or SHIPPED, version.name if version is not None else "")

    def _mended(self, asking: _Asking, context: Mapping[str, Any], deadline: float) -> list[dict[str, Any]]:
        config, project = asking.config, asking.project.id
        asked = read_prompts(context, config)
        with self._opened(asking, deadline) as (segmenter, image):
            page = Page.of(asking.task, asking.version, partial(self._is_shared, project))
            page = self._remembered.on_page(project, asking.task_id, page, asked.ids)
            regions = page.regions(config, asked.label, image.shape)
            after = _corrected(segmenter, image, _drawn(regions, image.shape), asked, config)
        points = self._settings.for_project(config.knobs.overrides).max_points
        answer = mended(regions, after, config, asked.label, points)
        self._remembered.note(project, asking.task_id, page, asked.ids, answer)
        return answer

    @contextmanager
    def _opened(self, asking: _Asking, deadline: float) -> Iterator[tuple[Segmenter, OpenImage]]:
        """The version's segmenter, borrowed for the block, and the open image of the task."""
        data, config = asking.task["data"], asking.config
        with self._segmenters.borrow(asking.weights, deadline) as segmenter:

            def opened() -> OpenImage:
                read = self._reader().read(asking.project.id, asking.task_id, data, config)
                return segmenter.open(read)

            image = self._images.get((asking.weights, image_of(data, config)), opened)
            self._places.take_for(image.shape[0] * image.shape[1])
            yield segmenter, image


def _drawn(regions: Sequence[PageRegion], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W) of some regions together."""
    drawn = np.zeros(shape, np.bool_)
    for region in regions:
        drawn |= region.mask
    return drawn


def _corrected(
    segmenter: Segmenter,
    image: OpenImage,
    present: NDArray[np.bool_],
    asked: Asked,
    config: LabelConfig,
) -> NDArray[np.bool_]:
    """The label's mask after all prompts on the page, each in the light of those before it."""
    corrector = segmenter.corrector
    index = _class_of(segmenter, config, asked.label)
    if index is None and not corrector.knows_prompts:
        raise CannotAnswerError(
            f"{segmenter.card.name} has not learned {asked.label} yet: draw it on some images first."
        )
    marks = _marks(asked, image.shape)[-MOST_PROMPTS:]
    for number in range(1, len(marks) + 1):
        present = corrector.refine(image, present, marks[:number], index or 0).mask
    return present


def _marks(asked: Asked, shape: tuple[int, int]) -> tuple[Mark, ...]:
    """The marks in pixels of the image that was read: the page states the size that the browser shows."""
    if asked.size == shape:
        return asked.marks
    down, across = shape[0] / asked.size[0], shape[1] / asked.size[1]
    return tuple(
        Click(mark.x * across, mark.y * down, mark.positive)
        if isinstance(mark, Click)
        else Box(mark.left * across, mark.top * down, mark.right * across, mark.bottom * down)
        for mark in asked.marks
    )


def _class_of(segmenter: Segmenter, config: LabelConfig, label: str) -> int | None:
    """The class index that a version has for a label, by any of its names; None if it has none."""
    for index, name in enumerate(segmenter.labels, start=1):
        if config.indices.get(name) == config.indices[label]:
            return index
    return None


def told(prompts: Any, sentence: str) -> list[dict[str, Any]]:
    """The newest prompt with a sentence, which the editor shows in its panel *Info*."""
    if not isinstance(prompts, Sequence) or not prompts or not isinstance(prompts[-1], dict):
        return []
    return [prompts[-1] | {"meta": {"text": [sentence]}}]
