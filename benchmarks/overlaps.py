"""Nested labels: how many pixels of each label are lost when overlapping regions are read by each rule.

Usage: python benchmarks/overlaps.py [--images DIR --masks DIR --labels a,b,c] [--orders N]

The masks are class indices; without them, ellipses within ellipses are drawn. Each label of an image is drawn
as annotators draw it: along its outline, holes included, so that it covers the labels within it. The regions
come in several random orders. A label's pixels that are read as another label, or as none, are lost. Prints
the share per label, in percent.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig, parse
from ml_backend.label_studio.regions.canvas import OVERLAPS
from ml_backend.label_studio.regions.masks import label_map, results
from model.training.dataset import read_folder, read_mask

FORMS = ("PolygonLabels", "BrushLabels")


def main() -> None:
    """Print one table for each form of regions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--labels", default="outer,middle,inner")
    parser.add_argument("--orders", type=int, default=3, help="random orders of the regions of an image")
    options = parser.parse_args()
    labels = options.labels.split(",")
    if options.images is None or options.masks is None:
        masks = [draw_nested(seed, len(labels)) for seed in range(50)]
    else:
        masks = [read_mask(sample.mask_path) for sample in read_folder(options.images, options.masks)]
    for form in FORMS:
        compare(form, masks, labels, options.orders)


def compare(form: str, masks: Sequence[NDArray[np.uint8]], labels: Sequence[str], orders: int) -> None:
    """Print the lost shares of each label under each rule."""
    config = parse(
        f'<View><Image name="image" value="$image"/><{form} name="mask" toName="image" model_tolerance="0">'
        + "".join(f'<Label value="{label}"/>' for label in labels)
        + f"</{form}></View>"
    )
    print(f"{form}, % of pixels lost".ljust(34) + "".join(f"{label:>9}" for label in labels))
    for rule in OVERLAPS:
        total, lost = np.zeros(len(labels)), np.zeros(len(labels))
        vanished = np.zeros(len(labels), int)
        random = np.random.default_rng(0)
        for mask in masks:
            regions = [region for index in range(1, len(labels) + 1) for region in drawn(mask, index, config)]
            for _ in range(orders):
                shuffled = [regions[place] for place in random.permutation(len(regions))]
                found = label_map(shuffled, config, (mask.shape[0], mask.shape[1]), rule).label_map
                assert found is not None or not regions
                for index in range(1, len(labels) + 1):
                    true = mask == index
                    kept = 0 if found is None else int(np.count_nonzero(found[true] == index))
                    total[index - 1] += np.count_nonzero(true)
                    lost[index - 1] += np.count_nonzero(true) - kept
                    vanished[index - 1] += bool(true.any() and not kept)
        shares = 100 * lost / np.maximum(total, 1)
        print(f"  {rule}".ljust(34) + "".join(f"{share:9.1f}" for share in shares))
        print(
            "    images where it vanishes".ljust(34) + "".join(f"{count / orders:9.1f}" for count in vanished)
        )


def draw_nested(seed: int, labels: int) -> NDArray[np.uint8]:
    """A mask of 300 × 400 pixels with ellipses, each within the one before."""
    random = np.random.default_rng(seed)
    mask = np.zeros((300, 400), np.uint8)
    centre, radii = random.uniform((150, 110), (250, 190)), random.uniform((80, 60), (140, 100))
    for index in range(1, labels + 1):
        place, axes = centre.astype(int).tolist(), radii.astype(int).tolist()
        cv2.ellipse(mask, place, axes, 0, 0, 360, index, cv2.FILLED)
        radii = radii * random.uniform(0.3, 0.6)
    return mask


def drawn(mask: NDArray[np.uint8], index: int, config: LabelConfig) -> list[dict[str, Any]]:
    """The regions of one label, each filled up to its outline."""
    chains, _ = cv2.findContours((mask == index).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(whole, chains, -1, index, cv2.FILLED)
    return results(whole, config)


if __name__ == "__main__":
    main()
