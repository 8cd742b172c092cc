"""The first click on an object: whether its answer should begin with what the network draws there unasked.

Young networks know little of prompts, and a project's objects may be long or large, so the mask that the
network draws without any mark is then the better beginning. But where that mask joins several objects, a
click on one of them should not draw the others. Which of the two a project needs is measured on its own
labels: for legs after 500 steps, the first click gave a Dice of 0.24 by itself and of 0.95 with the mask; for
single bones by the shipped weights, which know one label, 0.82 either way, and further clicks then had to
take the other bones away.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.consistency import dice
from model.engines.prompt_engine import PromptEngine
from model.imaging.preprocessing import to_network
from model.interaction.adoption import footprint, touched
from model.interaction.corrector import ALONE, FROM_MASK
from model.interaction.refinement import refine
from model.interaction.simulation import next_click, objects
from model.loss import IGNORE_INDEX
from model.network import DeeplySupervisedUNet
from model.training.dataset import Example

IMAGES, OBJECTS = 4, 2
"""Images that are measured, and objects in each."""


def first_click(
    network: DeeplySupervisedUNet, examples: Sequence[Example], seed: int = 0
) -> dict[str, float]:
    """Both figures, in [0, 1], on objects of these examples; empty without layers for prompts or objects.

    Args:
        network: on the CPU, in evaluation mode.
        examples: preferably such that the network has not learned from.
        seed: of the choice of images and objects.
    """
    if network.prompts is None:
        return {}
    draws = np.random.default_rng([seed, 10])
    prompted = PromptEngine(network)
    found: dict[str, list[float]] = {ALONE: [], FROM_MASK: []}
    for index in draws.permutation(len(examples)):
        example = examples[index]
        there = list(objects(np.where(example.mask == IGNORE_INDEX, 0, example.mask)))
        if not there:
            continue
        drawn = _drawn(network, example)
        for place in draws.permutation(len(there))[:OBJECTS]:
            label, truth = there[place]
            click = next_click(truth, np.zeros_like(truth))
            assert click is not None  # the object is missing
            unasked = touched(drawn == label, footprint(click, truth.shape))
            for name, begun in ((ALONE, np.zeros_like(truth)), (FROM_MASK, unasked)):
                found[name].append(dice(refine(example.image, begun, (click,), prompted).mask, truth))
        if len(found[ALONE]) >= IMAGES * OBJECTS:
            break
    return {name: float(np.mean(values)) for name, values in found.items() if values}


@torch.inference_mode()
def _drawn(network: DeeplySupervisedUNet, example: Example) -> NDArray[np.int64]:
    """The label map (h, w) of the final classifier."""
    logits = network(torch.from_numpy(to_network(example.image))[None]).final[0]
    return np.asarray(logits.argmax(0).numpy())
