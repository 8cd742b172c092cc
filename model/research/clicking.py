"""What clicks achieve: simulated sessions on objects whose truth is known, and their number of clicks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.consistency import dice
from model.interaction.adoption import touched
from model.interaction.prompts import Prompts
from model.interaction.simulation import next_click

Mask = NDArray[np.bool_]

Answer = Callable[[Mask, Prompts], Mask]
"""From the present mask (H, W) of an object and all marks, the newest last, to the mask after it."""

MOST_CLICKS = 20
"""Clicks after which a session is given up, as in the literature."""


@dataclass(frozen=True, eq=False)
class Session:
    """The Dice of an object's mask before the first click and after each one."""

    dsc: tuple[float, ...]

    def clicks(self, wanted: float) -> int:
        """Number of clicks (NoC) until the Dice is at least `wanted`; `MOST_CLICKS` if it never was."""
        return next((number for number, dsc in enumerate(self.dsc) if dsc >= wanted), MOST_CLICKS)

    def reaches(self, wanted: float) -> bool:
        """Whether the Dice was ever at least `wanted`."""
        return max(self.dsc) >= wanted

    def after(self, clicks: int) -> float:
        """The Dice after so many clicks, or at the end of a shorter session."""
        return self.dsc[min(clicks, len(self.dsc) - 1)]


def correct(truth: Mask, present: Mask, answer: Answer, enough: float, most: int = MOST_CLICKS) -> Session:
    """Click on the largest error until the mask is good enough.

    Args:
        truth: (H, W), the object.
        present: (H, W), its mask at first.
        answer: corrects the mask.
        enough: Dice at which the session ends.
        most: number of clicks after which it ends.
    """
    marks: Prompts = ()
    curve = [dice(present, truth)]
    while curve[-1] < enough and len(marks) < most:
        click = next_click(truth, present)
        if click is None:
            break
        marks = (*marks, click)
        present = answer(present, marks)
        curve.append(dice(present, truth))
    return Session(tuple(curve))


def predicted(labels: NDArray[np.uint8], label: int, truth: Mask) -> Mask:
    """What a network drew of an object: the components of its label that overlap it."""
    return touched(labels == label, truth)


@dataclass(frozen=True)
class Summary:
    """Means over sessions.

    Attributes:
        sessions: number of objects.
        start: Dice before the first click.
        clicks_90, clicks_95: number of clicks to a Dice of 0.90 and 0.95.
        failed_90, failed_95: share of objects that never reached it.
        after: Dice after one, two and three clicks.
    """

    sessions: int
    start: float
    clicks_90: float
    failed_90: float
    clicks_95: float
    failed_95: float
    after: tuple[float, float, float]

    @classmethod
    def of(cls, sessions: Sequence[Session]) -> Summary:
        """The means; there must be a session."""

        def mean(values: Iterator[float] | Iterator[int]) -> float:
            return float(np.mean(list(values)))

        return cls(
            len(sessions),
            mean(one.dsc[0] for one in sessions),
            mean(one.clicks(0.90) for one in sessions),
            mean(float(not one.reaches(0.90)) for one in sessions),
            mean(one.clicks(0.95) for one in sessions),
            mean(float(not one.reaches(0.95)) for one in sessions),
            (
                mean(one.after(1) for one in sessions),
                mean(one.after(2) for one in sessions),
                mean(one.after(3) for one in sessions),
            ),
        )
