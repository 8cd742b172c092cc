"""Random augmentation of a batch on its device: pose, size, shape, exposure, noise.

What is drawn is drawn on the processor, one example at a time, and depends only on the seed, the step and the
slot; pixels are computed where the batch is. The distributions are those of MONAI's transforms, which earlier
releases applied to one image at a time (RandFlip, Rand2DElastic, RandAdjustContrast, RandGaussianSmooth,
RandGaussianNoise); `tests/model/training/monai_augmentation.py` keeps these for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.loss import IGNORE_INDEX
from model.training.canvases import Canvases, Shape, collate
from model.training.device import CPU, TrainingDevice

ROTATION = np.pi / 12
"""Largest rotation of a square canvas, in radians (15°). Longer canvases turn less, in proportion: at 15° the
ends of a leg of 1024×128 pixels would leave its canvas (measured: Dice 0.81 instead of 0.86 after 120 steps).
"""
SHEAR = 0.05
"""Largest shear of a square canvas; less on longer ones, for the same reason."""
SCALE = 0.12
"""Largest change of height, as a share of it."""
SHIFT = 0.04
"""Largest shift up or down, as a share of the canvas' shorter side."""
ELASTIC_CELLS = 6
"""Elastic control points along the longer side: few, so that bones bend but their outlines stay smooth."""
ELASTIC_SHARE = 0.015
"""Largest standard deviation of a control point's displacement, as a share of the shorter side."""

BENT = 0.25
"""Share of examples that are turned, shifted, scaled and bent. Budgets are short here: on ten legs, 120 steps
from scratch, two seeds, test Dice was 0.76 at 0.9, 0.80 at 0.5, 0.85 at 0.25, and 0.87 without augmentation.
"""

ADJUSTED, GAMMA = 0.5, (0.7, 1.4)
"""Share of examples whose grey values are raised to a power, and the range of the power."""
BLURRED, BLUR = 0.15, (0.3, 1.0)
"""Share of examples that are blurred, and the range of the Gaussian's standard deviation in pixels."""
NOISY, NOISE = 0.3, 0.03
"""Share of examples with noise, and its largest standard deviation; black is 0 and white 1."""

REACH = 4
"""Standard deviations, and therefore also pixels, over which a blur extends at most."""


@dataclass(frozen=True)
class Pose:
    """Where a canvas's pixels come from.

    Attributes:
        angle: in radians.
        shear: rows that each column is shifted by.
        shift: in pixels, along columns.
        scale: factor of heights.
        offsets: (2, n, m) displacements (row, column) of the control points, in pixels.
    """

    angle: float
    shear: float
    shift: float
    scale: float
    offsets: NDArray[np.float64]


@dataclass(frozen=True)
class Variation:
    """What is drawn for one example.

    Attributes:
        mirrored: left and right are exchanged.
        pose: None if pose and shape stay.
        gamma: power of the grey values; None if they stay.
        blur: standard deviations along rows and columns; None for no blur.
        noise: standard deviation; None for no noise.
        noise_seed: of the noise.
    """

    mirrored: bool
    pose: Pose | None
    gamma: float | None
    blur: tuple[float, float] | None
    noise: float | None
    noise_seed: int


