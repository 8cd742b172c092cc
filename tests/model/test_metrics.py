"""Dice against the truth, per image, per label and per set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.classes import Classes
from model.imaging.preprocessing import PreprocessingSettings
from model.loss import LossWeights
from model.metrics import Evaluation, added_path_length, evaluate, mean_dice
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.segmenter import Segmenter
from model.weights import Card, save_version


def _map(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def test_dice_is_averaged_over_labels_that_occur() -> None:
    truth = _map([1, 1, 0, 0], [2, 2, 0, 0])
    prediction = _map([1, 0, 0, 0], [2, 2, 0, 0])
    assert mean_dice(prediction, truth, labels=5) == pytest.approx((2 / 3 + 1) / 2)
    assert mean_dice(truth, truth, labels=5) == 1.0


def test_a_label_in_only_one_of_both_maps_scores_zero() -> None:
    assert mean_dice(_map([3, 0]), _map([0, 0]), labels=3) == 0.0
    assert mean_dice(_map([0, 0]), _map([0, 3]), labels=3) == 0.0


def test_an_empty_prediction_of_an_empty_truth_is_correct() -> None:
    assert mean_dice(_map([0, 0]), _map([0, 0]), labels=2) == 1.0


def test_unknown_pixels_are_not_compared() -> None:
    assert mean_dice(_map([1, 1, 0]), _map([1, 255, 0]), labels=1) == 1.0


def test_a_set_is_measured_at_original_resolution(tmp_path: Path) -> None:
    network = DeeplySupervisedUNet(NetworkSettings(classes=3, width=2))
    with torch.no_grad():
        for head in (network.lower, network.middle, network.final):
            head.weight.zero_()
            assert head.bias is not None
            head.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    card = Card(
        name="always-one",
        labels=("femur", "tibia"),
        network=network.settings,
        preprocessing=PreprocessingSettings(size=32, crop=False),
        loss=LossWeights(),
        metrics={},
        parent=None,
        training={},
        libraries={},
        created="2026-11-22T00:00:00+00:00",
    )
    save_version(tmp_path / "version", network, card)
    segmenter = Segmenter(tmp_path / "version", threads=1)
    image = np.random.default_rng(0).integers(20, 200, (50, 40), dtype=np.uint8)
    full, half = np.ones((50, 40), np.uint8), np.zeros((50, 40), np.uint8)
    half[:25] = 1
    half[25:] = 2
    found = evaluate(segmenter, ((image, truth) for truth in (full, half)))
    assert found.per_image == pytest.approx([1.0, (2 / 3 + 0) / 2])
    assert found.dsc == pytest.approx(np.mean(found.per_image))
    assert found.per_label == pytest.approx({"femur": (1 + 2 / 3) / 2, "tibia": 0.0})
    assert found.occurrences == {"femur": 2, "tibia": 1}
    assert evaluate(segmenter, []).dsc == 0.0

    # The same truth under other labels: "tibia" comes first, "femur" is gone, "hip" is new.
    truth = np.select([half == 1, half == 2], [3, 1], 0).astype(np.uint8)
    other = evaluate(segmenter, [(image, truth)], Classes.of(("tibia", "skin", "hip")))
    assert other.images == [{"tibia": 0.0, "hip": 0.0}]
    assert other.over(["skin"]) == [1.0], "a label in neither map is correct"
    renamed = evaluate(
        segmenter, [(image, truth)], Classes(("tibia", "hip", "thigh"), {"femur": 3, "tibia": 1})
    )
    assert renamed.images == [pytest.approx({"tibia": 0.0, "thigh": 2 / 3})]
    assert (renamed.over(["thigh"]), renamed.over(["hip"])) == ([pytest.approx(2 / 3)], [1.0])


def test_an_evaluation_calibrates_dice_against_confidence() -> None:
    confidences = [0.9, 0.5, 0.7, None, 0.8, 0.6]
    images = [{"bone": dsc} for dsc in (0.95, 0.55, 0.75, 0.0, 0.85, 0.65)]
    calibration = Evaluation(("bone",), images, confidences).calibration()
    assert calibration is not None
    assert calibration.images == 5, "a blank mask has no confidence"
    assert calibration.estimate(0.65).dsc == pytest.approx(0.7)
    assert Evaluation(("bone",), images[:4], confidences[:4]).calibration() is None


LABEL_MAPS = arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 0, 1, 2, 3, 255]))


def _square(top: int, left: int, side: int, label: int = 1) -> np.ndarray:
    labels = np.zeros((20, 20), np.uint8)
    labels[top : top + side, left : left + side] = label
    return labels


def test_an_outline_drawn_from_scratch_is_added_whole() -> None:
    nothing, square = np.zeros((20, 20), np.uint8), _square(5, 5, 6)
    assert added_path_length(nothing, square, 1) == 4 * 6 - 4
    assert added_path_length(square, nothing, 1) == 0, "deleting a mask draws nothing"
    assert added_path_length(square, square, 1) == 0


def test_only_the_part_of_the_outline_that_moved_is_added() -> None:
    shown, submitted = _square(5, 5, 6), _square(5, 5, 6)
    submitted[5:11, 11] = 1
    # Its right side is one column further: six new pixels, and no other.
    assert added_path_length(shown, submitted, 1) == 6
    assert added_path_length(submitted, shown, 1) == 4, "the corners were on the wider outline already"


def test_each_label_is_measured_by_itself() -> None:
    shown, submitted = _square(5, 5, 6, label=1), _square(5, 5, 6, label=2)
    assert added_path_length(shown, submitted, 2) == 20, "the same outline under another label is new"
    assert added_path_length(shown, submitted, 1) == 0, "only label 1 is measured, and it has no outline left"
    submitted[5:11, 5:8] = 3
    assert added_path_length(shown, submitted, 3) == 2 * (2 * 6 + 2 * 1), "both sides of a border count"


def test_the_edge_of_the_image_is_not_drawn() -> None:
    assert added_path_length(np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8), 1) == 0
    assert added_path_length(np.zeros((20, 20), np.uint8), _square(0, 0, 6), 1) == 2 * 6 - 1


def test_maps_of_different_sizes_have_no_path_length() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        added_path_length(np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8), 1)


@given(shown=LABEL_MAPS, submitted=LABEL_MAPS)
def test_added_path_length_is_between_nothing_and_the_whole_outline(
    shown: np.ndarray, submitted: np.ndarray
) -> None:
    length = added_path_length(shown, submitted, 3)
    from_scratch = added_path_length(np.zeros_like(shown), submitted, 3)
    assert 0 <= length <= from_scratch
    assert added_path_length(submitted, submitted, 3) == 0
    assert length == sum(
        added_path_length((shown == label).astype(np.uint8), (submitted == label).astype(np.uint8), 1)
        for label in (1, 2, 3)
    )
