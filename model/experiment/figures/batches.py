"""The batch that an arm chose in each round, as pictures with the three masks drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from contourpy import contour_generator
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from model.experiment.experiment import Results

SEED = 0
"""Whose choices are shown; every seed would be as many pictures again."""
GAP = 4
"""Pixels between pictures."""
HEADS = {"lower": ("#56B4E9", ":"), "middle": ("#E69F00", "--"), "final": ("#F0E442", "-")}
"""Colour and line of each mask's outline."""
TALLEST, WIDEST = 16.0, 11.0
"""Of a figure, in inches."""
Grey = NDArray[np.uint8]


def batches_figure(results: Results, arm: str) -> Figure:
    """A row for each round: the chosen images from first to last, with their consistency scores."""
    records = [record for record in results.records[arm][SEED] if len(record.chosen)]
    images = results.collection.images
    shapes = [images[index].example.image.shape for record in records for index in record.chosen]
    height, width = (max((shape[axis] for shape in shapes), default=1) + GAP for axis in (0, 1))
    rows, columns = max(1, len(records)), max((len(record.chosen) for record in records), default=1)
    mosaic = np.full((rows * height, columns * width), 255, np.uint8)
    outlines: dict[str, list[NDArray[np.float64]]] = {name: [] for name in HEADS}
    scores: list[tuple[float, float, str]] = []
    for row, record in enumerate(records):
        by_image = dict(zip(record.images.tolist(), record.score.tolist(), strict=True))
        for column, (index, masks) in enumerate(zip(record.chosen.tolist(), record.masks, strict=True)):
            top, left = row * height, column * width
            canvas = images[index].example.image
            mosaic[top : top + canvas.shape[0], left : left + canvas.shape[1]] = canvas
            for name, mask in zip(HEADS, masks, strict=True):
                outlines[name] += [line + np.array([left, top]) for line in _outlines(mask)]
            scores.append((left + 2, top + 2, f"{by_image[index]:.2f}"))
    labels = [len(record.labelled) for record in records]
    return _figure(arm, mosaic, outlines, scores, labels, height)


def _figure(
    arm: str,
    mosaic: Grey,
    outlines: dict[str, list[NDArray[np.float64]]],
    scores: list[tuple[float, float, str]],
    labels: list[int],
    height: int,
) -> Figure:
    aspect = mosaic.shape[0] / mosaic.shape[1]
    wide = min(WIDEST, (TALLEST - 0.9) / aspect)
    figure = Figure(figsize=(wide + 0.7, wide * aspect + 0.9), layout="constrained")
    axis = figure.subplots()
    axis.imshow(mosaic, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for name, (colour, line) in HEADS.items():
        lines = LineCollection(outlines[name], colors=colour, linestyles=line, linewidths=0.8, label=name)
        # Pictures are black here and white there; without a dark rim light lines are lost on white.
        lines.set_path_effects([withStroke(linewidth=1.8, foreground="black", alpha=0.7)])
        axis.add_collection(lines)
    for x, y, text in scores:
        axis.text(
            x,
            y,
            text,
            fontsize=5.5,
            color="white",
            va="top",
            bbox={"facecolor": "black", "pad": 0.8, "linewidth": 0},
        )
    axis.set_yticks([(row + 0.5) * height for row in range(len(labels))], [str(count) for count in labels])
    axis.set_xticks([])
    axis.set_ylabel("labels when chosen")
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_title(f"{arm}: chosen in each round, seed {SEED}; number: consistency score", loc="left")
    figure.legend(
        loc="outside lower center", ncols=len(HEADS), facecolor="#777777", frameon=True, labelcolor="white"
    )
    return figure


def _outlines(mask: Grey) -> Iterator[NDArray[np.float64]]:
    """Lines (n, 2) of x and y around every label of a map (h, w)."""
    for label in range(1, int(mask.max()) + 1):
        # Closed at the rim: a mask that touches it would otherwise be open there.
        framed = np.pad((mask == label).astype(np.float64), 1)
        for line in contour_generator(z=framed).lines(0.5):
            yield np.asarray(line, np.float64) - 1
