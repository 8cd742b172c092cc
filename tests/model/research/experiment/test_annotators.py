"""Simulated annotators: what they submit when a mask is shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.metrics import mean_dice
from model.research.experiment.annotators import SMALLEST_SEEN, Edits, parse_annotator
from model.research.experiment.settings import ExperimentError, ExperimentSettings

LABEL_MAPS = arrays(np.uint8, (24, 20), elements=st.sampled_from([0, 0, 0, 1, 2]))


def block(top: int, left: int, height: int, width: int, label: int = 1) -> np.ndarray:
    labels = np.zeros((32, 32), np.uint8)
    labels[top : top + height, left : left + width] = label
    return labels


TRUTH = block(8, 8, 12, 12)


def test_exact_submits_the_truth_whatever_is_shown() -> None:
    exact = parse_annotator("exact")
    for shown in (None, TRUTH, block(8, 9, 12, 12)):
        assert np.array_equal(exact.submit(shown, TRUTH), TRUTH)


def test_everyone_draws_where_no_mask_is_shown() -> None:
    for name in ("exact", "edits", "accepts:0"):
        assert np.array_equal(parse_annotator(name).submit(None, TRUTH), TRUTH)


def test_a_mask_is_accepted_from_its_dice_on() -> None:
    shown = block(8, 9, 12, 12)
    dsc = mean_dice(shown, TRUTH, 1)
    assert 0.9 < dsc < 0.92
    assert np.array_equal(parse_annotator(f"accepts:{dsc}").submit(shown, TRUTH), shown)
    assert np.array_equal(parse_annotator(f"accepts:{dsc + 0.001}").submit(shown, TRUTH), TRUTH)


def test_acceptance_depends_on_all_labels() -> None:
    two = TRUTH + block(24, 24, 4, 4, label=2)
    assert mean_dice(TRUTH, two, 2) == 0.5
    assert np.array_equal(parse_annotator("accepts:0.9").submit(TRUTH, two), two), "label 2 is missing"


def test_an_outline_one_pixel_off_cannot_be_seen_and_three_can() -> None:
    edits = Edits()
    shifted = block(8, 9, 12, 12)
    assert np.array_equal(edits.submit(shifted, TRUTH), shifted)
    far = block(8, 11, 12, 12)
    assert np.array_equal(edits.submit(far, TRUTH), TRUTH), "the whole width of the error is corrected"


def test_a_correction_ends_where_the_error_can_no_longer_be_seen() -> None:
    shown = block(8, 9, 12, 12)
    shown[8:12, 21:26] = 1
    submitted = Edits().submit(shown, TRUTH)
    assert not submitted[:, 22:].any(), "the protrusion is cut off"
    assert submitted[16:20, 20].all(), "below it the outline stays one pixel off"


def test_small_regions_cannot_be_seen() -> None:
    for pixels, corrected in ((SMALLEST_SEEN - 1, False), (SMALLEST_SEEN, True)):
        speck = TRUTH | block(25, 4, 1, pixels)
        assert np.array_equal(Edits().submit(speck, TRUTH), TRUTH) == corrected
        missed = Edits().submit(TRUTH, speck)
        assert np.array_equal(missed, speck) == corrected


def test_a_thin_structure_that_is_missing_is_drawn() -> None:
    thin = TRUTH | block(4, 2, 20, 1)
    assert np.array_equal(Edits().submit(TRUTH, thin), thin)


def test_another_label_is_an_error_that_is_corrected() -> None:
    assert np.array_equal(Edits().submit(2 * TRUTH, TRUTH), TRUTH)


@given(shown=LABEL_MAPS, truth=LABEL_MAPS)
def test_edits_take_each_pixel_from_the_shown_mask_or_the_truth(shown: np.ndarray, truth: np.ndarray) -> None:
    submitted = Edits().submit(shown, truth)
    assert ((submitted == shown) | (submitted == truth)).all()
    assert submitted.dtype == np.uint8
    assert np.array_equal(Edits().submit(truth, truth), truth)


@pytest.mark.parametrize(
    "name", ["", "exactly", "accepts", "accepts:", "accepts:1.5", "accepts:nan", "accepts:x"]
)
def test_unknown_annotators_are_named(name: str) -> None:
    with pytest.raises(ExperimentError, match="give exact, edits, or accepts"):
        ExperimentSettings(annotator=name)
