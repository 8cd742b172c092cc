"""Simulated sessions of clicks: how many are needed, and when they end."""

from __future__ import annotations

import numpy as np
import pytest

from model.interaction.prompts import Click, Prompts
from model.interaction.simulation import objects
from model.research.clicking import MOST_CLICKS, Session, Summary, correct, predicted


def disc(y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.ogrid[:100, :120]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def brush(present: np.ndarray, marks: Prompts) -> np.ndarray:
    """A tool that knows nothing: a disc where the click is."""
    newest = marks[-1]
    assert isinstance(newest, Click)
    around = disc(int(newest.y), int(newest.x), 8)
    return np.asarray(present | around if newest.positive else present & ~around)


def test_each_click_is_counted_until_the_mask_is_good_enough() -> None:
    truth = disc(50, 40, 8) | disc(50, 80, 8)
    session = correct(truth, np.zeros_like(truth), brush, enough=0.99)
    assert session.dsc == pytest.approx((0, 2 / 3, 1))
    assert session.clicks(0.6) == 1
    assert session.clicks(0.95) == 2
    assert session.after(9) == 1


def test_a_mask_that_is_good_enough_needs_no_click() -> None:
    truth = disc(50, 40, 8)
    assert correct(truth, truth, brush, enough=0.95).clicks(0.95) == 0


def test_a_tool_that_does_nothing_is_given_up() -> None:
    session = correct(disc(50, 40, 8), np.zeros((100, 120), np.bool_), lambda mask, _: mask, enough=0.9)
    assert len(session.dsc) == MOST_CLICKS + 1
    assert session.clicks(0.9) == MOST_CLICKS
    assert not session.reaches(0.9)


def test_objects_are_components_of_labels() -> None:
    labels = np.zeros((100, 120), np.uint8)
    labels[disc(30, 30, 9)] = 1
    labels[disc(70, 30, 9)] = 1
    labels[disc(50, 90, 9)] = 3
    labels[0, 0] = 2  # too small
    found = list(objects(labels))
    assert [label for label, _ in found] == [1, 1, 3]
    assert sum(mask.sum() for _, mask in found) == (labels > 0).sum() - 1


def test_prediction_of_an_object_is_what_overlaps_it() -> None:
    labels = np.zeros((100, 120), np.uint8)
    labels[disc(30, 30, 9)] = 1
    labels[disc(70, 30, 9)] = 1
    assert np.array_equal(predicted(labels, 1, disc(33, 30, 9)), disc(30, 30, 9))


def test_summary_counts_failures_and_means() -> None:
    summary = Summary.of([Session((0.0, 0.92, 0.96)), Session((0.5, 0.6, 0.7))])
    assert summary.clicks_90 == (1 + MOST_CLICKS) / 2
    assert summary.failed_95 == 0.5
    assert summary.after == pytest.approx((0.76, 0.83, 0.83))
