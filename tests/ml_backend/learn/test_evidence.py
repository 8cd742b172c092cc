"""A picture shows a place and enough around it; what was kept of a label judges it like the original."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ml_backend.learn.evidence import (
    PICTURE_SIDE,
    Box,
    evidence_of,
    figures_of,
    picture,
    place,
    regions_of,
    view,
)
from ml_backend.store.models import ExaminedLabel
from model.suspicion import examine, judge

LEG, HAND = (1024, 128), (2080, 1600)
"""(H, W) of images."""


@pytest.mark.parametrize("shape", [LEG, HAND, LEG[::-1], (5, 3)])
def test_a_picture_contains_the_place_and_is_not_a_thin_strip(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    height, width = shape
    for _ in range(200):
        xs, ys = sorted(rng.integers(0, width + 1, 2)), sorted(rng.integers(0, height + 1, 2))
        if xs[0] == xs[1] or ys[0] == ys[1]:
            continue
        box: Box = (int(xs[0]), int(ys[0]), int(xs[1]), int(ys[1]))
        left, top, right, bottom = view(box, shape)
        assert 0 <= left <= box[0] < box[2] <= right <= width
        assert 0 <= top <= box[1] < box[3] <= bottom <= height
        longest = max(right - left, bottom - top)
        is_strip = longest > 2 * min(right - left, bottom - top)
        assert not is_strip or longest <= 1.25 * max(box[2] - box[0], box[3] - box[1]) + 1


def test_a_picture_has_the_image_and_both_masks_at_a_bounded_size() -> None:
    image = np.linspace(1000, 3000, HAND[0] * HAND[1]).astype(np.uint16).reshape(HAND)
    given, seen = np.zeros(HAND, np.uint8), np.zeros(HAND, np.uint8)
    given[100:200] = 255
    seen[800:1000, 600:900] = 7
    made, mark = picture(image, given, seen, (600, 800, 900, 1000))
    pixels = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert max(pixels.shape) == PICTURE_SIDE
    assert len(made) < 200_000
    grey, drawn, network = np.moveaxis(pixels, 2, 0)
    assert int(grey.max()) - int(grey.min()) > 100, "16 bits are stretched"
    assert not drawn.any(), "unknown pixels are drawn as background"
    rows, columns = np.nonzero(network == 7)
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == pytest.approx(mark, abs=1)


def test_what_is_kept_of_a_label_judges_it_like_the_original() -> None:
    probabilities = np.zeros((3, 60, 80), np.float32)
    probabilities[2, 20:40, 30:60] = 0.9
    probabilities[0] = 1 - probabilities[2]
    given = np.zeros((60, 80), np.uint8)
    evidence = examine(probabilities, given, size=80)
    row = ExaminedLabel(
        regions=regions_of(evidence, ("Femur", "Tibia")),
        figures=figures_of(evidence),
        shift_x=evidence.displacement[0],
        shift_y=evidence.displacement[1],
    )
    again = evidence_of(row, ("Femur", "Tibia"))
    assert place(again, given) == (30, 20, 60, 40)
    others = [examine(probabilities, probabilities.argmax(0).astype(np.uint8), size=80)] * 9
    assert judge([*others, again])[-1].score == pytest.approx(judge([*others, evidence])[-1].score, abs=1e-4)
    assert not evidence_of(row, ("Femur",)).regions, "a label that the config no longer has"
    assert evidence_of(row, ("Tibia", "Femur")).regions[0].seen == 1, "labels in another order"
