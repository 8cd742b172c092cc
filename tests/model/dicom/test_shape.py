"""Pixels that are not square: the way to the annotators' image, and the exact way back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.dicom.shape import enlarged, shown_size, to_shown, to_source


@settings(max_examples=100, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), ratio=st.floats(0.125, 8), seed=st.integers(0, 9))
def test_a_mask_of_the_source_comes_back_to_the_pixel(
    height: int, width: int, ratio: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (height, width), np.uint8)
    size = shown_size((height, width), ratio)
    assert size[0] >= height
    assert size[1] >= width
    shown = to_shown(labels, size)
    assert shown.shape == size
    assert np.array_equal(to_source(shown, (height, width)), labels)


def test_the_shape_is_the_true_one() -> None:
    # Pixels twice as high as wide: a square of the body is 20 rows by 40 columns.
    assert shown_size((20, 40), 2.0) == (40, 40)
    assert shown_size((40, 20), 0.5) == (40, 40)
    assert shown_size((3000, 2500), 1.004) == (3000, 2500), "a rounded spacing changes no pixel"


def test_square_pixels_are_not_touched() -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert enlarged(pixels, (3, 4)) is pixels
    ramp = np.repeat(np.array([[0], [1000]], np.uint16), 3, axis=1)
    assert enlarged(ramp, (4, 3))[:, 0].tolist() == [0, 250, 750, 1000]
