"""When to stop: flat curves stop, clear ones say how many labels, and what cannot be told is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.stopping import forecast, round_means

LABELS = [10, 20, 30, 40, 50, 60]
IMAGES = 20


def dice(means: list[float], noise: float = 0.002, seed: int = 0) -> NDArray[np.float64]:
    """Images that are differently hard, with the given means in each round and a little noise."""
    rng = np.random.default_rng(seed)
    hard = np.linspace(-0.05, 0.05, IMAGES)
    values: NDArray[np.float64] = rng.normal(0, noise, (len(means), IMAGES))
    values += np.array(means)[:, None] + hard
    return values


def rising(plateau: float, height: float, scale: float, labels: list[int] = LABELS) -> list[float]:
    return [plateau - height * float(np.exp(-n / scale)) for n in labels]


def test_a_flat_curve_is_time_to_stop() -> None:
    found = forecast(LABELS, dice(rising(0.9, 0.3, 8)), left=300)
    assert found is not None
    assert found.verdict == "stop"
    assert found.gain.high < 0.01
    assert found.end.low <= 0.9 <= found.end.high + 0.003


def test_a_curve_that_clearly_bends_says_how_many_labels_are_missing() -> None:
    labels = list(range(10, 101, 10))
    found = forecast(labels, dice(rising(0.9, 0.3, 60, labels), noise=0.0005), left=400)
    assert found is not None
    # 0.3 · exp(−n / 60) = 0.01 at 204 labels.
    assert found.verdict == "more"
    assert found.more.low <= 204 - 100 <= found.more.high


def test_a_steep_curve_never_stops_and_a_noisy_one_cannot_be_told() -> None:
    steep = forecast(LABELS, dice([0.3, 0.4, 0.5, 0.6, 0.7, 0.8]), left=300)
    noisy = forecast(LABELS, dice([0.5, 0.7, 0.55, 0.75, 0.6, 0.72], noise=0.1), left=300)
    assert steep is not None
    assert noisy is not None
    assert steep.verdict != "stop"
    assert noisy.verdict == "unknown"
    assert "more labels agree" in noisy.reason


def test_few_rounds_say_nothing_and_few_images_left_bring_nothing() -> None:
    values = dice([0.3, 0.4, 0.5, 0.6])
    assert forecast(LABELS[:3], values[:3]) is None
    last = forecast(LABELS[:4], values, left=0)
    assert last is not None
    assert last.verdict == "stop"


def test_a_pool_that_looks_worse_than_the_validation_images_forbids_to_stop() -> None:
    flat = dice(rising(0.9, 0.3, 8))
    alike, worse = (forecast(LABELS, flat, left=300, pool=pool) for pool in (0.89, 0.7))
    assert alike is not None
    assert worse is not None
    assert (alike.verdict, worse.verdict) == ("stop", "unknown")
    assert "estimated at 0.70" in worse.reason


def test_hard_images_that_join_the_validation_do_not_look_like_a_loss() -> None:
    values = np.full((4, 6), 0.9)
    values[2:, 5] = 0.3
    values[:2, 5] = np.nan
    means, _ = round_means(values)
    assert means == pytest.approx([0.8] * 4, abs=1e-3), "all rounds as if the hard image had been there"


def test_the_curve_of_the_figure_reaches_from_the_first_round_to_the_last_image() -> None:
    found = forecast(LABELS, dice(rising(0.9, 0.3, 30)), left=40)
    assert found is not None
    # The round with 10 of 60 labels is too early to be fitted.
    assert (found.curve[0][0], found.curve[-1][0]) == (20, 100)
    assert all(low <= median <= high for _, low, median, high in found.curve)


def test_labels_must_rise() -> None:
    with pytest.raises(ValueError, match="more and more labels"):
        forecast([10, 20, 20, 30], dice([0.5, 0.6, 0.7, 0.8]))
