"""Parts of canvases contain the label for which they were chosen, and every place is as likely."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare

from model.training.canvases import collate
from model.training.cropping import cropped
from model.training.device import CPU


def canvas(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(0, 2), st.integers(0, 99))
def test_a_part_contains_its_label_and_is_no_larger_than_asked(
    height: int, width: int, side: int, label: int, seed: int
) -> None:
    mask = canvas(height, width, seed)
    rows, columns = (np.indices(mask.shape)[axis].astype(np.uint8) for axis in (0, 1))
    large = canvas(45, 45, seed)
    numbers = np.random.default_rng(seed).random(3)
    pairs = [(rows, mask), (columns, mask), (large, large)]
    part = cropped(collate(pairs, CPU), side, [label, label, None], [numbers, numbers, numbers])
    h, w = min(side, height), min(side, width)
    assert part.shapes == [(h, w), (h, w), (min(side, 45), min(side, 45))]
    row, column = (np.rint(part.images[slot, 0, :h, :w].numpy() * 255).astype(int) for slot in (0, 1))
    found = part.masks[0].numpy()
    assert (mask[row, column] == found[:h, :w]).all(), "image and mask are cut at the same place"
    assert row.max() - row.min() == h - 1
    assert column.max() - column.min() == w - 1
    assert (label in found[:h, :w]) == (label in mask)
    assert (found[h:] == 255).all()
    assert (found[:, w:] == 255).all()
    assert part.images[0, 0, :, w:].eq(0).all()


def test_every_place_is_as_likely() -> None:
    mask = np.zeros((12, 12), np.uint8)
    mask[5, 5] = mask[5, 6] = mask[6, 6] = 1
    count = 4000
    draws = list(np.random.default_rng(0).random((count, 3)))
    pairs = [(np.arange(144, dtype=np.uint8).reshape(12, 12), mask)] * count
    for label, likely in ((1, [(5, 5), (5, 6), (6, 6)]), (None, [])):
        part = cropped(collate(pairs, CPU), 4, [label] * count, draws)
        corners = np.rint(part.images[:, 0, 0, 0].numpy() * 255).astype(int)
        expected = np.zeros((12, 12))
        expected[:9, :9] = label is None
        for row, column in likely:
            expected[row - 3 : row + 1, column - 3 : column + 1] += 1
        found = np.bincount(corners, minlength=144).reshape(12, 12)
        assert found[expected == 0].sum() == 0
        assert chisquare(found[expected > 0], count * (expected / expected.sum())[expected > 0]).pvalue > 0.01
