"""Lead side markers: an L or R with the radiographer's initials, with or without a plate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.research.phantom.raster import Map


@dataclass(frozen=True)
class Marker:
    """Coverage of the image by lead letters and by their plate, each (H, W) in [0, 1]."""

    lead: Map
    plate: Map


def draw_marker(
    skin: NDArray[np.bool_], film: NDArray[np.bool_], letter: str, present: bool, rng: np.random.Generator
) -> Marker:
    """Draw a marker at a random free place of the film.

    Args:
        skin: (H, W) mask of the hand.
        film: (H, W) mask of the film.
        letter: "L" or "R".
        present: whether there is a marker at all.
        rng: source of random draws.

    Returns:
        The marker; all zero if it is not present or there is no free place.
    """
    height, width = skin.shape
    lead: Map = np.zeros((height, width), np.float32)
    plate: Map = np.zeros((height, width), np.float32)
    if not present:
        return Marker(lead, plate)
    letters, body = _stamp(letter, rng)
    tall = height * rng.uniform(0.11, 0.23)
    scale = tall / letters.shape[0]
    reach = 0.5 * scale * math.hypot(*letters.shape)
    angle = rng.normal(0.0, 12.0) if rng.uniform() < 0.75 else rng.uniform(-80.0, 80.0)
    small = max(1, round(reach / 6))
    busy = cv2.dilate(
        (skin[::small, ::small] | ~film[::small, ::small]).astype(np.uint8), np.ones((9, 9), np.uint8)
    )
    busy[[0, -1]] = busy[:, [0, -1]] = 1
    free = cv2.distanceTransform(1 - busy, cv2.DIST_L2, 5) * small
    rows, columns = np.nonzero(free > 0.62 * reach)
    if len(rows) == 0:
        return Marker(lead, plate)
    # Most are beside the wrist, on the side of the little finger.
    usual = np.flatnonzero(columns * small < 0.4 * width if letter == "L" else columns * small > 0.6 * width)
    pick = int(rng.choice(usual)) if len(usual) and rng.uniform() < 0.75 else int(rng.integers(len(rows)))
    matrix = cv2.getRotationMatrix2D((letters.shape[1] / 2, letters.shape[0] / 2), angle, scale)
    matrix[0, 2] += columns[pick] * small - letters.shape[1] / 2
    matrix[1, 2] += rows[pick] * small - letters.shape[0] / 2
    for layer, target in ((letters, lead), (body, plate)):
        blurred = cv2.GaussianBlur(layer, (0, 0), max(0.6, 0.35 / scale))
        cv2.warpAffine(blurred, matrix, (width, height), dst=target, flags=cv2.INTER_LINEAR)
    return Marker(lead, plate)


def _stamp(letter: str, rng: np.random.Generator) -> tuple[Map, Map]:
    """Letters and plate, upright, (320, 190) each."""
    initials = "".join(rng.choice(list("ABCDEFGHJKLMNOPRSTVW"), int(rng.integers(2, 4))))
    stacked = bool(rng.uniform() < 0.35)
    bull = bool(rng.uniform() < 0.2)
    letters = np.zeros((320, 190), np.float32)
    _write(letters, letter, (95, 72), 122)
    if stacked:
        pitch = min(66, 176 // len(initials))
        for i, initial in enumerate(initials):
            _write(letters, initial, (95 + int(rng.normal(0, 8)), 186 + i * pitch), pitch - 14)
    else:
        _write(letters, initials, (95, 190), 52 if len(initials) == 2 else 46)
    if bull and not stacked:
        cv2.circle(letters, (95, 262), 34, 1.0, 9)
        cv2.circle(letters, (95 + int(rng.integers(-9, 9)), 262 + int(rng.integers(-9, 9))), 9, 1.0, -1)
    body = np.zeros_like(letters)
    if rng.uniform() < 0.75:
        bottom = 318 if stacked or bull else 235
        body[2:bottom, 12:178] = 1.0
        if rng.uniform() < 0.4:
            cv2.circle(body, (95, 14), 6, 0.0, -1)
    return letters, body


def _write(canvas: Map, text: str, centre: tuple[int, int], tall: int) -> None:
    face, thick = cv2.FONT_HERSHEY_SIMPLEX, max(6, tall // (5 if tall > 100 else 7))
    scale = tall / 21.0 * 0.92
    (wide, high), _ = cv2.getTextSize(text, face, scale, thick)
    if wide > 165:
        scale *= 165 / wide
        (wide, high), _ = cv2.getTextSize(text, face, scale, thick)
    cv2.putText(
        canvas, text, (centre[0] - wide // 2, centre[1] + high // 2), face, scale, 1.0, thick, cv2.LINE_AA
    )
