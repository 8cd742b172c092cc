"""Augmentation varies image and mask together and is reproducible by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from model.training.augmentation import Augmentation, Variation, vary
from model.training.canvases import collate
from model.training.device import CPU
from tests.model.training.monai_augmentation import MonaiAugmentation


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


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (81, 33), (160, 24)])
def test_what_is_drawn_changes_pixels_as_monai_does(shape: tuple[int, int]) -> None:
    image, mask = _bar(*shape)
    image += np.random.default_rng(0).integers(0, 40, shape, dtype=np.uint8)
    mask[:3] = 255
    monai = MonaiAugmentation(0)
    kinds = set()
    for step in range(60):
        expected, labels = monai(image, mask, step=step, slot=0)
        drawn = monai.drawn(shape)
        if drawn.noise is not None:
            continue
        kinds |= {name for name in ("pose", "gamma", "blur") if getattr(drawn, name) is not None}
        flip = slice(None, None, -1 if drawn.mirrored else 1)
        # Beside a larger canvas that does not change, to show that neither affects the other.
        pairs = [(image[:, flip], mask[:, flip]), (np.full((176, 112), 90, np.uint8),) * 2]
        varied = vary(collate(pairs, CPU), [drawn, Variation(False, None, None, None, None, 0)])
        grey = np.rint(varied.images[0, 0].numpy() * 255)
        assert np.abs(grey[: shape[0], : shape[1]] - expected).max() <= 1, "but for rounding"
        assert (varied.masks[0, : shape[0], : shape[1]].numpy() != labels).mean() < 0.002
        assert grey[shape[0] :].max(initial=0) == grey[:, shape[1] :].max(initial=0) == 0
        assert np.rint(varied.images[1, 0].numpy() * 255).min() == 90
    assert kinds == {"pose", "gamma", "blur"}


def test_draws_have_the_distributions_of_monai() -> None:
    shape = (48, 32)
    image, mask = _bar(*shape)
    monai = MonaiAugmentation(0)
    before = []
    for step in range(600):
        monai(image, mask, step=step, slot=0)
        before.append(monai.drawn(shape))
    now = [Augmentation(0).draw(shape, step, slot) for step in range(1500) for slot in range(4)]
    for name in ("mirrored", "pose", "gamma", "blur", "noise"):
        shares = [np.mean([bool(getattr(one, name)) for one in drawn]) for drawn in (before, now)]
        assert shares[0] == pytest.approx(shares[1], abs=0.06), name
    numbers: dict[str, Callable[[Variation], object]] = {
        "angle": lambda one: one.pose and one.pose.angle,
        "shear": lambda one: one.pose and one.pose.shear,
        "shift": lambda one: one.pose and one.pose.shift,
        "scale": lambda one: one.pose and one.pose.scale,
        "displacement": lambda one: one.pose and one.pose.offsets[0, 1, 1],
        "size of displacements": lambda one: one.pose and one.pose.offsets.std(),
        "gamma": lambda one: one.gamma,
        "blur along rows": lambda one: one.blur and one.blur[0],
        "blur along columns": lambda one: one.blur and one.blur[1],
        "noise": lambda one: one.noise,
    }
    for what, number in numbers.items():
        samples = [[number(one) for one in drawn if number(one) is not None] for drawn in (before, now)]
        assert min(map(len, samples)) > 50
        assert ks_2samp(*samples).pvalue > 0.01, what


def test_noise_has_its_deviation_and_is_drawn_for_each_slot_alone() -> None:
    grey = np.full((64, 64), 128, np.uint8)
    noisy = Variation(False, None, None, None, 0.02, 7)
    pairs = [(grey, grey // 128)] * 3
    images = vary(collate(pairs, CPU), [noisy, noisy, replace(noisy, noise_seed=8)]).images.numpy()
    assert images.std((1, 2, 3)) == pytest.approx(0.02, rel=0.1)
    assert images.mean((1, 2, 3)) == pytest.approx(128 / 255, abs=0.002)
    assert (images[0] == images[1]).all()
    assert np.corrcoef(images[0].ravel(), images[2].ravel())[0, 1] < 0.1
