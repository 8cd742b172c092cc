"""What one round of one arm found, kept in one file that is written whole or not at all."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """One round of one arm of one seed; images are named by their index in the collection.

    Attributes:
        labelled: (L,) images whose labels were learned from, in the order in which they were labelled.
        images: (N,) images that were measured: test images, validation images, then the pool that is left.
        validation: (N,) which of them are validation images.
        l_dsc, m_dsc, score: (N,) agreement of the masks.
        confidence: (N,) in the masks (`Measurement.confidence`); NaN in records of earlier versions.
        blank: (N,) whether the final mask is empty.
        r_dsc: (N,) Dice of the final mask with the truth.
        hd95: (N,) 95th percentile Hausdorff distance to it in pixels; NaN for all but test images.
        own_score: (N,) the arm's strategy's score; NaN for the bound.
        chosen: (K,) images of the pool that are labelled next, in this order.
        masks: of each chosen image (3, h, w): lower, middle and final label map on its canvas.
        validation_dsc: Dice of the round's weights on the validation images' canvases.
        seconds: (2,) of the processor that training and measuring took.
    """

    labelled: NDArray[np.int64]
    images: NDArray[np.int64]
    validation: NDArray[np.bool_]
    l_dsc: NDArray[np.float64]
    m_dsc: NDArray[np.float64]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64]
    blank: NDArray[np.bool_]
    r_dsc: NDArray[np.float64]
    hd95: NDArray[np.float64]
    own_score: NDArray[np.float64]
    chosen: NDArray[np.int64]
    masks: tuple[Masks, ...]
    validation_dsc: float
    seconds: NDArray[np.float64]

    @property
    def test(self) -> NDArray[np.bool_]:
        """(N,) which of `images` are test images."""
        return np.isfinite(self.hd95)

    @property
    def pool(self) -> NDArray[np.bool_]:
        """(N,) which of `images` are of the pool that is left."""
        return ~(self.test | self.validation)

    def save(self, path: Path) -> None:
        """Write the file in place of an older one; killed at any moment, either of them is there."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "masks"}
        arrays |= {f"masks_{position}": masks for position, masks in enumerate(self.masks)}
        whole = io.BytesIO()
        np.savez_compressed(whole, **arrays)
        write_whole(path, whole.getvalue())

    @classmethod
    def load(cls, path: Path) -> RoundRecord | None:
        """The record of a file; None if there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls._of(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray]) -> RoundRecord:
        unknown = {"confidence": np.full(len(arrays["images"]), np.nan)} if "confidence" not in arrays else {}
        values: dict[str, Any] = unknown | {
            field.name: arrays[field.name] for field in fields(cls) if field.name not in {"masks", *unknown}
        }
        values["validation_dsc"] = float(values["validation_dsc"])
        count = len(values["chosen"]) if "masks_0" in arrays else 0
        return cls(masks=tuple(arrays[f"masks_{position}"] for position in range(count)), **values)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or as it was before, whenever this process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
