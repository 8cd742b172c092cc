"""Complete phantoms, and data sets of them like the one of Zhao et al. (2020): 209 hands in 19 age groups."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.research.phantom.exposure import expose
from model.research.phantom.growth import AGES, Growth, grow
from model.research.phantom.markers import draw_marker
from model.research.phantom.pose import PlacedBone, View, frame_hand, pose_hand
from model.research.phantom.scene import project_hand
from model.research.phantom.style import Style, choose_size, choose_style, film_corners
from model.training.dataset import NAMES_FILE

MIN_SIDE = 128
"""Shortest side of an image, in pixels, at which all 19 bones are visible."""


class PhantomError(ValueError):
    """A requested phantom cannot be drawn; the message says what to request instead."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph of a hand with its exact masks.

    Epiphyses and the growth plates between them and their shafts are part of the masks; an ossification
    centre narrower than 0.6 of its shaft's end is a separate island. Carpals, radius and ulna are visible in
    the image, but never part of the masks.

    Attributes:
        image: uint8 (H, W), grey levels.
        mask: uint8 (H, W), 255 on the 19 finger and palm bones, else 0.
        bones: uint8 (H, W), number of the bone, else 0: MC1..5 = 1..5, PP1..5 = 6..10, MP2..5 = 11..14,
            DP1..5 = 15..19.
        age: in years, 0 to 18.
        seed: of all random draws.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    bones: NDArray[np.uint8]
    age: int
    seed: int


def draw_phantom(age: int, seed: int, *, size: tuple[int, int] | None = None) -> Phantom:
    """Draw the phantom of a child; the same arguments give the same bytes.

    Args:
        age: in years, 0 to 18.
        seed: of all random draws, at least 0.
        size: (width, height) in pixels, each at least 128; None draws it from the sizes of real radiographs,
            500×625 to 1600×2080.

    Raises:
        PhantomError: an argument is out of range.
    """
    if age not in AGES:
        raise PhantomError(f"There is no age group {age}; give an age from 0 to 18.")
    if seed < 0:
        raise PhantomError(f"The seed {seed} is negative; give 0 or more.")
    if size is not None and min(size) < MIN_SIDE:
        raise PhantomError(
            f"A phantom of {size[0]}×{size[1]} pixels is too small; give at least {MIN_SIDE} per side."
        )
    body, camera = (np.random.default_rng([seed, age, part]) for part in range(2))
    style = choose_style(camera)
    natural = choose_size(style, camera)
    size = natural if size is None else size
    growth = grow(age, body)
    hand = pose_hand(growth, body)
    film, view = _place_on_film(hand, growth, style, size, body, camera)
    tissue, mineral, bones = project_hand(hand, growth, view, size, body)
    bones = np.where(film, bones, np.uint8(0))
    marker = draw_marker(tissue > 0, film, "R" if view.mirror else "L", style.marked, camera)
    image = expose(tissue, mineral, marker, film, style, view.scale, camera)
    mask = np.where(bones > 0, np.uint8(255), np.uint8(0))
    return Phantom(image, mask, bones, age, seed)


def natural_size(age: int, seed: int) -> tuple[int, int]:
    """(width, height) in pixels of the phantom that `draw_phantom` draws without a `size`."""
    camera = np.random.default_rng([seed, age, 1])
    return choose_size(choose_style(camera), camera)


def _place_on_film(
    hand: list[PlacedBone],
    growth: Growth,
    style: Style,
    size: tuple[int, int],
    body: np.random.Generator,
    camera: np.random.Generator,
) -> tuple[NDArray[np.bool_], View]:
    """The mask (H, W) of the film, and the view that places the hand on it."""
    corners = film_corners(style, size, camera)
    if corners is None or style.turned is None:
        return np.ones((size[1], size[0]), np.bool_), frame_hand(hand, growth, size, body)
    film = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(film, [np.round(corners).astype(np.int32)], 1)
    wide, high = (int(np.hypot(*(corners[i] - corners[0]))) for i in (1, 3))
    view = frame_hand(hand, growth, (wide, high), body)
    return film > 0, view.on_film((float(corners[0][0]), float(corners[0][1])), style.turned)


def write_phantoms(
    directory: Path,
    *,
    groups: int = len(AGES),
    per_group: int = 11,
    seed: int = 0,
    multilabel: bool = False,
    max_side: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a data set of phantoms; the defaults make the 209 hands of the paper.

    Writes `images/<stem>.png`, `masks/<stem>.png` (0/255) and `masks/labels.txt`, optionally
    `labels/<stem>.png` (0..19), and at the end `phantoms.csv` (stem, age, seed, width, height). Stems have
    the form `phantom_a07_03` (age, index).

    Args:
        directory: created if missing.
        groups: number of age groups, 1 to 19, spread evenly over the ages 0 to 18.
        per_group: phantoms in each group, at least 1.
        seed: of all random draws.
        multilabel: whether to write `labels`.
        max_side: larger images are drawn with this longer side, in pixels.
        progress: called with (done, total) after each phantom.

    Returns:
        The paths of the images.

    Raises:
        PhantomError: `groups` or `per_group` is out of range.
    """
    if not 1 <= groups <= len(AGES) or per_group < 1:
        raise PhantomError(f"Give 1 to {len(AGES)} age groups of at least one phantom each.")
    ages = sorted({int(age) for age in np.linspace(AGES[0], AGES[-1], groups).round()}) if groups > 1 else [9]
    folders = ["images", "masks", "labels"] if multilabel else ["images", "masks"]
    for folder in folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, int, int, int, int]] = []
    paths: list[Path] = []
    for age in ages:
        for index in range(per_group):
            own = int(np.random.SeedSequence([seed, age, index]).generate_state(1)[0])
            phantom = draw_phantom(age, own, size=_limited(natural_size(age, own), max_side))
            stem = f"phantom_a{age:02d}_{index:02d}"
            layers = {"images": phantom.image, "masks": phantom.mask, "labels": phantom.bones}
            for folder in folders:
                _write_png(directory / folder / f"{stem}.png", layers[folder])
            rows.append((stem, age, own, phantom.image.shape[1], phantom.image.shape[0]))
            paths.append(directory / "images" / f"{stem}.png")
            if progress is not None:
                progress(len(paths), len(ages) * per_group)
    (directory / "masks" / NAMES_FILE).write_text("bone\n", encoding="utf-8")
    with (directory / "phantoms.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(("stem", "age", "seed", "width", "height"))
        writer.writerows(rows)
    return paths


def _limited(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    shrink = 1.0 if max_side is None else min(1.0, max_side / max(size))
    return (round(size[0] * shrink), round(size[1] * shrink))


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Encode and write a PNG; `cv2.imwrite` would report a full disk only by returning False."""
    _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    path.write_bytes(data.tobytes())
