"""Scores by a network: a stream of tasks, whose images are read and drawn while the network works.

What is wrong with one task stays its own. Its failure only drains the stream, and a new one begins after it:
so callers hear of each failure at once, and may give up before the next image is fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.items import contained, is_outside
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.places import LARGE
from ml_backend.label_studio.images.reader import IMAGE_FAULTS, Grey, Read, ReadAhead
from ml_backend.label_studio.regions.probability import Probabilities
from ml_backend.score.drawing import Drawing
from ml_backend.score.prediction import Scored, Tasks, image_of
from ml_backend.score.strategy import made_by
from ml_backend.settings import Settings
from ml_backend.store.models import Version
from model.classes import Classes
from model.consistency import Consistency, consistency
from model.strategies import Strategy, last, priority, published

if TYPE_CHECKING:
    from model.segmenter import Segmentation, Segmenter

Task = tuple[int, Mapping[str, Any]]
"""A task's id and data."""


@dataclass(frozen=True)
class NetworkScorer:
    """Scores tasks with a version's segmenter (a `Scorer`).

    Attributes:
        segmenter: the version's.
        strategy: computes the priority, from the masks as the network drew them.
        drawing: decides whether and how the final mask is shown.
        read: returns the grey image (H, W) of (task id, task data, labeling config).
        config: the labeling config, which decides the form and threshold of the regions.
        seed: of strategies with random draws.
    """

    segmenter: Segmenter
    strategy: Strategy
    drawing: Drawing
    read: Read
    config: LabelConfig
    seed: int

    @classmethod
    def of(
        cls,
        segmenter: Segmenter,
        settings: Settings,
        read: Read,
        version: Version,
        seed: int,
        config: LabelConfig,
    ) -> NetworkScorer:
        """The scorer of a version as its project is configured."""
        drawing = Drawing.of(settings.for_project(config.knobs.overrides), version)
        return cls(segmenter, made_by(version), drawing, read, config, seed)

    def __call__(self, tasks: Tasks) -> Generator[Scored, None, None]:
        """Score tasks in their order. Of several, the next image is read ahead, in a thread of its own."""
        if len(tasks) > 1:
            ahead = replace(self, read=ReadAhead(self.read, tasks, self.config))
            yield from ahead._in_streams(tasks)
        else:
            yield from self._in_streams(tasks)

    def _in_streams(self, tasks: Tasks) -> Generator[Scored, None, None]:
        left = deque(tasks.items())
        while left:
            unreadable: list[Scored] = []
            try:
                with closing(self._stream(self._images(tuple(left), unreadable))) as stream:
                    for found in stream:
                        yield self._scored(*left.popleft(), found)
            except Exception as error:
                if is_outside(error):
                    raise
                # The images of a group fail together, so the first of them need not be the one at fault.
                yield self._alone(*left.popleft())
            else:
                for one in unreadable:
                    left.popleft()
                    yield one

    def _stream(self, images: Iterable[Grey]) -> Generator[Segmentation, None, None]:
        return self.segmenter.stream(
            images, threshold=self.config.knobs.threshold, probe=self.strategy.probe()
        )

    def _images(self, tasks: Sequence[Task], unreadable: list[Scored]) -> Iterator[Grey]:
        """The images of tasks up to the first that cannot be read, which joins `unreadable`.

        A large image ends the stream, too: several of them at once would take hundreds of megabytes.
        """
        for task_id, data in tasks:
            image = self._read(task_id, data)
            if isinstance(image, Scored):
                unreadable.append(image)
                return
            size = image.size
            yield image
            if size > LARGE:
                return

    def _read(self, task_id: int, data: Mapping[str, Any]) -> Grey | Scored:
        problems: list[str] = []
        with contained(f"Task {task_id}", problems.append):
            try:
                return self.read(task_id, data, self.config)
            except IMAGE_FAULTS as error:
                transient = isinstance(error, ImageUnavailable) and error.transient
                return self._failed(task_id, str(error), transient=transient)
        return self._failed(task_id, problems[0])

    def _alone(self, task_id: int, data: Mapping[str, Any]) -> Scored:
        """Score a task at which a stream failed."""
        image = self._read(task_id, data)
        if isinstance(image, Scored):
            return image
        problems: list[str] = []
        with contained(f"Task {task_id}", problems.append):
            (found,) = self._stream([image])
            return self._scored(task_id, data, found)
        return self._failed(task_id, problems[0])

    def _failed(self, task_id: int, reason: str, *, transient: bool = False) -> Scored:
        worst = last(self.strategy)
        return Scored(task_id, worst, worst, error=reason, transient=transient)

    def _scored(self, task_id: int, data: Mapping[str, Any], found: Segmentation) -> Scored:
        problems: list[str] = []
        with contained(f"Task {task_id}", problems.append):
            return self._drawn(task_id, data, found)
        return self._failed(task_id, problems[0])

    def _drawn(self, task_id: int, data: Mapping[str, Any], found: Segmentation) -> Scored:
        agreement, final = in_labels(found, self.segmenter.labels, self.config)
        measurement = replace(found.measurement(str(task_id)), consistency=agreement)
        quality = self.drawing.quality.estimate(measurement)
        hidden = self.drawing.hides(quality)
        return Scored(
            task_id,
            published(self.strategy, agreement),
            priority(self.strategy, measurement, self.seed),
            [] if hidden else self._regions(final, found, quality),
            agreement.l_dsc,
            agreement.m_dsc,
            agreement.blank,
            hidden,
            quality,
            None if quality is None else self.drawing.quality.margin,
            image=image_of(data, self.config),
            measurement=measurement,
        )

    def _regions(
        self, final: NDArray[np.uint8], found: Segmentation, quality: float | None
    ) -> list[dict[str, Any]]:
        likely = probabilities_of(found, self.segmenter.labels, self.config)
        return self.drawing.regions(final, self.config, likely, quality)


def in_labels(
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


def probabilities_of(found: Segmentation, labels: Sequence[str], config: LabelConfig) -> Probabilities:
    """Probabilities of regions: from class indices of the config and parts of the image.

    Args:
        found: what a version found in the image.
        labels: the version's.
        config: the labeling config.
    """
    own: dict[int, list[int]] = {}
    for index, name in enumerate(labels, start=1):
        if name in config.indices:
            own.setdefault(config.indices[name], []).append(index)
    return lambda index, parts: found.part_probabilities(own[index], parts)
