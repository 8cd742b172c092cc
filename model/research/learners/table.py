"""Tables of a comparison: Dice of each arm, its difference from the reference, Dice of each label."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from model.research.learners.arms import REFERENCE

RESAMPLES = 10_000
Row = dict[str, Any]


def table(path: Path) -> str:
    """Markdown tables of the results in a file, one for each set and part."""
    found: dict[str, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[f"{row['set']}, {row['part']}"][row["arm"]][row["seed"]] = row
    return "\n\n".join(f"{name}\n\n{_of_set(by_arm)}" for name, by_arm in found.items())


def _of_set(by_arm: dict[str, dict[int, Row]]) -> str:
    lines = [
        f"| arm | seeds | DSC | minus {REFERENCE}, 95 % of seeds | of images | DSC of each label "
        "| score and DSC | steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base = by_arm.get(REFERENCE, {})
    for arm, by_seed in by_arm.items():
        rows = list(by_seed.values())
        pairs = [(row, base[seed]) for seed, row in by_seed.items() if seed in base and arm != REFERENCE]
        seeds = interval(np.array([dsc(row) - dsc(other) for row, other in pairs]))
        images = interval(np.array(image_differences(pairs)))
        labels = sorted({label for row in rows for label in per_label(row)}, key=int)
        each = ", ".join(f"{_mean(per_label(row).get(label) for row in rows):.3f}" for label in labels)
        lines.append(
            f"| `{arm}` | {len(rows)} | {_mean(map(dsc, rows)):.3f} | {seeds} | {images} | {each} "
            f"| {_mean(map(rank, rows)):.2f} | {_mean(row['steps'] for row in rows):.0f} |"
        )
    return "\n".join(lines)


def dsc(row: Row) -> float:
    """Mean over the images of the mean over the labels in mask or truth; 1 where both are empty."""
    return _mean(image_dsc(row).values())


def image_dsc(row: Row) -> dict[str, float]:
    """Mean over the labels in mask or truth of each image, by its stem; 1 where both are empty."""
    return {image["image"]: _mean(image["dsc"].values(), empty=1.0) for image in row["images"]}


def image_differences(pairs: Iterable[tuple[Row, Row]]) -> list[float]:
    """Difference of each image, mean over the seeds that tested it."""
    found: dict[str, list[float]] = defaultdict(list)
    for row, other in pairs:
        reference = image_dsc(other)
        for image, value in image_dsc(row).items():
            found[image].append(value - reference[image])
    return [_mean(several) for several in found.values()]


def per_label(row: Row) -> dict[str, float]:
    """Mean over the images with the label in mask or truth, by class index."""
    values: dict[str, list[float]] = defaultdict(list)
    for image in row["images"]:
        for label, value in image["dsc"].items():
            values[label].append(value)
    return {label: _mean(several) for label, several in values.items()}


def rank(row: Row) -> float:
    """Spearman's coefficient of consistency score and Dice over the images; 0 if one is constant."""
    scores = [image["score"] for image in row["images"]]
    return float(np.nan_to_num(spearmanr(scores, list(image_dsc(row).values())).statistic))


def interval(pairs: NDArray[np.float64]) -> str:
    """Mean of paired differences and its bootstrap interval, 95 %; empty without pairs."""
    if not len(pairs):
        return ""
    draws = np.random.default_rng(0).choice(pairs, (RESAMPLES, len(pairs))).mean(1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{pairs.mean():+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")


def _mean(values: Iterable[float | None], *, empty: float = 0.0) -> float:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else empty
