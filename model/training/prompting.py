"""Episodes: what a network learns about prompts from ordinary examples, with simulated marks and mistakes.

An episode is a window on one object, which is a connected component of a label: a mask of it with a mistake,
marks that a person might make, and the truth. Clicks are sampled iteratively, as in RITM: half of the
episodes are answered by the network itself first, and the next click falls on what is still wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.interaction.prompts import Click, Extent, Prompts
from model.interaction.simulation import Mask, loose_box, mistaken, next_click, superfluous
from model.interaction.window import Window
from model.loss import IGNORE_INDEX
from model.network import DeeplySupervisedUNet
from model.prompt_layers import PRESENT
from model.training.dataset import Example
from model.training.device import TrainingDevice

PIXELS = 192
"""Side of a window in training: smaller than in use, as the network's input may have any size."""
LEAST_PIXELS = 40
"""Objects with fewer pixels in a window teach nothing that a person would click for."""
TRIES = 20
"""Draws of an object after which an episode is given up."""
BLANK, REMOVED, BOXED = 0.3, 0.15, 0.15
"""Shares of episodes that begin with nothing drawn, are about something superfluous, and have a box."""
AGAIN = 0.5
"""Share of steps whose episodes are first answered by the network, to click on what is still wrong."""


class PromptBatch(NamedTuple):
    """Episodes: windows (N, 1, S, S), their maps (N, CHANNELS, S, S), and targets (N, S, S) as int64.

    Targets are 1 on the object, 0 off it, and `IGNORE_INDEX` where nothing is asked.
    """

    images: Tensor
    maps: Tensor
    targets: Tensor

    def on(self, device: TrainingDevice) -> PromptBatch:
        """The same episodes on a device, images and maps in channels-last memory format."""
        return PromptBatch(
            device.images(device.moved(self.images)),
            device.images(device.moved(self.maps)),
            device.moved(self.targets),
        )


@dataclass(frozen=True, eq=False)
class _Scene:
    """One object in a window: grey (S, S) in [0, 1], and masks (S, S) of what is around it."""

    grey: NDArray[np.float32]
    truth: Mask
    alike: Mask
    others: Mask
    unknown: Mask


class Episodes:
    """Draws episodes; those of a step depend only on the seed and the step.

    Args:
        examples: with label maps; those without any label are passed over.
        size: episodes in a batch.
        seed: of all draws.
        rank: of the process, if several share each batch.
    """

    def __init__(self, examples: Sequence[Example], size: int, seed: int, rank: int = 0) -> None:
        self._examples = [one for one in examples if ((one.mask > 0) & (one.mask != IGNORE_INDEX)).any()]
        self._size, self._seed, self._rank = size, seed, rank

    def batch(self, step: int) -> PromptBatch | None:
        """The episodes of a step (from 0); None if no example has an object."""
        if not self._examples:
            return None
        draws = np.random.default_rng([self._seed, step, 7, self._rank])
        scenes = (self._scene(draws) for _ in range(self._size))
        drawn = [_episode(scene, draws) for scene in scenes if scene is not None]
        if not drawn:
            return None
        images, maps, targets = (np.stack(part) for part in zip(*drawn, strict=True))
        return PromptBatch(
            torch.from_numpy(images)[:, None], torch.from_numpy(maps), torch.from_numpy(targets)
        )

    def _scene(self, draws: np.random.Generator) -> _Scene | None:
        for _ in range(TRIES):
            example = self._examples[draws.integers(len(self._examples))]
            labels = np.unique(example.mask)
            labels = labels[(labels > 0) & (labels != IGNORE_INDEX)]
            label = int(labels[draws.integers(len(labels))])
            count, components = cv2.connectedComponents((example.mask == label).astype(np.uint8))
            scene = _seen(example, label, components == 1 + draws.integers(count - 1), draws)
            if scene.truth.sum() >= LEAST_PIXELS:
                return scene
        return None


def _seen(example: Example, label: int, component: Mask, draws: np.random.Generator) -> _Scene:
    """An object in a random window: of any scale, off the centre, turned, mirrored, differently exposed."""
    around = Extent.of(component)
    assert around is not None  # components have pixels
    height, width = component.shape
    side = around.longer * math.exp(draws.uniform(math.log(1.05), math.log(4.5)))
    side = min(max(side, 48.0), 1.1 * max(height, width))
    x, y = (middle + draws.uniform(-0.3, 0.3) * side for middle in around.centre)
    angle = draws.normal() * 20 if draws.random() < 0.5 else 0.0
    matrix = np.asarray(cv2.getRotationMatrix2D((x, y), angle, PIXELS / side), np.float64)
    matrix[:, 2] += PIXELS / 2 - np.array([x, y])
    turns, mirrored = int(draws.integers(4)) if draws.random() < 0.3 else 0, draws.random() < 0.5

    def taken(plane: NDArray[np.uint8], flags: int) -> NDArray[np.uint8]:
        warped = np.rot90(cv2.warpAffine(plane, matrix, (PIXELS, PIXELS), flags=flags), turns)
        return np.ascontiguousarray(warped[:, ::-1] if mirrored else warped)

    image = example.image
    if side > PIXELS / 0.6:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * side / PIXELS), np.uint8)
    labels = taken(example.mask, cv2.INTER_NEAREST)
    truth = taken(component.view(np.uint8), cv2.INTER_NEAREST).view(np.bool_)
    alike = (labels == label) & ~truth
    unknown = labels == IGNORE_INDEX
    others = (labels > 0) & (labels != label) & ~unknown
    return _Scene(_exposed(taken(image, cv2.INTER_LINEAR), draws), truth, alike, others, unknown)