class Augmentation:
    """Varies images and masks together; random draws depend only on the seed, the step and the slot.

    Pose, size and elastic shape are one resampling: bilinear for the image, nearest for the mask. Pixels from
    outside the canvas are black and background, as in the canvas's padding.

    Args:
        seed: of all draws.
        mirror: whether half of the examples are mirrored; not for labels such as left and right lung
            (`model.training.sampling.have_sides`).
    """

    def __init__(self, seed: int, *, mirror: bool = True) -> None:
        self._seed = seed
        self._mirror = mirror

    def __call__(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], *, step: int, slot: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A variation of a canvas (h, w) and its label map (h, w), of the same shapes and types.

        Args:
            image: grey canvas.
            mask: label map.
            step: number of the training step.
            slot: position of the example in the step's batch.
        """
        height, width = image.shape
        varied = self.varied([(image, mask)], CPU, step=step, slots=[slot], size=(height, width))
        grey = (varied.images[0, 0] * 255 + 0.5).to(torch.uint8).numpy()
        return grey, varied.masks[0].numpy()

    def varied(
        self,
        pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
        device: TrainingDevice,
        *,
        step: int,
        slots: Sequence[int],
        size: Shape,
    ) -> Canvases:
        """A batch of variations on the device, with images as float32.

        Args:
            pairs: canvases (h, w) and label maps (h, w).
            device: where the batch is needed.
            step: number of the training step.
            slots: positions of the examples in the step's batch.
            size: height and width of the batch.
        """
        variations = [
            self.draw((image.shape[0], image.shape[1]), step, slot)
            for (image, _), slot in zip(pairs, slots, strict=True)
        ]
        mirrored = [
            (image[:, ::-1], mask[:, ::-1]) if variation.mirrored else (image, mask)
            for (image, mask), variation in zip(pairs, variations, strict=True)
        ]
        return vary(collate(mirrored, device, size), variations)

    def draw(self, shape: Shape, step: int, slot: int) -> Variation:
        """What happens to the canvas of a shape in a slot of a step."""
        draws = np.random.default_rng([self._seed, step, slot])
        # In a fixed number and order, so that no draw depends on whether another one is used.
        mirror, bend, adjust, blur, noise = draws.random(5)
        gamma, sigmas, deviation = draws.uniform(*GAMMA), draws.uniform(*BLUR, 2), draws.uniform(0, NOISE)
        noise_seed = int(draws.integers(2**63))
        return Variation(
            mirrored=self._mirror and mirror < 0.5,
            pose=_pose(shape, draws) if bend < BENT else None,
            gamma=gamma if adjust < ADJUSTED else None,
            blur=(sigmas[0], sigmas[1]) if blur < BLURRED else None,
            noise=deviation if noise < NOISY else None,
            noise_seed=noise_seed,
        )


def vary(canvases: Canvases, variations: Sequence[Variation]) -> Canvases:
    """Compute what was drawn for each canvas, except for mirroring.

    Returns:
        float32 images whose grey values are rounded to those of 8 bits.
    """
    images, masks = canvases.images.clone(), canvases.masks
    poses = {slot: one.pose for slot, one in enumerate(variations) if one.pose is not None}
    if poses:
        masks = _bend(images, masks, canvases, poses)
    gammas = {slot: one.gamma for slot, one in enumerate(variations) if one.gamma is not None}
    if gammas:
        slots, powers = _moved(gammas, canvases)
        inside = None if canvases.inside is None else canvases.inside[slots]
        images[slots] = _adjusted(images[slots], powers, inside)
    blurs = {slot: one.blur for slot, one in enumerate(variations) if one.blur is not None}
    if blurs:
        slots, kernels = _moved({slot: _kernels(blur) for slot, blur in blurs.items()}, canvases)
        images[slots] = _blurred(images[slots], kernels)
    for slot, one in enumerate(variations):
        if one.noise is not None:
            _add_noise(images[slot, 0], canvases.shapes[slot], one.noise, one.noise_seed)
    images = images.mul_(255).add_(0.5).clamp_(0, 255).floor_().mul_(1 / 255)
    if canvases.inside is not None:
        images.mul_(canvases.inside)
    return replace(canvases, images=images, masks=masks)


def _moved(values: dict[int, Any], canvases: Canvases) -> tuple[Tensor, Tensor]:
    """Slots, and numbers for each, on the device."""
    numbers = torch.from_numpy(np.asarray(list(values.values()), np.float32))
    return canvases.device.moved(torch.tensor(list(values))), canvases.device.moved(numbers)


def _pose(shape: Shape, draws: np.random.Generator) -> Pose:
    shorter = min(shape)
    aspect, spacing = shorter / max(shape), _spacing(shape)
    deviation = draws.uniform(0, ELASTIC_SHARE) * shorter
    return Pose(
        angle=draws.uniform(-ROTATION, ROTATION) * aspect,
        shear=draws.uniform(-SHEAR, SHEAR) * aspect,
        shift=draws.uniform(-SHIFT, SHIFT) * shorter,
        scale=1 + draws.uniform(-SCALE, SCALE),
        offsets=deviation * draws.standard_normal((2, *(_count(length, spacing) for length in shape))),
    )


def _control_points(shape: Shape, pose: Pose) -> NDArray[np.float64]:
    """(2, n, m) positions (row, column) from which control points get their pixels, from the centre."""
    spacing = _spacing(shape)
    lines = [spacing * (np.arange(count) - (count - 1) / 2) for count in pose.offsets.shape[1:]]
    rows, columns = np.stack(np.meshgrid(*lines, indexing="ij")) + pose.offsets
    rows = rows * pose.scale + pose.shift + pose.shear * columns
    cosine, sine = math.cos(pose.angle), math.sin(pose.angle)
    return np.stack([cosine * rows - sine * columns, sine * rows + cosine * columns])


def _spacing(shape: Shape) -> float:
    """Pixels between control points."""
    return float(max(max(shape) / ELASTIC_CELLS, 8.0))


def _count(length: int, spacing: float) -> int:
    """Control points along a side, more than one of them beyond each end."""
    cells = (length - 1) / (2 * spacing)
    return 2 * math.ceil(cells + 0.5) + 2 if length % 2 == 0 else 2 * math.ceil(cells) + 3


def _interpolation(length: int, spacing: float) -> Tensor:
    """(length, count): the share of each control point in each pixel of a side (bicubic)."""
    count = _count(length, spacing)
    covered = int(count * spacing)
    size = (covered, count)
    weights = F.interpolate(torch.eye(count)[None, None], size=size, mode="bicubic", align_corners=False)
    first = covered // 2 - length // 2
    return weights[0, 0, first : first + length]


def _bend(images: Tensor, masks: Tensor, canvases: Canvases, poses: dict[int, Pose]) -> Tensor:
    """Resample the canvases of the slots that have a pose: `images` in place, the new masks are returned."""
    (height, width), device = canvases.size, canvases.device
    n, m = (max(pose.offsets.shape[axis] for pose in poses.values()) for axis in (1, 2))
    # grid_sample's coordinates (column, row) are -1 and 1 at the outer borders of the whole batch.
    points = torch.zeros(len(poses), 2, n, m)
    down, across = torch.zeros(len(poses), 1, height, n), torch.zeros(len(poses), 1, width, m)
    for index, (slot, pose) in enumerate(poses.items()):
        h, w = canvases.shapes[slot]
        rows, columns = torch.from_numpy(_control_points((h, w), pose))
        points[index, 0, : len(rows), : rows.shape[1]] = (2 * columns + w) / width - 1
        points[index, 1, : len(rows), : rows.shape[1]] = (2 * rows + h) / height - 1
        spacing = _spacing((h, w))
        down[index, 0, :h, : len(rows)] = _interpolation(h, spacing)
        across[index, 0, :w, : rows.shape[1]] = _interpolation(w, spacing)
    grid = device.moved(down) @ device.moved(points) @ device.moved(across).transpose(2, 3)
    grid = grid.permute(0, 2, 3, 1)
    slots = device.moved(torch.tensor(list(poses)))
    inside = None if canvases.inside is None else canvases.inside[slots]
    moved = F.grid_sample(images[slots], grid, "bilinear", "zeros", align_corners=False)
    sources = masks[slots, None] if inside is None else masks[slots, None] * inside
    labels = F.grid_sample(sources.float(), grid, "nearest", "zeros", align_corners=False).to(torch.uint8)
    if inside is not None:
        moved, labels = moved.mul_(inside), labels.where(inside, IGNORE_INDEX)
    images[slots] = moved
    return masks.index_copy(0, slots, labels[:, 0])


def _adjusted(images: Tensor, gammas: Tensor, inside: Tensor | None) -> Tensor:
    """Raise grey values to a power, between the darkest and the brightest of each canvas."""
    if inside is None:
        low, high = images.amin((1, 2, 3), True), images.amax((1, 2, 3), True)
    else:
        low = images.where(inside, torch.inf).amin((1, 2, 3), True)
        high = images.where(inside, -torch.inf).amax((1, 2, 3), True)
    spread = high - low
    shares = ((images - low) / (spread + 1e-7)).clamp_(min=0)
    adjusted = shares.pow_(gammas[:, None, None, None]).mul_(spread).add_(low)
    return adjusted if inside is None else adjusted.mul_(inside)


def _kernels(blur: tuple[float, float]) -> NDArray[np.float64]:
    """(2, 2 · `REACH` + 1): the Gaussian along rows and along columns, integrated over each pixel."""
    result = np.zeros((2, 2 * REACH + 1))
    for kernel, sigma in zip(result, blur, strict=True):
        reach = int(max(sigma * REACH, 0.5) + 0.5)
        edges = [math.erf((x - 0.5) / (sigma * math.sqrt(2))) for x in range(-reach, reach + 2)]
        kernel[REACH - reach : REACH + reach + 1] = np.diff(edges) / 2
    return result


def _blurred(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve images (N, 1, H, W), each with its own kernels (N, 2, K): along rows, then along columns."""
    count = len(images)
    joined = images.transpose(0, 1)
    joined = F.conv2d(joined, kernels[:, None, 0, :, None], padding=(REACH, 0), groups=count)
    joined = F.conv2d(joined, kernels[:, None, 1, None, :], padding=(0, REACH), groups=count)
    return joined.transpose(0, 1)


def _add_noise(image: Tensor, shape: Shape, deviation: float, seed: int) -> None:
    """Add Gaussian noise to the canvas of a shape in an image (H, W); it does not depend on the batch."""
    height, width = shape
    generator = torch.Generator(image.device).manual_seed(seed)
    noise = torch.empty(height, width, device=image.device)
    image[:height, :width] += noise.normal_(0, deviation, generator=generator)
