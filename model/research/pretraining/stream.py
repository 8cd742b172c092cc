"""An endless source of training examples: phantoms that are drawn once and varied for several uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.imaging.preprocessing import PreprocessingSettings
from model.research.phantom.exposure import expose
from model.research.phantom.growth import AGES
from model.research.phantom.markers import draw_marker
from model.research.phantom.scene import Scene, draw_scene
from model.research.phantom.style import choose_style
from model.research.pretraining.appearance import varied_body, varied_image, varied_style
from model.research.pretraining.placing import place
from model.training.batches import ExampleSource
from model.training.dataset import Example, make_example

SCENE = (416, 520)
"""Width and height in pixels of a scene; its third metacarpal is about 120 pixels long."""
MARGIN = 110
"""Pixels by which a scene extends beyond `SCENE` on each side, for rotated and shifted views."""


class PhantomSource(ExampleSource):
    """Examples of one label, "bone", that depend only on the seed, the step and the slot.

    Drawing a hand takes as long as training on it. Hands are therefore kept in a sliding window, and each is
    exposed about `uses` times, with a new position, bending, exposure, film and archiving each time. Not
    thread-safe.

    Args:
        seed: of all random draws.
        sizes: smallest and largest longer side of a canvas, in pixels; each step draws one.
        window: number of hands in memory (3 MB each).
        uses: mean number of uses of a hand before it leaves the window.
    """

    def __init__(
        self, seed: int, *, sizes: tuple[int, int] = (261, 453), window: int = 192, uses: int = 12
    ) -> None:
        self.seed, self.sizes, self.window, self.uses = seed, sizes, window, uses
        self._drawn: dict[int, Scene] = {}

    @property
    def description(self) -> dict[str, Any]:
        """Everything that determines the examples, as JSON-serialisable values."""
        return {
            "phantoms": {
                "seed": self.seed,
                "sizes": list(self.sizes),
                "window": self.window,
                "uses": self.uses,
            }
        }

    def draw(self, step: int, slot: int, batch: int) -> Example:
        """The example of a slot among the `batch` slots of a step, both from 0; see `ExampleSource.draw`."""
        size = int(np.random.default_rng([self.seed, 1, step]).integers(self.sizes[0], self.sizes[1] + 1))
        rng = np.random.default_rng([self.seed, 2, step, slot])
        oldest = (step * batch + slot) // self.uses
        scene = self._scene(oldest + int(rng.integers(self.window)), oldest)
        image, mask = expose_scene(scene, size, rng)
        return make_example(f"phantom {step}/{slot}", image, mask, PreprocessingSettings(size=size))

    def _scene(self, number: int, oldest: int) -> Scene:
        for gone in [known for known in self._drawn if known < oldest]:
            del self._drawn[gone]
        if number not in self._drawn:
            seed = np.random.SeedSequence([self.seed, 3, number]).generate_state(1)[0]
            self._drawn[number] = draw_scene(AGES[number % len(AGES)], int(seed), SCENE, MARGIN)
        return self._drawn[number]


def expose_scene(
    scene: Scene, longer: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a varied radiograph of a scene.

    Args:
        scene: the hand.
        longer: longer side of the radiograph, in pixels.
        rng: source of random draws.

    Returns:
        Grey levels (H, W) and label map (H, W) with 0 for background and 1 for bone.
    """
    style = varied_style(choose_style(rng), rng)
    placed = place(scene, style, _sides(longer, rng), rng)
    flesh, mineral = varied_body(placed, rng)
    marker = draw_marker(
        flesh > 0, placed.film, "R" if scene.mirror else "L", style.marked and rng.uniform() < 0.8, rng
    )
    image = varied_image(expose(flesh, mineral, marker, placed.film, style, placed.unit, rng), rng)
    mask = placed.mask.astype(np.uint8)
    if rng.uniform() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _sides(longer: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw (width, height): mostly portrait, some square, few landscape."""
    shorter = round(
        longer * float(rng.uniform(0.68, 0.88) if rng.uniform() < 0.85 else rng.uniform(0.88, 1.0))
    )
    return (longer, shorter) if rng.uniform() < 0.04 else (shorter, longer)