def _exposed(grey: NDArray[np.uint8], draws: np.random.Generator) -> NDArray[np.float32]:
    """Grey values in [0, 1] with another curve, blur and noise."""
    values: NDArray[np.float32] = grey.astype(np.float32) / np.float32(255)
    if draws.random() < 0.7:
        values = np.power(values, np.float32(math.exp(draws.normal() * 0.25)))
    if draws.random() < 0.2:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), draws.uniform(0.4, 1.2)), np.float32)
    if draws.random() < 0.3:
        values = values + draws.normal(0, draws.uniform(0, 0.04), values.shape).astype(np.float32)
    return np.clip(values, 0, 1)


def _episode(
    scene: _Scene, draws: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Grey (S, S), maps (CHANNELS, S, S) and target (S, S) of one episode."""
    truth, kind = scene.truth, draws.random()
    if kind < REMOVED:
        present = truth | superfluous(truth, scene.others, draws)
    elif draws.random() < BLANK:
        present = np.zeros_like(truth)
    else:
        present = mistaken(truth, scene.others | scene.alike, draws)
    near = cv2.dilate(scene.alike.view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_) & ~truth
    target = truth.astype(np.int64)
    # Whether objects of the same label nearby are drawn is not what the marks are about.
    target[near | scene.unknown] = IGNORE_INDEX
    if draws.random() < 0.7:
        present = present | scene.alike
    marks: Prompts = ()
    if kind > 1 - BOXED:
        marks = (loose_box(truth, draws),)
        present = present if draws.random() < 0.3 else present & ~truth
    if not marks or draws.random() < 0.3:
        marks += _clicks(truth, present, target != IGNORE_INDEX, draws)
    window = Window(PIXELS / 2, PIXELS / 2, PIXELS, PIXELS)
    return scene.grey, window.maps(present, marks), target


def _clicks(truth: Mask, present: Mask, known: Mask, draws: np.random.Generator) -> tuple[Click, ...]:
    """One to four clicks on what is wrong; on the object itself if nothing is."""
    clicks: list[Click] = []
    left = present.copy()
    for _ in range(min(4, int(draws.geometric(0.6)))):
        click = next_click(truth, left, known, draws) or next_click(truth, np.zeros_like(truth), known, draws)
        if click is None:
            break
        clicks.append(click)
        # What is near a click counts as corrected, so that the next one is elsewhere.
        around = np.zeros(truth.shape, np.uint8)
        cv2.circle(around, (int(click.x), int(click.y)), 12, 1, -1)
        left = np.where(around > 0, truth, left)
    return tuple(clicks)


def is_answered_first(seed: int, step: int) -> bool:
    """Whether a step's episodes are answered by the network before it learns from them."""
    return bool(np.random.default_rng([seed, step, 8]).random() < AGAIN)


def answered(batch: PromptBatch, network: DeeplySupervisedUNet, seed: int, step: int) -> PromptBatch:
    """The episodes after the network's answer, which is the present mask, with a click on what is wrong.

    Args:
        batch: on the network's device.
        network: in any mode; its statistics stay as they are.
        seed, step: of the clicks.
    """
    mode = network.training
    network.eval()
    with torch.no_grad():
        found = network.prompted(batch.images, batch.maps).argmax(1).bool().cpu().numpy()
    network.train(mode)
    draws = np.random.default_rng([seed, step, 9])
    window = Window(PIXELS / 2, PIXELS / 2, PIXELS, PIXELS)
    maps = batch.maps.cpu().numpy().copy()
    for mine, drawn, target in zip(maps, found, batch.targets.cpu().numpy(), strict=True):
        click = next_click(target == 1, drawn, target != IGNORE_INDEX, draws)
        added = window.maps(drawn, () if click is None else (click,))
        mine[PRESENT] = added[PRESENT]
        np.maximum(mine[PRESENT + 1 :], added[PRESENT + 1 :], out=mine[PRESENT + 1 :])
    return batch._replace(maps=torch.from_numpy(maps).to(batch.maps.device))


def prompt_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Half cross-entropy, half soft Dice of the object, mean over episodes.

    Args:
        logits: (N, 2, S, S).
        targets: (N, S, S), see `PromptBatch`.
    """
    logits = logits.float()
    entropy = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
    known = (targets != IGNORE_INDEX).float()
    truth = (targets == 1).float()
    found = logits.softmax(1)[:, 1] * known
    overlap = 2 * (found * truth).sum((1, 2)) + 1
    dice = overlap / (found.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return (entropy + 1 - dice.mean()) / 2
