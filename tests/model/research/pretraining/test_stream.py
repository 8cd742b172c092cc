"""The endless source of phantoms: exact, varied and reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.research.phantom.scene import Scene, draw_scene
from model.research.pretraining import PhantomSource
from model.research.pretraining.stream import MARGIN, SCENE, expose_scene
from model.training.batches import Batches


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(9, 4, SCENE, MARGIN)


@pytest.mark.slow
def test_a_step_and_a_slot_give_the_same_example_whatever_was_drawn_before() -> None:
    source = PhantomSource(3, sizes=(128, 160), window=4, uses=3)
    in_turn = [source.draw(step, slot, 2) for step in range(5) for slot in range(2)]
    again = PhantomSource(3, sizes=(128, 160), window=4, uses=3).draw(4, 1, 2)
    assert np.array_equal(again.image, in_turn[-1].image)
    assert np.array_equal(again.mask, in_turn[-1].mask)
    other = PhantomSource(5, sizes=(128, 160), window=4, uses=3).draw(4, 1, 2)
    assert other.image.shape != again.image.shape or not np.array_equal(other.image, again.image)


@pytest.mark.slow
def test_no_two_examples_of_a_run_are_alike_and_sizes_vary_from_step_to_step() -> None:
    batches = Batches(PhantomSource(1, sizes=(128, 256), window=3, uses=3), 2, seed=0, augment=False)
    drawn = [example for step in range(6) for example in batches.examples(step)]
    assert len({example.image.tobytes() for example in drawn}) == 12
    assert len({max(example.image.shape) for example in drawn}) > 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), longer=st.integers(128, 300))
def test_every_image_is_grey_shows_bones_and_has_a_mask_of_its_size(
    scene: Scene, seed: int, longer: int
) -> None:
    image, mask = expose_scene(scene, longer, np.random.default_rng(seed))
    assert image.shape == mask.shape
    assert max(image.shape) == longer
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert 0.01 < mask.mean() < 0.6
    assert np.ptp(image) > 10


def test_bones_differ_from_their_surroundings_in_nearly_every_image(scene: Scene) -> None:
    """The mask matches the bones however the image is bent, inverted or occluded."""
    differs = 0
    for seed in range(40):
        image, mask = expose_scene(scene, 256, np.random.default_rng(seed))
        inside = image[mask == 1].mean()
        around = image[(mask == 0) & _near(mask)].mean()
        differs += abs(inside - around) > 0.03 * np.ptp(image)
    assert differs >= 36


def _near(mask: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
