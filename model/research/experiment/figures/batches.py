"""The batch that an arm chose in each round: the images with the outlines of the three masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from contourpy import contour_generator
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from model.research.experiment.rounds import Results

SEED = 0
"""The seed whose batches are shown."""
GAP = 4
"""Pixels between images."""
MASKS = ("lower", "middle", "final")
OUTLINES = {"final": ("#F0E442", "-", 0.9), "middle": ("#D55E00", "--", 0.7), "lower": ("#56B4E9", ":", 0.8)}
"""Colour, line style and width of each outline, in drawing order, so that all three are visible."""
COLUMNS = 10
"""Images per row; larger batches have several rows."""
TALLEST, WIDEST, NARROWEST = 16.0, 11.0, 6.5
"""Limits of a figure's height and width in inches; its title must fit."""
Grey = NDArray[np.uint8]


def batches_figure(results: Results, arm: str) -> Figure:
    """A block of images for each round of seed `SEED`: the batch in its order, with consistency scores."""
    records = [record for record in results.records[arm][SEED] if len(record.chosen)]
    images = results.collection.images
    shapes = [images[index].example.image.shape for record in records for index in record.chosen]
    sheet = _Sheet(
        height=max((shape[0] for shape in shapes), default=1) + GAP,
        width=max((shape[1] for shape in shapes), default=1) + GAP,
        columns=min(COLUMNS, max((len(record.chosen) for record in records), default=1)),
    )
    for record in records:
        scores = dict(zip(record.images.tolist(), record.score.tolist(), strict=True))
        sheet.begin(f"{len(record.labelled)}")
        for index, masks in zip(record.chosen.tolist(), record.masks, strict=True):
            sheet.add(images[index].example.image, masks, f"{scores[index]:.2f}")
    return _figure(arm, sheet)


class _Sheet:
    """A mosaic of images, with outlines and captions in its coordinates."""

    def __init__(self, height: int, width: int, columns: int) -> None:
        self._height, self._width, self._columns = height, width, columns
        self._strips: list[Grey] = []
        self._count = 0
        self.outlines: dict[str, list[NDArray[np.float64]]] = {name: [] for name in OUTLINES}
        self.captions: list[tuple[float, float, str]] = []
        self.rows: list[tuple[float, str]] = []

    @property
    def mosaic(self) -> Grey:
        """The mosaic of all images (H, W)."""
        return np.concatenate(self._strips) if self._strips else np.full((GAP, GAP), 255, np.uint8)

    def begin(self, title: str) -> None:
        """Start a new block of rows, `GAP` below the last one."""
        if self._strips:
            self._strips.append(np.full((GAP, self._columns * self._width), 255, np.uint8))
        self._count = 0
        self.rows.append((self._top() + self._height / 2, title))

    def add(self, picture: Grey, masks: NDArray[np.uint8], caption: str) -> None:
        """Add an image (h, w) with its masks (3, h, w), in the order of `MASKS`."""
        column = self._count % self._columns
        if column == 0:
            self._strips.append(np.full((self._height, self._columns * self._width), 255, np.uint8))
        self._count += 1
        top, left = self._top() - self._height, column * self._width
        self._strips[-1][: picture.shape[0], left : left + picture.shape[1]] = picture
        for name, mask in zip(MASKS, masks, strict=True):
            self.outlines[name] += [line + np.array([left, top]) for line in _outlines(mask)]
        self.captions.append((left + 2, top + 2, caption))

    def _top(self) -> int:
        return sum(len(strip) for strip in self._strips)


def _figure(arm: str, sheet: _Sheet) -> Figure:
    mosaic = sheet.mosaic
    aspect = mosaic.shape[0] / mosaic.shape[1]
    wide = min(WIDEST, (TALLEST - 0.9) / aspect)
    figure = Figure(figsize=(max(wide + 0.7, NARROWEST), wide * aspect + 0.9), layout="constrained")
    axis = figure.subplots()
    axis.imshow(mosaic, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for name, (colour, line, thickness) in OUTLINES.items():
        lines = LineCollection(
            sheet.outlines[name], colors=colour, linestyles=line, linewidths=thickness, label=name
        )
        if name == "final":
            # Without a dark rim, a light line would be invisible on white parts of an image.
            lines.set_path_effects([withStroke(linewidth=thickness + 0.7, foreground="black", alpha=0.6)])
        axis.add_collection(lines)
    box = {"facecolor": "black", "pad": 0.8, "linewidth": 0}
    for x, y, text in sheet.captions:
        axis.text(x, y, text, fontsize=5.5, color="white", va="top", bbox=box)
    axis.set_yticks([height for height, _ in sheet.rows], [title for _, title in sheet.rows])
    axis.set_xticks([])
    axis.set_ylabel("labels when chosen")
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    figure.suptitle(f"{arm}: chosen in each round, seed {SEED}; number: consistency score", fontsize=10)
    legend = figure.legend(
        loc="outside lower center", ncols=len(OUTLINES), facecolor="#222222", frameon=True, labelcolor="white"
    )
    for handle in legend.findobj(LineCollection):
        handle.set_linewidth(1.6)
    return figure


def _outlines(mask: Grey) -> Iterator[NDArray[np.float64]]:
    """Outlines (n, 2) of (x, y) pixels around the labels of a map (h, w)."""
    for label in range(1, int(mask.max()) + 1):
        # Padded, so that outlines are closed at the edge of the image.
        framed = np.pad((mask == label).astype(np.float64), 1)
        for line in contour_generator(z=framed).lines(0.5):
            yield np.asarray(line, np.float64) - 1
