"""Images that are kept open: bounded, opened once, and anew for another version."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ml_backend.interact.open_images import OpenImages
from model.imaging.preprocessing import PreprocessingSettings
from model.interaction.corrector import OpenImage


def image(side: int = 200) -> OpenImage:
    return OpenImage(np.zeros((side, side), np.uint8), PreprocessingSettings(size=64))


def test_the_least_recently_used_image_goes_first() -> None:
    images = OpenImages(most=2 * image().bytes)
    for name in ("a", "b", "a", "c"):
        images.get(("v1", name), image)
    assert images.kept() == [("v1", "a"), ("v1", "c")]


def test_an_image_larger_than_the_cache_is_kept_alone() -> None:
    images = OpenImages(most=1000)
    images.get(("v1", "a"), image)
    assert images.kept() == [("v1", "a")]


def test_threads_that_need_the_same_image_open_it_once() -> None:
    images, opened = OpenImages(), []

    def slow() -> OpenImage:
        opened.append(threading.get_ident())
        time.sleep(0.05)
        return image()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: images.get(("v1", "a"), slow), range(8)))
    assert len(opened) == 1
    assert all(one is found[0] for one in found)
    assert images.get(("v2", "a"), image) is not found[0]
