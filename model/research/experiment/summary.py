"""The summary of an experiment: results of each arm, and their differences from the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.research.experiment.curves import Curves, bound_of, strategies_of
from model.research.experiment.labelling import Labelling
from model.research.experiment.records import write_atomically
from model.research.experiment.rounds import Results
from model.research.experiment.settings import FULL, REFERENCE, strategy_of
from model.research.experiment.statistics import (
    area_between,
    crossing,
    holm,
    normalised_area,
    paired_difference,
)

FILE = "summary.json"
NEAR = 0.01
"""Full annotation counts as reached within this difference of DSC."""
Numbers = NDArray[np.float64]


def summarise(results: Results) -> dict[str, Any]:
    """The summary as JSON-serialisable values; docs/experiments.md explains every number."""
    curves = {arm: Curves.of(results, arm) for arm in results.settings.arms}
    chosen = {arm: curves[arm] for arm in strategies_of(results)}
    bound = bound_of(results)
    areas = {arm: _areas(found) for arm, found in chosen.items()}
    efforts = _effort_areas(chosen)
    labelling = {arm: Labelling.of(results, arm) for arm in chosen}
    arms = {
        arm: {"forwards_per_image": strategy_of(arm).forwards, "source": strategy_of(arm).source}
        | _arm(results, found, labelling[arm], bound)
        | {"aubc": _spread(areas[arm]), "effort_aubc": _spread(efforts[arm])}
        for arm, found in chosen.items()
    }
    for name, values in (("aubc", areas), ("effort_aubc", efforts)):
        for arm, difference in _against_reference(values).items():
            arms[arm][f"{name}_less_{REFERENCE}"] = difference
    summary: dict[str, Any] = {
        "settings": results.settings.to_dict(),
        "images": {
            "training": len(results.split.training),
            "validation": len(results.split.validation),
            "test": len(results.split.test),
        },
        "labels": list(results.collection.labels),
        "arms": arms,
    }
    if bound is not None:
        summary[FULL] = _bound(curves[FULL], bound)
    return summary


def write_summary(results: Results, folder: Path) -> dict[str, Any]:
    """Write `summary.json` and return its contents."""
    summary = summarise(results)
    write_atomically(folder / FILE, json.dumps(summary, indent=2, allow_nan=False).encode() + b"\n")
    return summary


def _arm(results: Results, curves: Curves, labelling: Labelling, bound: Numbers | None) -> dict[str, Any]:
    pool = len(results.split.training)
    arm = {
        "rounds": [
            {
                "labels": int(labels),
                "effort": _number(curves.effort[:, number].mean()),
                "dsc": _spread(curves.dsc[:, number]),
                "dsc_5th_percentile": _spread(curves.dsc_low[:, number]),
                "hd95": _spread(curves.hd95[:, number]),
                "blank": _number(curves.blank[:, number].mean()),
                "spearman_score": _number(_mean(curves.quality[:, number])),
                "spearman_own_score": _number(_mean(curves.own_quality[:, number])),
                "estimate_coverage": _number(_mean(curves.coverage[:, number])),
                "estimate_margin": _number(_mean(curves.margin[:, number])),
            }
            | _labelled(labelling, number)
            for number, labels in enumerate(curves.labels)
        ],
        "dsc_mean": _number(curves.dsc.mean()),
        "dsc_5th_percentile": _number(curves.dsc_low.mean()),
        "hd95": _number(curves.hd95.mean()),
        "blank": _number(curves.blank.mean()),
        "spearman_score": _number(_mean(curves.quality)),
        "spearman_own_score": _number(_mean(curves.own_quality)),
        "estimate_coverage": _number(_mean(curves.coverage)),
        "estimate_margin": _number(_mean(curves.margin)),
        "seconds_per_round": {
            "training": _number(curves.seconds[..., 0].mean()),
            "measuring": _number(curves.seconds[..., 1].mean()),
        },
    }
    if bound is not None:
        arm["to_full"] = _to_full(curves, bound, pool)
    return arm


def _labelled(labelling: Labelling, number: int) -> dict[str, Any]:
    """Provenance of the labels of a round, and its validation results."""
    return {
        "accepted": _number(labelling.accepted[:, number].mean()),
        "shown_dsc": _number(_mean(labelling.shown_dsc[:, number])),
        "added_path_length": _number(labelling.added_path[:, number].mean()),
        "drawn": _number(labelling.drawn[:, number].mean()),
        "validation_dsc": _numbers(labelling.figure[:, number]),
        "kept_start": _numbers(labelling.kept_start[:, number]),
    }


def _to_full(curves: Curves, bound: Numbers, pool: int) -> dict[str, Any]:
    """Where the mean curve comes within `NEAR` of the mean upper bound, and each seed's curve of its own."""
    labels = crossing(curves.labels, curves.dsc.mean(axis=0), float(bound.mean()) - NEAR)
    effort = crossing(curves.effort.mean(axis=0), curves.dsc.mean(axis=0), float(bound.mean()) - NEAR)
    by_seed = [
        crossing(curves.labels, dsc, float(best) - NEAR) for dsc, best in zip(curves.dsc, bound, strict=True)
    ]
    return {
        "labels": labels,
        "percent_of_pool": None if labels is None else 100 * labels / pool,
        "percent_of_effort": None if effort is None else 100 * effort,
        "labels_by_seed": by_seed,
        "seeds_that_reach_it": sum(found is not None for found in by_seed),
    }


def _areas(curves: Curves) -> Numbers:
    return np.array([normalised_area(curves.labels, dsc) for dsc in curves.dsc])


def _effort_areas(curves: Mapping[str, Curves]) -> dict[str, Numbers]:
    """Area under DSC over effort, for each seed over the range of effort that all arms cover."""
    if not curves:
        return {}
    first = np.max([found.effort[:, 0] for found in curves.values()], axis=0)
    last = np.min([found.effort[:, -1] for found in curves.values()], axis=0)
    return {
        arm: np.array(
            [area_between(*pair) for pair in zip(found.effort, found.dsc, first, last, strict=True)],
            np.float64,
        )
        for arm, found in curves.items()
    }


def _against_reference(values: Mapping[str, Numbers]) -> dict[str, dict[str, Any]]:
    """Paired differences of all arms from the reference, with p values corrected over all arms."""
    if REFERENCE not in values:
        return {}
    found = {
        arm: difference
        for arm, numbers in values.items()
        if arm != REFERENCE and (difference := paired_difference(numbers, values[REFERENCE])) is not None
    }
    corrected = holm([difference.p for difference in found.values()])
    return {
        arm: {
            "mean": difference.mean,
            "interval": [difference.low, difference.high],
            "p": difference.p,
            "p_holm": p_holm,
        }
        for (arm, difference), p_holm in zip(found.items(), corrected, strict=True)
    }


def _bound(curves: Curves, bound: Numbers) -> dict[str, Any]:
    return {
        "labels": int(curves.labels[-1]),
        "dsc": _spread(bound),
        "dsc_5th_percentile": _spread(curves.dsc_low[:, -1]),
        "hd95": _spread(curves.hd95[:, -1]),
        "rounds": [_number(dsc) for dsc in curves.dsc.mean(axis=0)],
    }


def _spread(values: Numbers) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds, and the value of each seed."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(values.mean()), "sd": deviation, "by_seed": [float(value) for value in values]}


def _mean(values: Numbers) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: Numbers) -> list[float | None]:
    return [_number(value) for value in values]
