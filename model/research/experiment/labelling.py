"""How the labels of an arm came to be, and which weights its rounds kept, by seed and round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from model.research.experiment.annotations import Annotations, RoundAnnotations
from model.research.experiment.rounds import Results

Numbers = NDArray[np.float64]


def submitted(results: Results, arm: str) -> list[list[RoundAnnotations]]:
    """By seed and round, the labels that an arm other than `FULL` got before the round."""
    repeated = Annotations(results.settings, results.collection, results.split)
    return [
        repeated.until(records[0].labelled.tolist(), records[:-1], seed)
        for seed, records in enumerate(results.records[arm])
    ]


@dataclass(frozen=True, eq=False)
class Labelling:
    """What the annotator did before each round (R) of each seed (S), on training and validation images.

    Attributes:
        accepted: (S, R) share of the images labelled before the round whose shown mask was not changed.
        shown_dsc: (S, R) mean Dice of shown and submitted masks; NaN if none was shown.
        added_path: (S, R) mean added path length of an image, in pixels of the canvas.
        drawn: (S, R) length of the outlines drawn so far, as a share of that of the whole training pool.
        figure: (S, R) reported Dice, on the validation images that count; NaN if these
            are too few.
        kept_start: (S, R) 1 if the round kept the weights that it started from, else 0; NaN if unknown.
    """

    accepted: Numbers
    shown_dsc: Numbers
    added_path: Numbers
    drawn: Numbers
    figure: Numbers
    kept_start: Numbers

    @classmethod
    def of(cls, results: Results, arm: str) -> Labelling:
        """The labelling of one arm other than `FULL`."""
        whole = sum(results.collection.images[index].boundary for index in results.split.training)
        seeds = submitted(results, arm)

        def every(value: Callable[[RoundAnnotations], float]) -> Numbers:
            return np.array([[value(submitted) for submitted in rounds] for rounds in seeds], np.float64)

        steps = np.array([[record.kept_step for record in records] for records in results.records[arm]])
        return cls(
            accepted=every(lambda found: fmean(one.origin == "accepted" for one in found.all)),
            shown_dsc=every(_shown_dsc),
            added_path=every(lambda found: fmean(one.added_path for one in found.all)),
            drawn=every(lambda found: fsum(one.drawn for one in found.all)).cumsum(axis=1) / whole,
            figure=np.array(
                [[record.validation_dsc for record in rounds] for rounds in results.records[arm]]
            ),
            kept_start=np.where(np.isnan(steps), np.nan, steps == 0),
        )


def _shown_dsc(found: RoundAnnotations) -> float:
    shown = [one.shown_dsc for one in found.all if one.origin != "drawn"]
    return fmean(shown) if shown else np.nan
