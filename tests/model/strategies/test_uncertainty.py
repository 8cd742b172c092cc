from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.strategies.uncertainty import boundary_band, entropy_map


@given(classes=st.integers(2, 7), seed=st.integers(0, 100), sharpness=st.floats(0.02, 20))
def test_entropy_is_shannons_as_a_share_of_the_maximum(classes: int, seed: int, sharpness: float) -> None:
    probabilities = np.random.default_rng(seed).dirichlet([sharpness] * classes, (9, 5))
    probabilities = np.moveaxis(probabilities, -1, 0)
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    expected = -(probabilities * logs).sum(axis=0) / np.log(classes)
    result = entropy_map(probabilities.astype(np.float32))
    assert result.shape == (9, 5)
    assert 0 <= result.min() <= result.max() <= 1
    assert np.allclose(result, expected, atol=1e-4)


def test_entropy_of_certain_and_uniform_probabilities() -> None:
    certain = np.zeros((3, 4, 4), np.float32)
    certain[1] = 1
    assert entropy_map(certain) == pytest.approx(0, abs=1e-6)
    assert entropy_map(np.full((3, 4, 4), 1 / 3, np.float32)) == pytest.approx(1, abs=1e-5)


def test_the_band_follows_boundaries_between_labels_only() -> None:
    labels = np.zeros((600, 400), np.uint8)
    labels[200:400, :100], labels[200:400, 100:200] = 2, 1
    band = boundary_band(labels)
    rows = np.flatnonzero(band[:, 50])
    assert rows.tolist() == [*range(194, 206), *range(394, 406)], "6 pixels on either side, of 600"
    assert band[300, 94:106].all(), "two adjacent labels"
    assert not band[300, 0], "the edge of the image is not a boundary"
    assert not boundary_band(np.ones((20, 20), np.uint8)).any()
