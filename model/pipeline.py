"""Images one after another through three stages, the stages of each beside those of its neighbours.

An image is *prepared*, its canvas is *computed* by the network, and the output is *interpreted*. While the
network computes one image, another is prepared and a third interpreted. Canvases of one size may be computed
together. Which ones depends only on the images and their order, never on the speed of a thread, so that the
same images give the same results again; and results come in the order of the images.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.engines.interface import Output
from model.imaging.frame import Frame

Grey = NDArray[np.uint8 | np.uint16]
R = TypeVar("R")

PATIENCE = 3
"""A canvas waits for others of its size until so many groups' worth of images have come after it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A canvas as the network takes it, float32 (1, h, w), and its position on the image."""

    x: NDArray[np.float32]
    frame: Frame


@dataclass(frozen=True, eq=False)
class Stages(Generic[R]):
    """What is done with an image.

    Attributes:
        prepare: makes the canvas.
        compute: runs the network on canvases of one size.
        interpret: makes the result from a canvas's output.
    """

    prepare: Callable[[Grey], Prepared]
    compute: Callable[[list[Prepared]], list[Output]]
    interpret: Callable[[Output, Frame], R]


class Threads:
    """The threads of one network, shared by all its pipelines.

    They are threads and not processes because nearly all of the work happens in OpenCV, numpy and the
    network, which release Python's lock; so images and masks of many megabytes need not be copied.

    Args:
        computing: threads that run the network.
        others: threads that prepare and interpret.
    """

    def __init__(self, computing: int, others: int) -> None:
        self.computing = ThreadPoolExecutor(computing, thread_name_prefix="forward")
        self.others = ThreadPoolExecutor(others, thread_name_prefix="around-forward")


@dataclass(eq=False)
class _Image(Generic[R]):
    """One image on its way, at this place in the order."""

    place: int
    prepared: Future[Prepared]
    result: Future[R] = field(default_factory=Future)


class Pipeline(Generic[R]):
    """Leads images through the stages; to be used for one sequence of images only.

    At most `most` images are on their way at a time, so memory does not depend on their number.

    Args:
        stages: what is done with each image.
        threads: do it.
        together: most canvases that are computed together.
    """

    def __init__(self, stages: Stages[R], threads: Threads, *, together: int) -> None:
        self._stages, self._threads, self._together = stages, threads, together
        self._patience = PATIENCE * together
        # While one group is computed another waits, and a third is interpreted.
        self.most = 3 if together == 1 else self._patience + 2 * together
        self._lock = threading.Lock()
        self._unprepared: deque[_Image[R]] = deque()
        self._groups: dict[tuple[int, ...], list[_Image[R]]] = {}
        self._has_ended = self._is_closed = False

    def run(self, images: Iterable[Grey]) -> Generator[R, None, None]:
        """The results of images, in their order; an image's error is raised in its place."""
        waiting: deque[_Image[R]] = deque()
        try:
            for place, image in enumerate(images):
                waiting.append(self._enter(place, image))
                while waiting and (len(waiting) >= self.most or waiting[0].result.done()):
                    yield waiting.popleft().result.result()
            self._has_ended = True
            self._group_prepared()
            while waiting:
                yield waiting.popleft().result.result()
        finally:
            self._is_closed = True
            for image_on_its_way in waiting:
                image_on_its_way.prepared.cancel()

    def _enter(self, place: int, image: Grey) -> _Image[R]:
        entering: _Image[R] = _Image(place, self._threads.others.submit(self._stages.prepare, image))
        with self._lock:
            self._unprepared.append(entering)
        entering.prepared.add_done_callback(lambda _: self._group_prepared())
        return entering

    def _group_prepared(self) -> None:
        """Group the images that are prepared, in their order; after the last one no group need wait."""
        with self._lock:
            while self._unprepared and self._unprepared[0].prepared.done():
                self._group(self._unprepared.popleft())
            if self._has_ended and not self._unprepared:
                for shape in list(self._groups):
                    self._compute_later(shape)

    def _group(self, image: _Image[R]) -> None:
        if self._is_closed:
            return
        error = image.prepared.exception()
        if error is not None:
            image.result.set_exception(error)
        else:
            shape = image.prepared.result().x.shape
            group = self._groups.setdefault(shape, [])
            group.append(image)
            if len(group) == self._together:
                self._compute_later(shape)
        # The first group is the one that was begun first.
        for shape, (first, *_) in list(self._groups.items())[:1]:
            if image.place - first.place >= self._patience:
                self._compute_later(shape)

    def _compute_later(self, shape: tuple[int, ...]) -> None:
        group = self._groups.pop(shape)
        computed = self._threads.computing.submit(self._compute, group)
        computed.add_done_callback(lambda done: self._interpret_later(group, done))

    def _compute(self, group: list[_Image[R]]) -> list[Output]:
        if self._is_closed:
            return []
        return self._stages.compute([image.prepared.result() for image in group])

    def _interpret_later(self, group: list[_Image[R]], computed: Future[list[Output]]) -> None:
        if self._is_closed:
            return
        error = computed.exception()
        if error is not None:
            for image in group:
                image.result.set_exception(error)
            return
        for image, output in zip(group, computed.result(), strict=True):
            frame = image.prepared.result().frame
            interpreted = self._threads.others.submit(self._stages.interpret, output, frame)
            interpreted.add_done_callback(partial(_pass_on, image.result))


def _pass_on(target: Future[R], source: Future[R]) -> None:
    error = source.exception()
    if error is None:
        target.set_result(source.result())
    else:
        target.set_exception(error)
