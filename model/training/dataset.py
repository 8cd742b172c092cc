"""Images with their masks: examples for training, and folders of image files beside mask files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from model.imaging.decoding import Grey, ImageError, decode_image
from model.imaging.preprocessing import PreprocessingSettings, preprocess

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
PAINTED = 255
"""A mask file that holds this value is painted (background 0, object 255), not indexed."""
HALF_PAINTED = 128


class DatasetError(ValueError):
    """Images or masks that cannot be learned from; the sentence says which and why."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image with its mask, both on the canvas of `preprocess`.

    Attributes:
        key: names the image; training and validation keys must not overlap.
        image: uint8 (h, w) canvas.
        mask: uint8 (h, w) label map on the same canvas; 0 = background.
        weight: of its pixels in the loss, in (0, 1].
    """

    key: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    weight: float = 1.0


def make_example(
    key: str,
    image: NDArray[np.uint8] | NDArray[np.uint16],
    mask: NDArray[np.uint8],
    preprocessing: PreprocessingSettings,
) -> Example:
    """Bring an image (H, W) and its label map (H, W) onto the network's canvas.

    Raises:
        DatasetError: image and mask differ in size.
    """
    _check_size(key, image, mask)
    canvas, frame = preprocess(image, preprocessing)
    return Example(key, canvas, frame.forward_mask(mask))


@dataclass(frozen=True)
class FolderSample:
    """An image file and the mask file of the same stem."""

    stem: str
    image_path: Path
    mask_path: Path


def read_folder(images: Path, masks: Path) -> list[FolderSample]:
    """Pair the image files of two folders by stem, sorted by stem; other files are left alone.

    Raises:
        DatasetError: a folder is missing or empty, a stem has no partner, or two files share a stem.
    """
    image_files, mask_files = _by_stem(images), _by_stem(masks)
    for files, others, what in ((image_files, mask_files, "mask"), (mask_files, image_files, "image")):
        lonely = sorted(files.keys() - others.keys())
        if lonely:
            raise DatasetError(f"No {what} for {_listing(lonely)}; images and masks must share their stems.")
    if not image_files:
        raise DatasetError(f"{images} holds no images; give a folder with files such as .png or .jpg.")
    return [FolderSample(stem, image_files[stem], mask_files[stem]) for stem in sorted(image_files)]


def read_sample(sample: FolderSample) -> tuple[Grey, NDArray[np.uint8]]:
    """Read a sample's grey image (H, W) and its label map (H, W).

    Raises:
        DatasetError: one of the files cannot be used, or they differ in size.
    """
    try:
        image = decode_image(sample.image_path.read_bytes())
    except ImageError as error:
        raise DatasetError(f"{sample.image_path.name}: {error}") from error
    mask = read_mask(sample.mask_path)
    _check_size(sample.stem, image, mask)
    return image, mask


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask file as a label map (H, W).

    The rule: a mask in which the value 255 occurs is *painted*; its pixels of at least 128 become label 1
    and the others background (so 0/255 files, antialiased or not, work). In any other mask the values *are*
    class indices; palette images keep their indices, not their colours.

    Raises:
        DatasetError: the file is no image, is coloured, or holds values beyond 8 bits.
    """
    try:
        with Image.open(path) as file:
            values = np.asarray(file)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path.name} cannot be read as a mask: {error}.") from error
    if values.ndim == 3:
        colours = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        if (colours != colours[..., :1]).any():
            raise DatasetError(f"{path.name} is a colour picture; save the mask as grey or palette image.")
        values = colours[..., 0]
    if values.size == 0 or values.min() < 0 or values.max() > 255:
        raise DatasetError(f"{path.name} holds values beyond 0–255; save the mask as an 8-bit image.")
    if values.max() == PAINTED:
        return (values >= HALF_PAINTED).astype(np.uint8)
    return values.astype(np.uint8)


def folder_labels(samples: Sequence[FolderSample], names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The foreground label names of a folder, in the order of their class indices.

    Reads every mask for the largest index. With `names`, there must be one for each index in use, and they
    are returned; without, one label is called "bone" and several "label 1", "label 2", ….

    Raises:
        DatasetError: all masks are empty and no names are given, or names are too few or repeated.
    """
    largest = max((int(read_mask(sample.mask_path).max()) for sample in samples), default=0)
    if names is not None:
        if len(names) < largest:
            raise DatasetError(f"The masks use class index {largest} but only {len(names)} labels are named.")
        if len(set(names)) < len(names):
            raise DatasetError(f"A label is named twice in {', '.join(names)}; give each its own name.")
        return tuple(names)
    if largest == 0:
        raise DatasetError("Every mask is empty; name the labels, or give masks that mark something.")
    return ("bone",) if largest == 1 else tuple(f"label {index}" for index in range(1, largest + 1))


def _check_size(key: str, image: Grey, mask: NDArray[np.uint8]) -> None:
    if image.shape != mask.shape:
        raise DatasetError(
            f"The mask of {key} has {mask.shape[0]}×{mask.shape[1]} pixels but its image "
            f"{image.shape[0]}×{image.shape[1]}; give a mask of the image's size."
        )


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give the folder that holds the files.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        if path.stem in found:
            raise DatasetError(f"{found[path.stem].name} and {path.name} share a stem; keep one of them.")
        found[path.stem] = path
    return found


def _listing(stems: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(stems) - shown} more" if len(stems) > shown else ""
    return ", ".join(stems[:shown]) + more
