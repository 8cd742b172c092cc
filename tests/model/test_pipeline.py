"""Images on their way through the network: in order, bounded, and independent of each other."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.consistency import dice
from model.engines.device_masks import draw_masks
from model.engines.interface import Output
from model.imaging.frame import Frame
from model.imaging.preprocessing import PreprocessingError, preprocess, to_network
from model.pipeline import Grey, Pipeline, Prepared, Stages, Threads
from model.segmenter import Segmentation, Segmenter

Drawing = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]

WIDTHS = (128, 96, 128, 128, 160, 96, 128, 128, 128, 96)


@pytest.fixture(scope="module")
def alone(version_of_two: Path) -> Segmenter:
    return Segmenter(version_of_two, engine="torch", precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def together(version_of_two: Path) -> Segmenter:
    return Segmenter(version_of_two, engine="torch", precision="fp32", device="cpu", together=4)


@pytest.fixture(scope="module")
def images(draw: Drawing) -> list[NDArray[np.uint8]]:
    return [draw(seed, 160, width)[0] for seed, width in enumerate(WIDTHS)]


def masks(found: Segmentation) -> tuple[NDArray[np.uint8], ...]:
    return found.lower, found.middle, found.final


def same(first: Segmentation, second: Segmentation) -> bool:
    return (
        first.consistency == second.consistency
        and all(np.array_equal(one, other) for one, other in zip(masks(first), masks(second), strict=True))
        and np.array_equal(first.probabilities, second.probabilities)
    )


def test_images_computed_together_give_what_each_gives_alone(
    alone: Segmenter, together: Segmenter, images: list[NDArray[np.uint8]]
) -> None:
    found = together.segment(images)
    for one, other in zip(alone.segment(images), found, strict=True):
        # oneDNN may sum in another order for several images.
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        assert all(np.mean(a != b) <= 1e-5 for a, b in zip(masks(one), masks(other), strict=True))
        assert one.consistency.score == pytest.approx(other.consistency.score, abs=1e-4)
        np.testing.assert_allclose(one.features, other.features, atol=1e-5)


def test_a_score_never_depends_on_the_neighbours(
    draw: Drawing, together: Segmenter, images: list[NDArray[np.uint8]]
) -> None:
    image = images[0]
    first, *_ = together.segment([image, images[2], images[3], images[6]])
    noise = np.random.default_rng(0).integers(0, 256, (3, 160, 128), dtype=np.uint8)
    for place in range(4):
        among = [*noise[:place], image, *noise[place:]]
        assert same(first, together.segment(among)[place])


def test_a_broken_image_fails_in_its_place(together: Segmenter, images: list[NDArray[np.uint8]]) -> None:
    broken = np.zeros((3, 4, 5), np.uint8)
    stream = together.stream([*images[:3], broken, *images[3:]])
    for image in images[:3]:
        assert same(next(stream), together.segment([image] * 4)[0])
    with pytest.raises(PreprocessingError):
        next(stream)
    assert together.segment(images)[0].final.any()


def test_masks_drawn_by_the_device_are_those_of_the_processor(draw: Drawing, together: Segmenter) -> None:
    # The same code runs with CUDA; here the device is the processor.
    pictures = [draw(seed, 431, 317)[0] for seed in range(3)]
    prepared = [preprocess(picture, together.card.preprocessing) for picture in pictures]
    for threshold in (None, 0.3):
        draws = [partial(draw_masks, frame=frame, threshold=threshold) for _, frame in prepared]
        outputs = together.engine.run_together([to_network(canvas) for canvas, _ in prepared], None, draws)
        for output, (_, frame), expected in zip(
            outputs, prepared, together.segment(pictures, threshold=threshold), strict=True
        ):
            found = together.interpret(output, frame, threshold)
            assert output.masks is not None
            for one, other in zip(masks(found), masks(expected), strict=True):
                assert np.mean(one != other) <= 1e-4
                assert dice(one > 0, other > 0) > 0.999
    small, frame = preprocess(draw(1, 80, 64)[0], together.card.preprocessing)
    shrunk = partial(draw_masks, frame=frame, threshold=None)
    assert together.engine.run_together([to_network(small)], None, [shrunk])[0].masks is None


FRAME = Frame.fit((16, 16), (0, 0, 16, 16), 16)


class Recorder:
    """Stages whose result is the image itself, and which note what is computed together."""

    def __init__(self, delay: Callable[[], float] = lambda: 0.0) -> None:
        self.groups: list[list[int]] = []
        self.on_the_way = self.most_on_the_way = 0
        self._delay = delay
        self._lock = threading.Lock()
        self.stages: Stages[int] = Stages(self._prepare, self._compute, self._interpret)

    def images(self, widths: Sequence[int] | Iterator[int]) -> Iterator[Grey]:
        for number, width in enumerate(widths):
            self.on_the_way += 1
            self.most_on_the_way = max(self.most_on_the_way, self.on_the_way)
            yield np.full((1, width), number, np.uint16)

    def _prepare(self, image: Grey) -> Prepared:
        time.sleep(self._delay())
        if image.shape[1] == 1:
            raise PreprocessingError("broken")
        return Prepared(image[np.newaxis].astype(np.float32), FRAME)

    def _compute(self, canvases: list[Prepared]) -> list[Output]:
        assert len({one.x.shape for one in canvases}) == 1
        with self._lock:
            self.groups.append([int(one.x[0, 0, 0]) for one in canvases])
        return [Output(one.x, one.x) for one in canvases]

    def _interpret(self, output: Output, frame: Frame) -> int:
        assert frame is FRAME
        return int(output.features[0, 0, 0])


@pytest.fixture(scope="module")
def threads() -> Threads:
    return Threads(2, 4)


def test_groups_depend_on_the_order_of_the_images_alone(threads: Threads) -> None:
    widths = np.random.default_rng(0).choice([2, 3, 4], 100, p=[0.8, 0.15, 0.05]).tolist()
    seen = []
    for seed in range(3):
        recorder = Recorder(partial(np.random.default_rng(seed).uniform, 0, 1e-3))
        pipeline = Pipeline(recorder.stages, threads, together=4)
        assert list(pipeline.run(recorder.images(widths))) == list(range(100))
        seen.append(sorted(recorder.groups))
    assert seen[0] == seen[1] == seen[2]
    assert max(len(group) for group in seen[0]) == 4
    assert sum(len(group) == 4 for group in seen[0]) >= 15


@pytest.mark.parametrize("together", [1, 4])
def test_results_come_in_order_and_without_end(threads: Threads, together: int) -> None:
    recorder = Recorder()
    pipeline = Pipeline(recorder.stages, threads, together=together)
    # A size of its own waits for the end of the others, which never comes.
    widths = itertools.chain([5], itertools.cycle([2, 2, 3]))
    results = []
    for result in itertools.islice(pipeline.run(recorder.images(widths)), 200):
        recorder.on_the_way -= 1
        results.append(result)
    assert results == list(range(200))
    assert recorder.most_on_the_way <= pipeline.most


def test_any_number_of_broken_images_holds_nothing_up(threads: Threads) -> None:
    recorder = Recorder()
    stream = Pipeline(recorder.stages, threads, together=4).run(recorder.images([2] + [1] * 200))
    assert next(stream) == 0
    with pytest.raises(PreprocessingError):
        next(stream)


def test_an_error_of_the_network_reaches_the_caller(threads: Threads) -> None:
    def refuse(_canvases: list[Prepared]) -> list[Output]:
        raise MemoryError

    recorder = Recorder()
    stages = Stages(recorder.stages.prepare, refuse, recorder.stages.interpret)
    with pytest.raises(MemoryError):
        list(Pipeline(stages, threads, together=4).run(recorder.images([2] * 9)))
