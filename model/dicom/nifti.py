"""Masks as a NIfTI label map, one slice thick."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.dicom import DicomError, require
from model.dicom.header import check, ratio_and_spacing, read_header
from model.dicom.masks import Masks, in_source
from model.dicom.shape import shown_size
from model.imaging.decoding import MAX_PIXELS

COMMENT = 6
"""Code of a NIfTI header extension that is text."""


def write_nifti(
    masks: Masks,
    out: Path,
    *,
    spacing: tuple[float, float] | None = None,
    source: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, int]:
    """Write masks as a NIfTI label map, uint8 (columns, rows, 1); returns the value of each label, from 1.

    The first axis runs along the rows of the image to the right, the second down. A radiograph has no
    position in the patient, so the affine holds only the distances of the pixels, in mm (1 where they are not
    known), with the signs under which ITK reads a plain image: programs show it upright. The header names
    the labels as JSON, {value: label}, in an extension of the kind "comment"; there is nothing else from
    the source in the file.

    Args:
        masks: by label name; with a source in the size that annotators saw or in its own. They are disjoint
            if they come from a label map.
        out: the file to write, .nii or .nii.gz.
        spacing: distances of rows and of columns in mm, if there is no source.
        source: the DICOM file of the image; the label map has its pixels and its spacing.
        max_pixels: largest image of a source.

    Raises:
        DicomMissingError: the extra `dicom` is not installed.
        DicomError: the source is unusable, there are more than 255 labels, masks overlap or differ in size.
        OSError: a file cannot be read or written.
    """
    require()
    import nibabel

    size = next((mask.shape for mask in masks.values()), (0, 0))
    shown = size
    if source is not None:
        header = read_header(source, pixels=False)
        size, _ = check(header, max_pixels)
        ratio, spacing = ratio_and_spacing(header, [])
        shown = shown_size(size, ratio)
    labels, legend = _label_map(in_source(masks, (size[0], size[1]), (shown[0], shown[1])))
    rows, columns = spacing or (1.0, 1.0)
    affine = np.diag([-columns, -rows, 1.0, 1.0])
    image = nibabel.Nifti1Image(labels.T[..., None], affine)
    image.header.set_xyzt_units("mm")
    named = json.dumps({str(value): label for label, value in legend.items()}, ensure_ascii=False)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT, named.encode()))
    nibabel.save(image, out)
    return legend


def _label_map(masks: dict[str, NDArray[np.bool_]]) -> tuple[NDArray[np.uint8], dict[str, int]]:
    if len(masks) > np.iinfo(np.uint8).max:
        raise DicomError(f"A NIfTI label map holds 255 labels, but there are {len(masks)}.")
    first = next(iter(masks.values()))
    labels = np.zeros(first.shape, np.uint8)
    legend = {}
    for value, (label, mask) in enumerate(masks.items(), start=1):
        if labels[mask].any():
            raise DicomError(
                f"{label} overlaps another label, which a NIfTI label map cannot hold; write DICOM-SEG."
            )
        labels[mask] = value
        legend[label] = value
    return labels, legend
