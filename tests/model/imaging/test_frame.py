"""Masks return to the pixels that they came from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.imaging.frame import MULTIPLE, Frame


@st.composite
def frames(draw: st.DrawFn, shortest: int = 40, longest: int = 1500) -> Frame:
    height, width = draw(st.integers(shortest, longest)), draw(st.integers(shortest, longest))
    rows, columns = draw(st.integers(shortest, height)), draw(st.integers(shortest, width))
    top, left = draw(st.integers(0, height - rows)), draw(st.integers(0, width - columns))
    return Frame.fit((height, width), (top, left, rows, columns), draw(st.integers(64, 600)))


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([labels == index for index in range(classes)]).astype(np.float32)


def pitch(frame: Frame) -> np.ndarray:
    """Original pixels per canvas pixel, (vertical, horizontal)."""
    return np.array(frame.crop[2:]) / frame.scaled


def ellipse(frame: Frame, centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """A disc on the original; centre as shares of the crop, radii in canvas pixels."""
    top, left, height, width = frame.crop
    y, x = np.mgrid[: frame.original[0], : frame.original[1]].astype(np.float32)
    # A pixel of the original may be larger than one of the canvas, so the blob must be wide in both.
    down, across = np.maximum(pitch(frame), 1) * radii
    y, x = y + 0.5 - top - centre[0] * height, x + 0.5 - left - centre[1] * width
    inside = np.zeros(frame.original, bool)
    inside[top : top + height, left : left + width] = True
    disc: np.ndarray = ((y / down) ** 2 + (x / across) ** 2 <= 1) & inside
    return disc


@settings(max_examples=60, deadline=None)
@given(
    frames(),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(12, 40), st.floats(12, 40)),
)
def test_blobs_survive_the_round_trip(
    frame: Frame, centre: tuple[float, float], radii: tuple[float, float]
) -> None:
    blob = ellipse(frame, centre, radii)
    if blob.sum() < 400 * np.prod(np.maximum(pitch(frame), 1)):
        return  # A blob that the crop cuts to a sliver is only a few canvas pixels wide
    canvas = frame.forward_mask(blob.astype(np.uint8))
    back = frame.back(one_hot(canvas, 2))[1] > 0.5
    dice = 2 * (back & blob).sum() / (back.sum() + blob.sum())
    # A third of a canvas pixel around the smallest ones is more than a fiftieth of them.
    assert dice >= min(0.98, 1 - 0.36 / min(radii))
    shift = (np.argwhere(back).mean(axis=0) - np.argwhere(blob).mean(axis=0)) / np.maximum(pitch(frame), 1)
    # Confusing the corners of pixels with their centres shifts them by half a pixel.
    assert np.abs(shift).max() < 1 / 3


@settings(max_examples=60, deadline=None)
@given(frames(), st.integers(0, 10_000))
def test_boundaries_move_by_less_than_a_canvas_pixel(frame: Frame, position: int) -> None:
    top, left, height, width = frame.crop
    edge = left + position % width
    half = np.zeros(frame.original, np.uint8)
    half[:, edge:] = 1
    back = frame.back_channel(frame.forward_mask(half).astype(np.float32)) > 0.5
    found = left + width - back[top + height // 2].sum()
    assert abs(found - edge) <= max(1, pitch(frame)[1])


@settings(max_examples=60, deadline=None)
@given(frames())
def test_pixel_centres_are_aligned(frame: Frame) -> None:
    """A canvas that contains the original coordinates of its pixel centres maps back to these coordinates."""
    top, left, height, width = frame.crop
    down, across = pitch(frame)
    canvas = np.zeros((2, *frame.canvas), np.float32)
    canvas[0] = ((np.arange(frame.canvas[0]) + 0.5) * down)[:, None]
    canvas[1] = ((np.arange(frame.canvas[1]) + 0.5) * across)[None, :]
    back = frame.back(canvas)[:, top : top + height, left : left + width]
    rows, columns = int(np.ceil(down)) + 1, int(np.ceil(across)) + 1
    y = np.arange(height) + 0.5
    x = np.arange(width) + 0.5
    inner_y, inner_x = slice(rows, height - rows), slice(columns, width - columns)
    np.testing.assert_allclose(back[0, inner_y, 0], y[inner_y], atol=0.1 * max(1, down))
    np.testing.assert_allclose(back[1, 0, inner_x], x[inner_x], atol=0.1 * max(1, across))


@settings(max_examples=40, deadline=None)
@given(frames(), st.integers(0, 2**32 - 1))
def test_probabilities_stay_probabilities(frame: Frame, seed: int) -> None:
    raw = np.random.default_rng(seed).random((3, *frame.canvas), np.float32)
    back = frame.back(raw / raw.sum(axis=0))
    top, left, height, width = frame.crop
    assert back.dtype == np.float32
    assert back.shape == (3, *frame.original)
    np.testing.assert_allclose(back.sum(axis=0), 1, atol=1e-5)
    outside = np.ones(frame.original, bool)
    outside[top : top + height, left : left + width] = False
    assert (back[0][outside] == 1).all()
    assert (back[1:, outside] == 0).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32 - 1)
)
def test_without_scaling_masks_survive_exactly(
    height: int, width: int, above: int, beside: int, seed: int
) -> None:
    frame = Frame.fit((height + 10, width + 10), (above, beside, height, width), max(height, width))
    mask = np.zeros(frame.original, np.uint8)
    content = np.random.default_rng(seed).integers(0, 4, (height, width), np.uint8)
    mask[above : above + height, beside : beside + width] = content
    canvas = frame.forward_mask(mask)
    np.testing.assert_array_equal(canvas[:height, :width], content)
    np.testing.assert_array_equal(frame.back(one_hot(canvas, 4)).argmax(axis=0), mask)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 1024))
def test_canvas_is_the_smallest_that_fits(height: int, width: int, size: int) -> None:
    frame = Frame.fit((height, width), (0, 0, height, width), size)
    assert max(frame.scaled) == size
    for scaled, canvas in zip(frame.scaled, frame.canvas, strict=True):
        assert canvas % MULTIPLE == 0
        assert 0 <= canvas - scaled < MULTIPLE
    assert (
        abs(frame.scaled[0] * width / max(height, width) - frame.scaled[1] * height / max(height, width)) <= 1
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (1, 40_000)])
def test_extreme_shapes_make_the_round_trip(shape: tuple[int, int]) -> None:
    frame = Frame.fit(shape, (0, 0, *shape), 600)
    canvas = frame.forward_mask(np.ones(shape, np.uint8))
    assert canvas[: frame.scaled[0], : frame.scaled[1]].all()
    assert (frame.back_channel(canvas.astype(np.float32)) == 1).all()
    if max(shape) == 1:
        return
    along = 0 if shape[0] > shape[1] else 1
    ramp = np.zeros(frame.canvas, np.float32)
    ramp[...] = np.expand_dims(np.arange(frame.canvas[along]), 1 - along)
    back = frame.back_channel(ramp)
    assert (np.diff(back, axis=along) >= 0).all()
    assert abs(back.mean() - 299.5) < 0.01


def test_back_channel_is_one_channel_of_back() -> None:
    frame = Frame.fit((200, 300), (20, 30, 150, 200), 64)
    foreground = np.random.default_rng(0).random(frame.canvas, np.float32)
    both = frame.back(np.stack([1 - foreground, foreground]))
    np.testing.assert_array_equal(frame.back_channel(foreground), both[1])
    np.testing.assert_array_equal(frame.back_channel(1 - foreground, outside=1.0), both[0])


def test_wrong_shapes_are_refused() -> None:
    frame = Frame.fit((20, 30), (0, 0, 20, 30), 64)
    with pytest.raises(ValueError, match="mask has the shape"):
        frame.forward_mask(np.zeros((30, 20), np.uint8))
    with pytest.raises(ValueError, match="canvas"):
        frame.back(np.zeros((2, 20, 30), np.float32))


@settings(max_examples=60, deadline=None)
@given(frames(shortest=1, longest=400), st.integers(0, 2**32), st.floats(0.05, 0.95))
def test_a_part_contains_every_large_value_and_equals_the_whole(
    frame: Frame, seed: int, least: float
) -> None:
    rng = np.random.default_rng(seed)
    channel = np.zeros(frame.canvas, np.float32)
    top, left = (int(rng.integers(side)) for side in frame.scaled)
    height, width = (int(rng.integers(1, side + 1)) for side in frame.scaled)
    box = channel[top : top + height, left : left + width]
    box[...] = rng.random(box.shape, dtype=np.float32)
    whole = frame.back_channel(channel)
    window, part = frame.back_part(channel, least)
    np.testing.assert_array_equal(part, whole[window])
    whole[window] = 0
    assert (whole < least).all()
