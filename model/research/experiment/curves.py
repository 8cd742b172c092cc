"""What the records say of an arm: numbers by seed and round."""

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
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """An arm by seed (S) and round (R), on test images.

    Attributes:
        labels: (R,) labels learned from.
        effort: (S, R) boundary length of these labels, as a share of the whole training pool's.
        dsc: (S, R) mean R-DSC.
        dsc_low: (S, R) 5th percentile of it over the images.
        hd95: (S, R) mean distance in pixels.
        blank: (S, R) share of blank masks.
        quality: (S, R) Spearman's coefficient of consistency score and R-DSC, blank masks left out; NaN where
            there is none.
        own_quality: (S, R) the same of the arm's own score.
        coverage: (S, R) share of masks whose R-DSC the quality estimate's interval holds, calibrated on the
            validation images (`model.quality`); NaN where these are too few. Blank masks have no estimate.
        margin: (S, R) half the width of that interval.
        seconds: (S, R, 2) of training and of measuring.
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
        whole = float(boundary[list(results.sides.training)].sum())

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
    """The arms that choose: all but the bound."""
    return [arm for arm in results.settings.arms if arm != FULL]


def bound_of(results: Results) -> Numbers | None:
    """Test DSC of the bound for each seed, at the end of its training; None if it was not asked for."""
    return Curves.of(results, FULL).dsc[:, -1] if FULL in results.records else None


def _quality(record: RoundRecord, score: Numbers) -> float:
    drawn = record.test & ~record.blank
    if not np.isfinite(score[drawn]).all():
        return np.nan
    found = rank_correlation(score[drawn], record.r_dsc[drawn])
    return np.nan if found is None else found


def quality_estimate(record: RoundRecord) -> tuple[float, float]:
    """Coverage and margin of the quality estimate on test images that are not blank; NaN if there is none."""
    known, drawn = record.validation & ~record.blank, record.test & ~record.blank
    if not drawn.any() or np.isnan(record.confidence).any():
        return np.nan, np.nan
    calibration = calibrate(record.confidence[known].tolist(), record.r_dsc[known].tolist())
    if calibration is None:
        return np.nan, np.nan
    estimates = [calibration.estimate(confidence) for confidence in record.confidence[drawn].tolist()]
    held = [
        estimate.low <= real <= estimate.high
        for estimate, real in zip(estimates, record.r_dsc[drawn].tolist(), strict=True)
    ]
    return float(np.mean(held)), calibration.margin
