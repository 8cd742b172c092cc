from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.quality import MIN_IMAGES, Calibration, calibrate, isotonic, rough_estimate

shares = st.floats(0, 1)
pairs = st.lists(st.tuples(shares, shares), min_size=MIN_IMAGES, max_size=20)


@given(pairs)
def test_the_regression_never_descends_and_keeps_the_mean(found: list[tuple[float, float]]) -> None:
    x, y = np.array(found).T
    places, values = isotonic(x, y)
    assert (np.diff(places) > 0).all()
    assert (np.diff(values) >= 0).all()
    assert np.interp(x, places, values).mean() == pytest.approx(y.mean())


@given(st.lists(shares, min_size=2, max_size=20, unique=True))
def test_increasing_values_are_not_changed(values: list[float]) -> None:
    x, y = np.arange(len(values), dtype=np.float64), np.sort(np.array(values))
    assert isotonic(x, y)[1] == pytest.approx(y)


def test_adjacent_violators_are_pooled() -> None:
    x = np.array([0.1, 0.2, 0.3, 0.4])
    assert isotonic(x, np.array([0.2, 0.6, 0.4, 0.9]))[1] == pytest.approx([0.2, 0.5, 0.5, 0.9])
    # Two equal scores are one knot.
    assert isotonic(np.array([0.5, 0.5]), np.array([0.2, 0.4]))[1] == pytest.approx([0.3])


@given(pairs, shares)
def test_estimates_are_dice_values_within_their_interval(
    found: list[tuple[float, float]], score: float
) -> None:
    calibration = calibrate(*zip(*found, strict=True))
    assert calibration is not None
    estimate = calibration.estimate(score)
    assert 0 <= estimate.low <= estimate.dsc <= estimate.high <= 1
    assert Calibration.from_dict(calibration.to_dict()) == calibration


def test_few_images_give_no_calibration() -> None:
    assert calibrate([0.5] * (MIN_IMAGES - 1), [0.5] * (MIN_IMAGES - 1)) is None
    with pytest.raises(ValueError, match="paired"):
        calibrate([0.5], [0.5, 0.6])


@pytest.mark.parametrize("images", [5, 8, 12, 20])
def test_the_interval_has_its_stated_coverage(images: int) -> None:
    draw = np.random.default_rng(images)
    held, level = [], 0.0
    for _ in range(400):
        scores = draw.uniform(0.3, 1, images + 1)
        real = np.clip(scores**0.5 + draw.normal(0, 0.05, images + 1), 0, 1)
        calibration = calibrate(scores[:-1].tolist(), real[:-1].tolist())
        assert calibration is not None
        estimate, level = calibration.estimate(float(scores[-1])), calibration.level
        held.append(estimate.low <= real[-1] <= estimate.high)
    # Three standard deviations of a share of 400.
    assert np.mean(held) >= level - 3 * np.sqrt(level * (1 - level) / 400)


@given(shares, shares, st.booleans())
def test_a_rough_estimate_rises_with_the_confidence(one: float, other: float, is_trained: bool) -> None:
    low, high = (rough_estimate(x, is_trained=is_trained) for x in sorted((one, other)))
    assert 0 <= low <= high <= 1
