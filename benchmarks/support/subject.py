"""Something to measure on: a synthetic radiograph, and a version that has learnt to find its bones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from model.imaging.preprocessing import PreprocessingSettings
from model.network import NetworkSettings
from model.research.phantom import draw_phantom
from model.training.dataset import make_example
from model.training.run import TrainingSettings, train
from model.weights import Card, save_version

LABELS = ("Bone",)
TEACHING_SIZE = 240
"""Images are taught at this size, for minutes of teaching at full size would change no timing."""


def radiograph(height: int = 2000, width: int = 1500) -> bytes:
    """A grey 8-bit PNG of a hand."""
    _, data = cv2.imencode(".png", draw_phantom(14, 1, size=(width, height)).image)
    return data.tobytes()


def taught_version(directory: Path, *, width: int, size: int, steps: int = 30) -> Path:
    """A version that draws masks with bones' edges, as noise would make the run-length code slow.

    Args:
        directory: where to save it.
        width: channels of the network's first level.
        size: canvas size that the version asks for.
        steps: of teaching, a fraction of a second each.
    """
    teaching = PreprocessingSettings(size=TEACHING_SIZE)
    examples = []
    for seed in range(6):
        phantom = draw_phantom(3 * seed, seed, size=(600, 750))
        mask = np.where(phantom.mask, 1, 0).astype(np.uint8)
        examples.append(make_example(f"phantom {seed}", phantom.image, mask, teaching))
    settings = NetworkSettings(classes=len(LABELS) + 1, width=width)
    result = train(
        examples,
        [],
        labels=LABELS,
        network=settings,
        settings=TrainingSettings(steps=steps, seconds=None, learning_rate=2e-3, augment=False),
    )
    card = Card("benchmark", LABELS, settings, PreprocessingSettings(size=size))
    save_version(directory, result.network, card)
    return directory
