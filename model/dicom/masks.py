"""Masks of an exported image, by label, in the pixels of its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.dicom import DicomError
from model.dicom.shape import Size, to_source

Masks: TypeAlias = Mapping[str, NDArray[np.bool_]]
"""Masks (H, W) by label name, in the size that annotators see or in that of the source."""


def in_source(masks: Masks, source: Size, shown: Size) -> dict[str, NDArray[np.bool_]]:
    """The masks in the pixels of the source, given its size and the size that annotators see.

    Raises:
        DicomError: there is no mask, or one has another size.
    """
    if not masks:
        raise DicomError("There is no mask to write; give one for each label, empty or not.")
    found = {}
    for label, mask in masks.items():
        if mask.shape not in (source, shown):
            raise DicomError(
                f"The mask of {label} has {mask.shape[1]}×{mask.shape[0]} pixels, but the DICOM image has "
                f"{source[1]}×{source[0]}; is it the file that was imported?"
            )
        mask = mask.astype(bool, copy=False)
        found[label] = mask if mask.shape == source else to_source(mask, source)
    return found
