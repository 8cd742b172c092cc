"""Refinement: a mask and the marks on its image in, the corrected mask out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.interaction.adoption import adopt, footprint, touched
from model.interaction.prompts import Box, Extent, Mark, PromptError, Prompts, extent, is_positive
from model.interaction.window import Window

Prompted = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""A network with prompts: from a window (1, SIDE, SIDE) and its maps (CHANNELS, SIDE, SIDE) to probabilities
(SIDE, SIDE)."""

FACTOR = 1.5
"""Side of a window as a multiple of its object's longer side."""
FIRST_SHARE = 1 / 3
"""Side of the first window around a click on an empty mask, as a share of the image's longer side."""
LEAST_SIDE = 64.0
"""Smallest side of a window, in pixels of the image: smaller ones are blurred."""
MOST_LOOKS = 3
"""How often a window is chosen anew, as the object in it turned out larger or smaller than expected."""
TOO_WIDE, TOO_NARROW = 0.6, 1.3
"""A new window is chosen if the object wants one of less or more than this share of the present side."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """What a mark has changed.

    Attributes:
        mask: (H, W), the label's mask after it.
        changed: the pixels that differ; None if none do.
    """

    mask: NDArray[np.bool_] = field(repr=False)
    changed: Extent | None


def refine(
    grey: NDArray[np.uint8], present: NDArray[np.bool_], prompts: Prompts, prompted: Prompted
) -> Refinement:
    """Correct a mask by the newest mark, in the light of all earlier ones.

    Args:
        grey: (H, W), the image with the grey values of its canvas (`model.imaging.fine`).
        present: (H, W), the label's mask so far.
        prompts: all marks for this object, the newest last.
        prompted: the network.

    Raises:
        PromptError: there is no mark, or one lies beside the image.
    """
    if not prompts:
        raise PromptError("There is nothing to correct a mask by; give a click, a box or a scribble.")
    height, width = grey.shape
    for mark in prompts:
        extent(mark, (height, width))
    newest = prompts[-1]
    window = first_window(present, newest)
    after = present
    for look in range(MOST_LOOKS):
        probabilities, where = window.back(
            prompted(window.image(grey), window.maps(after, prompts)), (height, width)
        )
        after = adopt(present, probabilities, where, newest, reach=max(1, round(2 / window.scale)))
        better = _better_window(window, present, after, newest)
        if better is None or look == MOST_LOOKS - 1:
            break
        window = better
    return Refinement(after, Extent.of(after ^ present))


def first_window(present: NDArray[np.bool_], mark: Mark) -> Window:
    """The window for a mark: around a box, or the component that it touches, or a share of the image."""
    height, width = present.shape
    marked = extent(mark, (height, width))
    least = min(LEAST_SIDE, float(max(height, width)))
    if isinstance(mark, Box):
        return Window.around(marked, FACTOR, least)
    component = Extent.of(touched(present, footprint(mark, (height, width))))
    if component is None:
        return Window.around(marked, FACTOR, FIRST_SHARE * max(height, width))
    return Window.around(component.including(marked), FACTOR, least)


def _better_window(
    window: Window, present: NDArray[np.bool_], after: NDArray[np.bool_], mark: Mark
) -> Window | None:
    """A window that fits what the mark turned out to be about; None if the present one does."""
    if isinstance(mark, Box):
        return None
    height, width = present.shape
    about = after if is_positive(mark) else present
    found = Extent.of(touched(about, footprint(mark, (height, width)), reach=1))
    if found is None:
        return None
    wanted = Window.around(found.including(extent(mark, (height, width))), FACTOR, LEAST_SIDE)
    wanted = Window(wanted.x, wanted.y, min(wanted.side, FACTOR * max(height, width)))
    if TOO_WIDE * window.side <= wanted.side <= TOO_NARROW * window.side:
        return None
    return wanted
