"""The cache of segmenters: bounded, without duplicates, and releasing what it evicts."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_backend.score.segmenters import NoRoomError, Segmenters
from model.segmenter import Segmenter
from tests.ml_backend.score.untrained import save_untrained

LONG = 60.0


class Loader:
    """Loads real, tiny segmenters, slowly; counts those that are alive."""

    def __init__(self, folder: Path) -> None:
        self._folder = save_untrained(folder)
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


def deadline() -> float:
    return time.monotonic() + LONG


def test_the_least_recently_used_is_evicted(loader: Loader) -> None:
    segmenters = Segmenters(2, loader)
    for key in ("a", "b", "a", "c", "a", "b"):
        with segmenters.borrow(key, deadline()) as segmenter:
            assert segmenter.labels == ("Bone",)
    assert loader.loaded == ["a", "b", "c", "b"]
    assert segmenters.loaded() == ["a", "b"]


def test_an_evicted_segmenter_is_released(loader: Loader) -> None:
    segmenters = Segmenters(1, loader)
    with segmenters.borrow("a", deadline()) as segmenter:
        first = weakref.ref(segmenter)
    del segmenter
    with segmenters.borrow("b", deadline()):
        gc.collect()
        assert first() is None


def test_many_threads_load_none_twice_and_never_exceed_the_limit(loader: Loader) -> None:
    segmenters = Segmenters(2, loader)
    together = threading.Barrier(8)

    def use(number: int) -> None:
        together.wait()
        for turn in range(6):
            with segmenters.borrow("abcd"[(number + turn // 2) % 4], deadline()):
                time.sleep(0.001)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))
    assert loader.most_alive <= 2
    assert len(segmenters.loaded()) <= 2

    one = Segmenters(2, loader)
    loader.loaded.clear()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: one.borrow("a", deadline()).__enter__(), range(8)))
    assert loader.loaded == ["a"]


def test_a_caller_that_gets_no_slot_in_time_gets_an_error(loader: Loader) -> None:
    segmenters = Segmenters(1, loader)
    with segmenters.borrow("a", deadline()):
        with segmenters.borrow("a", deadline()):
            pass
        with pytest.raises(NoRoomError, match="LOADED_VERSIONS"), segmenters.borrow("b", time.monotonic()):
            pass
    with segmenters.borrow("b", deadline()):
        pass


def test_a_segmenter_that_cannot_be_loaded_uses_no_slot(loader: Loader) -> None:
    segmenters = Segmenters(1, loader)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), segmenters.borrow("broken", deadline()):
            pass
    assert segmenters.loaded() == []
    with segmenters.borrow("a", time.monotonic()):
        pass
