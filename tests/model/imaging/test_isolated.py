"""Large images in the helper process: the same pixels, and a caller that survives what the helper does."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from model.imaging.decoding import ImageError, decode_image, decoding_bytes
from model.imaging.isolated import IsolatedDecoder


def png(pixels: np.ndarray) -> bytes:
    file: bytes = cv2.imencode(".png", pixels)[1].tobytes()
    return file


@pytest.fixture
def decoder() -> Iterator[IsolatedDecoder]:
    made = IsolatedDecoder(inline_bytes=0)
    yield made
    made.close()


def helper() -> psutil.Process:
    (found,) = [
        one for one in psutil.Process().children() if "model.imaging.isolated" in " ".join(one.cmdline())
    ]
    return found


def test_the_helper_gives_the_same_pixels(decoder: IsolatedDecoder) -> None:
    draws = np.random.default_rng(0)
    jpeg = io.BytesIO()
    Image.fromarray(draws.integers(0, 255, (40, 30, 3), np.uint8)).save(jpeg, "JPEG")
    files = [jpeg.getvalue()] + [
        png(draws.integers(0, 2**bits, (37, 23, *rest), np.uint16 if bits == 16 else np.uint8))
        for bits in (8, 16)
        for rest in ((), (3,), (4,))
    ]
    for file in files:
        found, expected = decoder.decode(file), decode_image(file)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert helper().is_running()


def test_bad_files_get_the_usual_sentence_and_the_helper_goes_on(decoder: IsolatedDecoder) -> None:
    whole = png(np.arange(10_000, dtype=np.uint16).reshape(100, 100))
    before = decoder.decode(whole)
    for bad in (b"nothing", whole[: len(whole) // 2], b""):
        with pytest.raises(ImageError) as here:
            decode_image(bad)
        with pytest.raises(ImageError) as there:
            decoder.decode(bad)
        assert str(there.value) == str(here.value)
    np.testing.assert_array_equal(decoder.decode(whole), before)


def test_a_killed_helper_is_replaced(decoder: IsolatedDecoder) -> None:
    file = png(np.ones((20, 20), np.uint8))
    decoder.decode(file)
    first = helper().pid
    os.kill(first, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)] if psutil.pid_exists(first) else [], timeout=5)
    assert decoder.decode(file).shape == (20, 20)
    assert helper().pid != first


def test_a_helper_that_dies_or_hangs_while_it_decodes_is_the_problem_of_that_image() -> None:
    file = png(np.ones((20, 20), np.uint8))
    hanging = IsolatedDecoder(inline_bytes=0, seconds=2)
    hanging.decode(file)
    os.kill(helper().pid, signal.SIGSTOP)
    with pytest.raises(ImageError, match="takes more than 2 seconds"):
        hanging.decode(file)
    hanging.decode(file)
    os.kill(helper().pid, signal.SIGSTOP)
    threading.Timer(0.5, lambda: os.kill(helper().pid, signal.SIGKILL)).start()
    with pytest.raises(ImageError, match="ended the process"):
        hanging.decode(file)
    assert hanging.decode(file).shape == (20, 20)
    hanging.close()


def test_small_images_need_no_helper_and_the_bound_is_read_from_the_header() -> None:
    decoder = IsolatedDecoder()
    assert decoder.decode(png(np.ones((50, 40), np.uint16))).shape == (50, 40)
    assert not [one for one in psutil.Process().children() if "isolated" in " ".join(one.cmdline())]
    assert decoding_bytes(png(np.ones((50, 40, 4), np.uint16))) >= 50 * 40 * 20
    assert decoding_bytes(png(np.ones((50, 40, 4), np.uint8))) >= 50 * 40 * 13
