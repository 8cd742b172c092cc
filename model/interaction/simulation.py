"""Simulated marks and simulated mistakes, for training on prompts and for measuring what clicks achieve."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from model.interaction.prompts import Box, Click, Extent

Mask = NDArray[np.bool_]

LEAST_PIXELS = 100
"""Smaller objects are left out: a click is as large as they are."""


def objects(labels: NDArray[np.uint8]) -> Iterator[tuple[int, Mask]]:
    """Each object of a label map (H, W) with its class index: a component of at least `LEAST_PIXELS`."""
    for label in np.unique(labels[labels > 0]):
        count, components, statistics, _ = cv2.connectedComponentsWithStats(
            (labels == label).astype(np.uint8)
        )
        for number in range(1, count):
            if statistics[number, cv2.CC_STAT_AREA] >= LEAST_PIXELS:
                yield int(label), np.asarray(components == number)


def next_click(
    truth: Mask, mask: Mask, known: Mask | None = None, draws: np.random.Generator | None = None
) -> Click | None:
    """The click that a careful person makes next: at the centre of the largest error, positive if missed.

    Errors are connected components (diagonal neighbours are connected) of the missing and of the superfluous
    pixels; the centre is the pixel farthest from the error's edge, as in the literature since Xu et al. 2016.

    Args:
        truth: (H, W), the object.
        mask: (H, W), what is drawn of it.
        known: (H, W), pixels that can be errors; None for all.
        draws: random numbers for a less careful person, who clicks anywhere well inside a large error.

    Returns:
        None if there is no error.
    """
    wrong = truth ^ mask
    if known is not None:
        wrong &= known
    missing, superfluous = (_largest(wrong & part, draws) for part in (truth, ~truth))
    if missing is None and superfluous is None:
        return None
    sizes = [0 if part is None else int(part.sum()) for part in (missing, superfluous)]
    positive = sizes[0] >= sizes[1]
    error = missing if positive else superfluous
    assert error is not None  # the larger of two, of which one is there
    row, column = _inside(error, draws)
    return Click(column + 0.5, row + 0.5, positive)


def _largest(wrong: Mask, draws: np.random.Generator | None) -> Mask | None:
    """The largest component; with `draws` one at random, large ones more often; None if there is none."""
    count, components, statistics, _ = cv2.connectedComponentsWithStats(wrong.view(np.uint8), connectivity=8)
    if count < 2:
        return None
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    chosen = int(np.argmax(sizes)) if draws is None else int(draws.choice(count - 1, p=sizes / sizes.sum()))
    return np.asarray(components == chosen + 1)


def _inside(error: Mask, draws: np.random.Generator | None) -> tuple[int, int]:
    """Row and column of the pixel of an error that is farthest from its edge, or of one far from it."""
    distance = cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    if draws is None:
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        return int(row), int(column)
    rows, columns = np.nonzero(distance > distance.max() * draws.uniform(0.2, 0.95))
    index = draws.integers(len(rows))
    return int(rows[index]), int(columns[index])


def loose_box(truth: Mask, draws: np.random.Generator) -> Box:
    """A box around an object as a person draws it: each edge off by some percent of the object's side."""
    around = Extent.of(truth)
    assert around is not None  # an object has pixels
    off = draws.normal(0, 0.06, 4) * around.longer
    left, top = around.left + off[0], around.top + off[1]
    return Box(left, top, max(left + 1, around.right + off[2]), max(top + 1, around.bottom + off[3]))


def mistaken(truth: Mask, others: Mask, draws: np.random.Generator) -> Mask:
    """A mask as a network draws it wrongly: parts missing, leaking, too thick or thin, shifted, with specks.

    Args:
        truth: (H, W), the object; not empty.
        others: (H, W), objects that it may leak into.
        draws: random numbers.
    """
    size = math.sqrt(float(truth.sum()))
    mask = truth.copy()
    if draws.random() < 0.4:
        mask &= ~_blob(_somewhere(truth, draws), size * draws.uniform(0.15, 0.6), truth.shape, draws)
    if draws.random() < 0.3:
        mask &= ~_beyond(truth, draws)
    if draws.random() < 0.45:
        mask |= _leak(truth, others, size, draws)
    if draws.random() < 0.3:
        mask = _thicker(mask, draws)
    if draws.random() < 0.3:
        mask = _shifted(mask, 0.06 * size, draws)
    for _ in range(int(draws.integers(0, 3)) if draws.random() < 0.3 else 0):
        centre = (draws.uniform(0, truth.shape[0]), draws.uniform(0, truth.shape[1]))
        mask |= _blob(centre, draws.uniform(0.03, 0.2) * size, truth.shape, draws)
    return mask


def superfluous(truth: Mask, others: Mask, draws: np.random.Generator) -> Mask:
    """Pixels away from an object that a network took for one more: another object, or a blob of nothing."""
    count, components = cv2.connectedComponents(others.view(np.uint8), connectivity=8)
    if count > 1 and draws.random() < 0.5:
        return np.asarray(components == 1 + draws.integers(count - 1))
    centre = (draws.uniform(0, truth.shape[0]), draws.uniform(0, truth.shape[1]))
    blob = _blob(centre, draws.uniform(0.01, 0.12) * max(truth.shape), truth.shape, draws)
    near = cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(blob & (near == 0))


def _somewhere(mask: Mask, draws: np.random.Generator) -> tuple[float, float]:
    """Row and column of a pixel of a mask."""
    chosen = np.flatnonzero(mask)
    row, column = divmod(int(chosen[draws.integers(len(chosen))]), mask.shape[1])
    return row, column


def _blob(
    centre: tuple[float, float], radius: float, shape: tuple[int, ...], draws: np.random.Generator
) -> Mask:
    """An ellipse of about a radius, in any direction."""
    stretch = draws.uniform(0.5, 1.6)
    axes = (max(1, int(radius * stretch)), max(1, int(radius / stretch)))
    drawn = np.zeros(shape, np.uint8)
    row, column = centre
    cv2.ellipse(drawn, (int(column), int(row)), axes, float(draws.uniform(0, 180)), 0, 360, 1, -1)
    return drawn.view(np.bool_)


def _beyond(truth: Mask, draws: np.random.Generator) -> Mask:
    """The part of an object beyond a straight line: 10 to 70 % of it."""
    rows, columns = np.nonzero(truth)
    angle = draws.uniform(0, 2 * math.pi)
    along = rows * math.sin(angle) + columns * math.cos(angle)
    cut = np.zeros_like(truth)
    cut[rows, columns] = along > np.quantile(along, draws.uniform(0.3, 0.9))
    return cut


def _leak(truth: Mask, others: Mask, size: float, draws: np.random.Generator) -> Mask:
    """Pixels at an object's edge that are too many, mostly those of another object."""
    row, column = _somewhere(truth, draws)
    near = (row + draws.normal() * 0.7 * size, column + draws.normal() * 0.7 * size)
    blob = _blob(near, size * draws.uniform(0.15, 0.6), truth.shape, draws)
    into = blob & others
    return into if into.any() and draws.random() < 0.6 else blob


def _thicker(mask: Mask, draws: np.random.Generator) -> Mask:
    side = 2 * int(draws.integers(1, 5)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    change = cv2.dilate if draws.random() < 0.5 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), kernel)).astype(bool)


def _shifted(mask: Mask, by: float, draws: np.random.Generator) -> Mask:
    matrix = np.array([[1, 0, draws.normal() * by], [0, 1, draws.normal() * by]])
    return np.asarray(cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1])).astype(bool)
