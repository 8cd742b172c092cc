"""Augmentation varies image and mask together and is reproducible by seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.training.augmentation import Augmentation


def _bar(height: int = 96, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((height, width), 40, np.uint8)
    mask = np.zeros((height, width), np.uint8)
    top, left = height // 4, width // 3
    image[top : 3 * top, left : 2 * left] = 200
    mask[top : 3 * top, left : 2 * left] = 3
    return image, mask


@settings(max_examples=25, deadline=None)
@given(step=st.integers(0, 10_000), slot=st.integers(0, 7), seed=st.integers(0, 2**31))
def test_shapes_types_and_classes_survive(step: int, slot: int, seed: int) -> None:
    image, mask = _bar()
    varied_image, varied_mask = Augmentation(seed)(image, mask, step=step, slot=slot)
    assert varied_image.shape == varied_mask.shape == image.shape
    assert varied_image.dtype == varied_mask.dtype == np.uint8
    assert set(np.unique(varied_mask)) <= {0, 3}, "nearest resampling must not invent classes"


def test_the_mask_follows_its_image() -> None:
    image, mask = _bar()
    augmentation = Augmentation(1)
    for step in range(20):
        varied_image, varied_mask = augmentation(image, mask, step=step, slot=0)
        bright = varied_image > 120
        overlap = 2 * (bright & (varied_mask == 3)).sum() / (bright.sum() + (varied_mask == 3).sum())
        assert overlap > 0.9


def _sequence(seed: int, slot: int, steps: range) -> list[bytes]:
    image = np.random.default_rng(0).integers(0, 255, (48, 32), dtype=np.uint8)
    augmentation = Augmentation(seed)
    return [augmentation(image, image // 128, step=step, slot=slot)[0].tobytes() for step in steps]


def test_a_variation_depends_on_seed_step_and_slot_alone() -> None:
    whole = _sequence(5, 0, range(20))
    assert _sequence(5, 0, range(8, 20)) == whole[8:], "a resumed run sees what the killed one would have"
    assert len(set(whole)) > 10
    assert whole != _sequence(5, 1, range(20))
    assert whole != _sequence(6, 0, range(20))


@pytest.mark.parametrize("shape", [(16, 16), (160, 16), (64, 400)])
def test_narrow_canvases_work(shape: tuple[int, int]) -> None:
    image, mask = _bar(*shape)
    assert Augmentation(0)(image, mask, step=0, slot=0)[0].shape == shape


def test_variations_are_mild_enough_to_keep_the_object() -> None:
    image, mask = _bar()
    areas = [(Augmentation(2)(image, mask, step=step, slot=0)[1] == 3).sum() for step in range(40)]
    assert min(areas) > 0.5 * (mask == 3).sum()
    assert max(areas) < 1.7 * (mask == 3).sum()
