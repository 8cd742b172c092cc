"""Bones are visible at any exposure, borders are removed, no content is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.imaging.decoding import decode_image
from model.imaging.preprocessing import (
    Frame,
    PreprocessingError,
    PreprocessingSettings,
    preprocess,
    to_network,
)

DATA = Path(os.environ.get("DSAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
DEFAULT = PreprocessingSettings()


def limb(height: int = 500, width: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A bone in flesh on a faint background with noise, grey values in [0, 1], and the bone's mask."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    flesh = np.abs(x - width / 2) < width / 4
    bone = (np.abs(x - width / 2) < width / 12) & (np.abs(y - height / 2) < height / 3)
    noise = np.random.default_rng(0).normal(0, 0.005, (height, width))
    return 0.1 + 0.3 * flesh + 0.25 * bone + noise, bone


def contrast(canvas: np.ndarray, frame: Frame, bone: np.ndarray) -> float:
    """Difference in grey levels on the canvas between the bone and the flesh near it."""
    mask = frame.forward_mask(bone.astype(np.uint8)) > 0
    around = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15))) > 0
    return float(canvas[mask].mean() - canvas[around & ~mask].mean())


@pytest.mark.parametrize(
    ("exposure", "offset", "full", "dtype"),
    [
        (1.0, 0.0, 255, np.uint8),
        (0.1, 0.0, 255, np.uint8),
        (0.2, 0.75, 255, np.uint8),
        (0.05, 0.0, 65535, np.uint16),
        (1.0, 0.0, 65535, np.uint16),
    ],
    ids=["normal", "nearly black", "washed out", "nearly black, 16 bits", "normal, 16 bits"],
)
@pytest.mark.parametrize("marker", [False, True])
def test_bones_are_visible_at_any_exposure(
    exposure: float, offset: float, full: int, dtype: type, marker: bool
) -> None:
    grey, bone = limb()
    image = np.clip((grey * exposure + offset) * full, 0, full)
    if marker:
        image[20:60, 20:50] = full
    canvas, frame = preprocess(image.astype(dtype), DEFAULT)
    assert contrast(canvas, frame, bone) > 40


def test_the_bit_depth_makes_no_difference() -> None:
    grey = (limb()[0] * 255).clip(0, 255).astype(np.uint8)
    shallow, _ = preprocess(grey, DEFAULT)
    deep, _ = preprocess(grey.astype(np.uint16) * 257, DEFAULT)
    assert np.abs(shallow.astype(int) - deep).max() <= 1


def test_values_beyond_the_bright_percentile_keep_their_order() -> None:
    image = np.tile(np.linspace(0, 100, 600).astype(np.uint8), (600, 1))
    image[290:300, 290:300] = 180
    image[310:320, 290:300] = 250
    canvas, _ = preprocess(image, PreprocessingSettings(clip_limit=0, crop=False))
    assert canvas[100, 100] < canvas[100, 550] < canvas[295, 295] < canvas[315, 295]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 2000), (2000, 3), (15, 16), (64, 64), (700, 20)])
@pytest.mark.parametrize("value", [0, 130, 255])
def test_blank_images_stay_whole_and_black(shape: tuple[int, int], value: int) -> None:
    canvas, frame = preprocess(np.full(shape, value, np.uint8), DEFAULT)
    assert frame.crop == (0, 0, *shape)
    assert canvas.shape == frame.canvas
    assert canvas.max() == 0


@settings(max_examples=80, deadline=None)
@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 70), st.integers(1, 70)),
    )
)
def test_any_image_gives_a_canvas_that_fits(image: np.ndarray) -> None:
    canvas, frame = preprocess(image, DEFAULT)
    again, same_frame = preprocess(image.copy(), DEFAULT)
    np.testing.assert_array_equal(canvas, again)
    assert frame == same_frame
    assert canvas.dtype == np.uint8
    assert canvas.shape == frame.canvas
    assert max(frame.scaled) == DEFAULT.size
    assert canvas[frame.scaled[0] :].max(initial=0) == 0
    assert canvas[:, frame.scaled[1] :].max(initial=0) == 0
    top, left, height, width = frame.crop
    assert top >= 0
    assert left >= 0
    assert top + height <= image.shape[0]
    assert left + width <= image.shape[1]


def test_crop_can_be_switched_off() -> None:
    image = np.zeros((300, 200), np.uint8)
    image[50:250, 60:140] = 100
    assert preprocess(image, PreprocessingSettings(crop=False))[1].crop == (0, 0, 300, 200)


def test_masks_of_real_hands_survive_the_round_trip() -> None:
    files = sorted((DATA / "hand-bones" / "images").glob("*"))
    if not files:
        pytest.skip("hand-bones is not available")
    for path in files:
        mask = decode_image((path.parents[1] / "masks" / path.name).read_bytes()) > 0
        canvas, frame = preprocess(decode_image(path.read_bytes()), DEFAULT)
        back = frame.back_channel(frame.forward_mask(mask.astype(np.uint8)).astype(np.float32)) > 0.5
        assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.97
        assert contrast(canvas, frame, mask) > 15


def test_network_input_is_between_black_and_white() -> None:
    canvas = np.array([[0, 255], [51, 128]], np.uint8)
    values = to_network(canvas)
    assert values.dtype == np.float32
    assert values.shape == (1, 2, 2)
    np.testing.assert_allclose(values[0], [[0.0, 1.0], [0.2, 128 / 255]], rtol=1e-6)


def test_settings_survive_json() -> None:
    chosen = PreprocessingSettings(size=320, clip_limit=1.5, crop=False)
    assert PreprocessingSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sise": 600}, "Unknown preprocessing settings: sise"),
        ({"version": 2}, "version 2 is not known"),
        ({"size": 0}, "at least 1"),
        ({"size": "600"}, "size must be of type int"),
        ({"crop": 1}, "crop must be of type bool"),
        ({"clip_limit": float("nan")}, "at least 0"),
        ({"clip_limit": -1}, "at least 0"),
        ({"dark_percentile": 99.0}, "percentiles must rise"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(PreprocessingError, match=message):
        PreprocessingSettings.from_dict(values)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.float32)],
    ids=["colour", "empty", "float"],
)
def test_wrong_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(PreprocessingError, match="grey"):
        preprocess(image, DEFAULT)
