"""Tasks scored in a stream: one that fails is named, and the others are scored as if it were not there."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import Grey
from ml_backend.label_studio.regions.tidying import Limits
from ml_backend.score import by_network
from ml_backend.score.by_network import NetworkScorer
from ml_backend.score.drawing import Drawing, Quality
from ml_backend.score.prediction import Scored
from model.imaging.decoding import ImageError
from model.segmenter import Segmenter
from model.strategies import parse as parse_strategy
from tests.ml_backend.score.untrained import save_untrained

CONFIG = parse(default_config(["Bone"]))
TASKS = {task: {"image": f"{task}.png"} for task in range(1, 13)}


class Images:
    """Reads an image of a size of its own for each task; some fail."""

    def __init__(self, faults: Mapping[int, Exception] | None = None, hostile: tuple[int, ...] = ()) -> None:
        self.read: list[int] = []
        self._faults, self._hostile = faults or {}, hostile
        self._lock = threading.Lock()

    def __call__(self, task_id: int, _data: Mapping[str, Any], _config: LabelConfig) -> Grey:
        with self._lock:
            self.read.append(task_id)
        if task_id in self._faults:
            raise self._faults[task_id]
        pixels = np.random.default_rng(task_id).integers(0, 255, (40, 50 + task_id % 2), dtype=np.uint8)
        # Three dimensions, where every stage expects two.
        return pixels[None, None] if task_id in self._hostile else pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("weights") / "version", size=32, crop=False, norm="group")


@pytest.fixture(params=[1, 4], ids=["one by one", "together"])
def segmenter(folder: Path, request: pytest.FixtureRequest) -> Segmenter:
    return Segmenter(folder, engine="torch", device="cpu", precision="fp32", together=request.param)


def scorer(segmenter: Segmenter, images: Images) -> NetworkScorer:
    drawing = Drawing(0.0, Limits(0, 200, 10_000), Quality())
    return NetworkScorer(segmenter, parse_strategy("disagreement"), drawing, images, CONFIG, 3)


def scored(segmenter: Segmenter, images: Images) -> dict[int, Scored]:
    found = list(scorer(segmenter, images)(TASKS))
    assert [one.task_id for one in found] == list(TASKS)
    return {one.task_id: one for one in found}


def test_a_stream_scores_as_one_task_after_another_does(segmenter: Segmenter) -> None:
    found = scored(segmenter, Images())
    for task, data in TASKS.items():
        (alone,) = scorer(segmenter, Images())({task: data})
        assert found[task].score == pytest.approx(alone.score, abs=1e-5)
        assert found[task].image == alone.image
        assert len(found[task].result) == len(alone.result) > 0


def test_what_cannot_be_read_is_named_and_does_not_stop_the_stream(segmenter: Segmenter) -> None:
    faults = {
        1: ImageUnavailable(1, "nobody answers", transient=True),
        6: ImageError("Task 6: no image."),
        7: KeyError("what nobody foresaw"),
        12: ImageError("Task 12: no image."),
    }
    found, usual = scored(segmenter, Images(faults)), scored(segmenter, Images())
    for task in TASKS:
        assert bool(found[task].error) is (task in faults)
        if task not in faults:
            assert found[task].score == pytest.approx(usual[task].score, abs=1e-5)
    assert found[1].transient
    assert not found[6].transient
    assert "Task 7 is left out" in str(found[7].error)


def test_an_image_that_fails_in_the_stream_takes_none_of_its_group_with_it(segmenter: Segmenter) -> None:
    found = scored(segmenter, Images(hostile=(3, 8)))
    assert {task for task, one in found.items() if one.error} == {3, 8}


def test_a_fault_of_what_surrounds_the_tasks_stops_them_all(segmenter: Segmenter) -> None:
    away = LabelStudioError("Label Studio is away.")
    with pytest.raises(LabelStudioError, match="is away"):
        scored(segmenter, Images({5: away}))


def test_who_gives_up_after_a_failure_has_no_further_images_fetched(folder: Path) -> None:
    segmenter = Segmenter(folder, engine="torch", device="cpu", precision="fp32")
    images = Images({task: ImageUnavailable(task, "nobody answers", transient=True) for task in TASKS})
    with closing(scorer(segmenter, images)(TASKS)) as found:
        assert next(found).transient
    assert len(images.read) <= 3, "besides the one that failed, at most what is read ahead"


def test_a_stream_that_is_left_has_read_a_few_images_only(folder: Path) -> None:
    segmenter = Segmenter(folder, engine="torch", device="cpu", precision="fp32")
    images = Images()
    with closing(scorer(segmenter, images)(TASKS)) as found:
        next(found)
    assert len(images.read) <= 6


def test_large_images_are_scored_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_network, "LARGE", 1)
    segmenter = Segmenter(folder, engine="torch", device="cpu", precision="fp32")
    images = Images()
    with closing(scorer(segmenter, images)(TASKS)) as found:
        next(found)
        assert len(images.read) <= 3
        assert [one.task_id for one in found] == list(TASKS)[1:]
