"""Faults of masks are found in a network's probabilities, and named in words."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.research.faults import FAULTS, objects
from model.suspicion import LEAST, Evidence, examine, in_words, judge

NAMES = ("Femur", "Tibia")
SIZE = 96


def truth(seed: int = 0) -> NDArray[np.uint8]:
    """Two objects, at places drawn by seed."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    for label, middle in ((1, 25), (2, 70)):
        x, y = int(rng.integers(30, 60)), middle
        cv2.ellipse(labels, (x, y), (18, 12), 0, 0, 360, label, -1)
    return labels


def seen(labels: NDArray[np.uint8], certainty: float = 0.95) -> NDArray[np.float32]:
    """What a network sees that agrees with `labels`, with soft outlines."""
    planes = [cv2.GaussianBlur((labels == label).astype(np.float32), (5, 5), 1) for label in range(3)]
    probabilities = certainty * np.stack(planes) + (1 - certainty) / 3
    result: NDArray[np.float32] = (probabilities / probabilities.sum(axis=0)).astype(np.float32)
    return result


def found(labels: NDArray[np.uint8], seed: int = 0) -> Evidence:
    return examine(seen(truth(seed)), labels, size=SIZE)


@pytest.mark.parametrize("kind", FAULTS)
def test_the_one_faulty_label_among_good_ones_is_the_only_one_listed(kind: str) -> None:
    wrong = FAULTS[kind](truth(3), np.random.default_rng(0))
    assert wrong is not None
    judged = judge([found(wrong if seed == 3 else truth(seed), seed) for seed in range(10)])
    assert [index for index, one in enumerate(judged) if one.is_listed] == [3]
    assert judged[3].score == max(one.score for one in judged)
    assert judged[3].is_displaced == (kind == "shifted")


def said(labels: NDArray[np.uint8]) -> str:
    evidence = found(labels)
    return in_words(evidence, judge([found(truth())] * 9 + [evidence])[-1], NAMES)


def test_what_looks_wrong_is_said_with_labels_and_pixels() -> None:
    right = truth()
    forgotten, swapped, added = right.copy(), right.copy(), right.copy()
    forgotten[right == 1] = 0
    swapped[right == 2] = 1
    added[40:55, 70:90] = 2
    pixels = int((right == 1).sum())
    assert said(forgotten).endswith("pixels without a label where the network sees Femur")
    assert int(said(forgotten).split()[0]) == pytest.approx(pixels, rel=0.05)
    assert said(swapped).endswith("pixels of Femur where the network sees Tibia")
    # Its corners are rounded off, as outlines are.
    assert said(added) == "296 pixels of Tibia where the network sees nothing"
    assert said(np.roll(right, (-4, 6), axis=(0, 1))) == (
        "the mask would fit better 6 pixels further left and 4 pixels further down"
    )


def test_the_box_of_a_region_holds_it() -> None:
    labels = truth()
    labels[40:55, 70:90] = 2
    assert found(labels).regions[0].box == (70, 40, 90, 55)


def test_outlines_unknown_pixels_and_an_unsure_network_are_no_evidence() -> None:
    right = truth()
    thicker = np.where((right == 0) & (cv2.dilate(right, np.ones((3, 3), np.uint8)) == 1), 1, right)
    unknown = right.copy()
    unknown[right == 1] = 255
    unsure = examine(seen(right, certainty=0.2), np.where(right == 1, 0, right).astype(np.uint8), size=SIZE)
    assert found(thicker.astype(np.uint8)).by_region == 0
    assert found(unknown).by_region == 0
    assert unsure.by_region < LEAST


def test_an_empty_mask_and_an_empty_image_are_examined() -> None:
    nothing = np.zeros((SIZE, SIZE), np.uint8)
    assert examine(seen(nothing), nothing, size=SIZE).by_region == 0
    assert judge([*[found(truth(n), n) for n in range(9)], found(nothing)])[-1].is_listed
    assert judge([]) == []


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        examine(seen(truth()), np.zeros((5, 5), np.uint8), size=SIZE)
    with pytest.raises(ValueError, match="has class 7"):
        examine(seen(truth()), np.full((SIZE, SIZE), 7, np.uint8), size=SIZE)


def test_faults_change_what_they_say_and_nothing_else() -> None:
    right, rng = truth(), np.random.default_rng(1)
    gone = FAULTS["missing"](right, rng)
    more = FAULTS["blob"](right, rng)
    assert gone is not None
    assert more is not None
    assert len(objects(gone)) == 1
    assert len(objects(more)) == 3
    assert (more[right > 0] == right[right > 0]).all()
    assert FAULTS["swapped"]((right == 1).astype(np.uint8), rng) is None
    assert all(fault(np.zeros((9, 9), np.uint8), rng) is None for fault in FAULTS.values())
