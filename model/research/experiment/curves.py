"""Curves of an arm: results on the test images by seed and round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.quality import calibrate
from model.research.experiment.records import RoundRecord
from model.research.experiment.rounds import Results
from model.research.experiment.settings import FULL
from model.research.experiment.statistics import rank_correlation

LOW_PERCENTILE = 5.0
"""Percentile of the test images' R-DSC that measures how bad the worst masks are."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Results of an arm by seed (S) and round (R), on the test images.

    Attributes:
        labels: (R,) number of labels used for training.
        effort: (S, R) boundary length of these labels, as a share of that of the whole training pool.
        dsc: (S, R) mean R-DSC, in [0, 1].
        dsc_low: (S, R) 5th percentile of R-DSC over the images, in [0, 1].
        hd95: (S, R) mean 95th percentile Hausdorff distance in pixels.
        blank: (S, R) share of blank masks.
        quality: (S, R) Spearman coefficient of consistency score and R-DSC without blank masks; NaN if it is
            undefined.
        own_quality: (S, R) the same for the score of the arm's query strategy.
        coverage: (S, R) share of non-blank masks whose R-DSC is in the interval of the quality estimate,
            which is calibrated on the validation images (`model.quality`); NaN if these are too few.
        margin: (S, R) half the width of that interval.
        seconds: (S, R, 2) processor seconds of training and of measuring.
    """

    labels: Numbers
    effort: Numbers
    dsc: Numbers
    dsc_low: Numbers
    hd95: Numbers
    blank: Numbers
    quality: Numbers
    own_quality: Numbers
    coverage: Numbers
    margin: Numbers
    seconds: Numbers

    @classmethod
    def of(cls, results: Results, arm: str) -> Curves:
        """The curves of one arm."""
        seeds = results.records[arm]
        boundary = np.array([image.boundary for image in results.collection.images])
        whole = float(boundary[list(results.split.training)].sum())

        def every(value: Callable[[RoundRecord], float | np.floating | Numbers]) -> Numbers:
            return np.array([[value(record) for record in rounds] for rounds in seeds], np.float64)

        return cls(
            labels=np.array([len(record.labelled) for record in seeds[0]], np.float64),
            effort=every(lambda record: boundary[record.labelled].sum() / whole),
            dsc=every(lambda record: record.r_dsc[record.test].mean()),
            dsc_low=every(lambda record: np.percentile(record.r_dsc[record.test], LOW_PERCENTILE)),
            hd95=every(lambda record: record.hd95[record.test].mean()),
            blank=every(lambda record: record.blank[record.test].mean()),
            quality=every(lambda record: _quality(record, record.score)),
            own_quality=every(lambda record: _quality(record, record.own_score)),
            coverage=every(lambda record: quality_estimate(record)[0]),
            margin=every(lambda record: quality_estimate(record)[1]),
            seconds=every(lambda record: record.seconds),
        )


def strategies_of(results: Results) -> list[str]:
    """The arms that have a query strategy: all but `FULL`."""
    return [arm for arm in results.settings.arms if arm != FULL]


def bound_of(results: Results) -> Numbers | None:
    """(S,) final test DSC of `FULL` by seed, the upper bound; None if the experiment has no such arm."""
    return Curves.of(results, FULL).dsc[:, -1] if FULL in results.records else None


def _quality(record: RoundRecord, score: Numbers) -> float:
    drawn = record.test & ~record.blank
    if not np.isfinite(score[drawn]).all():
        return np.nan
    found = rank_correlation(score[drawn], record.r_dsc[drawn])
    return np.nan if found is None else found


def quality_estimate(record: RoundRecord) -> tuple[float, float]:
    """Coverage and margin of the quality estimate on the test images whose mask is not blank.

    Both are NaN if all masks are blank, the record has no confidences, or there are too few validation
    images.
    """
    known, drawn = record.validation & ~record.blank, record.test & ~record.blank
    if not drawn.any() or np.isnan(record.confidence).any():
        return np.nan, np.nan
    calibration = calibrate(record.confidence[known].tolist(), record.r_dsc[known].tolist())
    if calibration is None:
        return np.nan, np.nan
    estimates = [calibration.estimate(confidence) for confidence in record.confidence[drawn].tolist()]
    covered = [
        estimate.low <= real <= estimate.high
        for estimate, real in zip(estimates, record.r_dsc[drawn].tolist(), strict=True)
    ]
    return float(np.mean(covered)), calibration.margin
