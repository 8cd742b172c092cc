"""Adoption: which of the pixels that the network would change are changed.

A person who clicks on one mistake expects the rest to stay. So of all changes only those are adopted that
the newest mark touches, as in the progressive merge of FocalClick (Chen et al. 2022); and a mark is always
obeyed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.interaction.prompts import Box, Extent, Mark, Scribble, extent, is_positive


def footprint(mark: Mark, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (H, W) that a mark is about: a click's pixel, a scribble's, or those in a box.

    Raises:
        PromptError: as `extent`.
    """
    if isinstance(mark, Scribble):
        extent(mark, shape)
        return mark.drawn
    found = np.zeros(shape, np.bool_)
    found[extent(mark, shape).slices] = True
    return found


def touched(mask: NDArray[np.bool_], about: NDArray[np.bool_], reach: int = 0) -> NDArray[np.bool_]:
    """The connected components of a mask (h, w) that a mark touches; diagonal neighbours are connected.

    Args:
        mask: of any components.
        about: (h, w), the pixels of the mark; at least one.
        reach: how many pixels a component may be away from the mark if none is under it.
    """
    places = np.argwhere(about)
    under = [(row, column) for row, column in places if mask[row, column]]
    if reach and not under:
        near = _around(places, reach, mask.shape)
        under = [(near[0].start + row, near[1].start + column) for row, column in np.argwhere(mask[near])]
    # Numbering all components would take four bytes a pixel.
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    found = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    for row, column in under:
        if not found[row + 1, column + 1]:
            cv2.floodFill(
                pixels, found, (int(column), int(row)), 0, flags=8 | cv2.FLOODFILL_MASK_ONLY | 1 << 8
            )
    return np.ascontiguousarray(found[1:-1, 1:-1]).view(np.bool_)


def _around(places: NDArray[np.intp], reach: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The pixels that are at most `reach` away from the rectangle around some places (n, 2)."""
    top, left = np.maximum(places.min(axis=0) - reach, 0)
    bottom, right = np.minimum(places.max(axis=0) + reach + 1, shape)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def adopt(
    present: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    where: Extent,
    mark: Mark,
    *,
    reach: int = 1,
) -> NDArray[np.bool_]:
    """The mask after a mark: the present one, with those of the network's changes that the mark is about.

    The network calls a pixel the label's if its probability is above 0.5. If it disagrees with the mark
    itself, the bar is moved until it agrees: the person is right.

    Args:
        present: (H, W), the mask so far.
        probabilities: (h, w) of the pixels in `where`, in [0, 1].
        where: the part of the image that the network saw.
        mark: the newest mark.
        reach: how far from a click a change may begin, in pixels.

    Returns:
        (H, W); equal to `present` outside `where`.
    """
    height, width = present.shape
    about = footprint(mark, (height, width))[where.slices]
    before = np.ascontiguousarray(present[where.slices])
    proposed = probabilities > _bar(probabilities, about, mark)
    if isinstance(mark, Box):
        after = _in_box(before, proposed, about)
    else:
        after = before ^ touched(proposed ^ before, about, reach)
        after[about] = mark.positive
    changed = present.copy()
    changed[where.slices] = after
    return changed


def _bar(probabilities: NDArray[np.float32], about: NDArray[np.bool_], mark: Mark) -> float:
    """The probability above which a pixel is the label's, so that the marked pixels are on the right side."""
    if isinstance(mark, Box) or not about.any():
        return 0.5
    marked = float(np.median(probabilities[about]))
    return min(0.5, marked * 0.9) if is_positive(mark) else max(0.5, min(0.999, marked * 1.1))


def _in_box(
    before: NDArray[np.bool_], proposed: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The mask after a box: components that are mostly in it are replaced by the proposed ones that are."""
    return _mostly(proposed, inside) | (before & ~_mostly(before, inside))


def _mostly(mask: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The components of a mask of which more than half of the pixels are inside."""
    count, components = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    sizes = np.bincount(components.ravel(), minlength=count)
    within = np.bincount(components[inside], minlength=count)
    chosen = within * 2 > sizes
    chosen[0] = False
    return np.asarray(chosen[components])
