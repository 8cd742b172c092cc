"""Loaded segmenters: never more than allowed, never one twice, and what gave way is really gone."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from ml_backend.segmenters import NoRoomError, Segmenters
from model.loss import LossWeights
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.preprocessing import PreprocessingSettings
from model.segmenter import Segmenter
from model.weights import Card, save_version

LONG = 60.0


class Loader:
    """Loads real, tiny segmenters, slowly; counts what is alive."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        shape = NetworkSettings(classes=2, width=2)
        card = Card(
            name="untrained",
            labels=("Bone",),
            network=shape,
            preprocessing=PreprocessingSettings(size=64),
            loss=LossWeights(),
            metrics={},
            parent=None,
            training={},
        )
        save_version(folder, DeeplySupervisedUNet(shape), card)
        self._folder = folder
        self._lock = threading.Lock()
        self.loaded: list[str] = []
        self.alive: weakref.WeakSet[Segmenter] = weakref.WeakSet()
        self.most_alive = 0

    def __call__(self, key: str) -> Segmenter:
        if key == "broken":
            raise ValueError(key)
        segmenter = Segmenter(self._folder, engine="torch", device="cpu")
        with self._lock:
            gc.collect()
            self.loaded.append(key)
            self.alive.add(segmenter)
            self.most_alive = max(self.most_alive, len(self.alive))
        time.sleep(0.02)
        return segmenter


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Loader]:
    """A loader; it collects garbage at each load, which is quick without all that was there before."""
    gc.collect()
    gc.freeze()
    yield Loader(tmp_path / "version")
    gc.unfreeze()


def in_time() -> float:
    return time.monotonic() + LONG


def test_the_least_recently_used_gives_way(loader: Loader) -> None:
    segmenters = Segmenters(2, loader)
    for key in ("a", "b", "a", "c", "a", "b"):
        with segmenters.borrow(key, in_time()) as segmenter:
            assert segmenter.labels == ("Bone",)
    assert loader.loaded == ["a", "b", "c", "b"]
    assert segmenters.loaded() == ["a", "b"]


def test_what_gave_way_is_released(loader: Loader) -> None:
    segmenters = Segmenters(1, loader)
    with segmenters.borrow("a", in_time()) as segmenter:
        first = weakref.ref(segmenter)
    del segmenter
    with segmenters.borrow("b", in_time()):
        gc.collect()
        assert first() is None


def test_many_threads_load_none_twice_and_never_exceed_the_bound(loader: Loader) -> None:
    segmenters = Segmenters(2, loader)
    together = threading.Barrier(8)

    def use(number: int) -> None:
        together.wait()
        for turn in range(6):
            with segmenters.borrow("abcd"[(number + turn // 2) % 4], in_time()):
                time.sleep(0.001)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))
    assert loader.most_alive <= 2
    assert len(segmenters.loaded()) <= 2

    one = Segmenters(2, loader)
    loader.loaded.clear()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: one.borrow("a", in_time()).__enter__(), range(8)))
    assert loader.loaded == ["a"]


def test_who_finds_no_place_in_time_is_told(loader: Loader) -> None:
    segmenters = Segmenters(1, loader)
    with segmenters.borrow("a", in_time()):
        with segmenters.borrow("a", in_time()):
            pass
        with pytest.raises(NoRoomError, match="LOADED_VERSIONS"), segmenters.borrow("b", time.monotonic()):
            pass
    with segmenters.borrow("b", in_time()):
        pass


def test_one_that_cannot_be_loaded_takes_no_place(loader: Loader) -> None:
    segmenters = Segmenters(1, loader)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), segmenters.borrow("broken", in_time()):
            pass
    assert segmenters.loaded() == []
    with segmenters.borrow("a", time.monotonic()):
        pass
