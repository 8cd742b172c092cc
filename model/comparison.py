"""Is a challenger clearly worse than the champion that serves now?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def clearly_worse(champion: Sequence[float], challenger: Sequence[float], margin: float) -> bool:
    """Whether the challenger loses more than `margin` of mean Dice on the same images.

    Both sequences hold one Dice in [0, 1] for each validation image, in the same order. The comparison is
    paired: only the mean of the differences counts, so an image that is hard for both weighs nothing.
    A small loss is not "clear": the validation images are few, and a version that has seen more labels is
    preferred unless it fails by more than the margin. With no images there is no evidence, hence `False`.

    Raises:
        ValueError: the sequences differ in length, or the margin is negative.
    """
    if len(champion) != len(challenger):
        raise ValueError(
            f"{len(champion)} champion scores cannot be paired with {len(challenger)} challenger scores; "
            "evaluate both on the same images."
        )
    if margin < 0:
        raise ValueError(f"The margin is {margin}; give zero or a positive Dice difference.")
    if not champion:
        return False
    difference = np.mean(np.subtract(challenger, champion, dtype=np.float64))
    return bool(difference < -margin)
