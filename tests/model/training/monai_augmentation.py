"""The augmentation of earlier releases, made of MONAI's transforms: the reference for today's."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import NdarrayOrTensor
from monai.transforms import (
    Compose,
    Rand2DElasticd,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
)
from numpy.typing import NDArray

from model.training.augmentation import (
    BENT,
    ELASTIC_CELLS,
    ELASTIC_SHARE,
    ROTATION,
    SCALE,
    SHEAR,
    SHIFT,
    Pose,
    Variation,
)


class MonaiAugmentation:
    """Varies image and mask together; random draws depend only on the seed, the step and the slot.

    Not thread-safe: MONAI's transforms keep their last random draw, which `drawn` reads.
    """

    def __init__(self, seed: int, *, mirror: bool = True) -> None:
        self._seed = seed
        self._mirror = mirror
        self._transforms: dict[tuple[int, int], Compose] = {}

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
        transform = self._for_shape((image.shape[0], image.shape[1]))
        seed = np.random.SeedSequence([self._seed, step, slot]).generate_state(1)[0]
        transform.set_random_state(seed=int(seed))
        varied = transform(
            {"image": image[np.newaxis].astype(np.float32) / 255, "mask": mask[np.newaxis].astype(np.float32)}
        )
        grey = np.clip(np.asarray(varied["image"])[0] * 255 + 0.5, 0, 255)
        return grey.astype(np.uint8), np.asarray(varied["mask"])[0].astype(np.uint8)

    def drawn(self, shape: tuple[int, int]) -> Variation:
        """What the last call drew for a canvas of this shape; with the seed 0 in place of the noise."""
        flip, bend, adjust, blur, noise = self._for_shape(shape).transforms
        elastic: Any = bend.rand_2d_elastic
        affine = elastic.rand_affine_grid
        pose = (
            Pose(
                angle=affine.rotate_params[0],
                shear=affine.shear_params[0],
                shift=affine.translate_params[0],
                scale=affine.scale_params[0],
                offsets=elastic.deform_grid.rand_mag * elastic.deform_grid.random_offset.astype(float),
            )
            if bend._do_transform
            else None
        )
        smooth, added = blur.rand_smooth, noise.rand_gaussian_noise.noise
        return Variation(
            mirrored=flip._do_transform,
            pose=pose,
            gamma=adjust.adjuster.gamma_value if adjust._do_transform else None,
            blur=(smooth.x, smooth.y) if blur._do_transform else None,
            noise=float(np.std(added)) if noise._do_transform else None,
            noise_seed=0,
        )

    def _for_shape(self, shape: tuple[int, int]) -> Compose:
        if shape not in self._transforms:
            self._transforms[shape] = _transforms(min(shape), max(shape), mirror=self._mirror)
        return self._transforms[shape]


class _Bending(Rand2DElasticd):
    """MONAI's transform, but examples that it would leave unchanged are not resampled."""

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """The varied example, or the same one."""
        before = self.R.get_state()
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        self.R.set_state(before)
        return dict(super().__call__(data))


def _transforms(shorter: int, longer: int, *, mirror: bool) -> Compose:
    both, image = ("image", "mask"), ("image",)
    aspect = shorter / longer
    spacing = max(longer / ELASTIC_CELLS, 8.0)
    return Compose(
        [
            RandFlipd(both, prob=0.5 if mirror else 0.0, spatial_axis=1),
            _Bending(
                both,
                spacing=(spacing, spacing),
                magnitude_range=(0.0, ELASTIC_SHARE * shorter),
                prob=BENT,
                rotate_range=ROTATION * aspect,
                shear_range=SHEAR * aspect,
                translate_range=SHIFT * shorter,
                scale_range=SCALE,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandAdjustContrastd(image, prob=0.5, gamma=(0.7, 1.4)),
            RandGaussianSmoothd(image, prob=0.15, sigma_x=(0.3, 1.0), sigma_y=(0.3, 1.0)),
            RandGaussianNoised(image, prob=0.3, std=0.03),
        ]
    )
