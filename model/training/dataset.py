"""Examples for training (image and mask on the canvas), and data sets of image files with mask files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.imaging.decoding import DAMAGED, FORMATS, Grey, ImageError, decode_image
from model.imaging.files import IMAGE_SUFFIXES, as_text
from model.imaging.preprocessing import PreprocessingSettings, preprocess

NAMES_FILE = "labels.txt"
"""File in a folder of masks with the names of the labels: one a line, in the order of the class indices."""
PAINTED = 255
"""A mask file that contains this value is painted (background 0, object 255) instead of indexed."""
PAINTED_THRESHOLD = 128
"""Values of a painted mask from here on are the object."""


class DatasetError(ValueError):
    """Images or masks cannot be used for training; the message is one sentence that says which and why."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image with its mask, both on the canvas of `preprocess`.

    Attributes:
        key: name of the image; training and validation keys must not overlap.
        image: uint8 (h, w) canvas.
        mask: uint8 (h, w) label map on the same canvas; 0 is background, 255 unknown.
        weight: weight of the example in the training loss, in (0, 1].
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
    """Map an image (H, W) and its label map (H, W) to the network's canvas.

    Raises:
        DatasetError: image and mask differ in size.
        PreprocessingError: the image cannot be used, see `preprocess`.
    """
    _check_size(key, image, mask)
    canvas, frame = preprocess(image, preprocessing)
    return Example(key, canvas, frame.forward_mask(mask))


@dataclass(frozen=True)
class FolderSample:
    """An image file and its mask file, which have the same stem."""

    stem: str
    image_path: Path
    mask_path: Path


def read_folder(images: Path, masks: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[FolderSample]:
    """Pair image and mask files by stem, sorted by stem; files of other types are left out.

    Images have one of `suffixes`, masks one of `IMAGE_SUFFIXES`. `left_out` names the others.

    Raises:
        DatasetError: a folder is missing or empty, a stem has no counterpart, or two files of a folder share
            a stem.
    """
    image_files, mask_files = _by_stem(images, suffixes), _by_stem(masks, IMAGE_SUFFIXES)
    for files, others, what in ((image_files, mask_files, "mask"), (mask_files, image_files, "image")):
        unpaired = sorted(files.keys() - others.keys())
        if unpaired:
            missing = (masks, IMAGE_SUFFIXES) if what == "mask" else (images, suffixes)
            hint = _hint(unpaired, *missing)
            raise DatasetError(
                f"No {what} for {_listing(unpaired)}; images and masks must share stems.{hint}"
            )
    if not image_files:
        raise DatasetError(f"{images} contains no images; give a folder with files such as .png or .jpg.")
    return [FolderSample(stem, image_files[stem], mask_files[stem]) for stem in sorted(image_files)]


def left_out(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> dict[str, str]:
    """What is in a folder of images or masks and is not read: {file name: reason}, sorted by name.

    Hidden files, which operating systems and tools leave behind, are not listed.
    """
    known = ", ".join(sorted(suffixes))
    reasons: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if not path.is_file():
            reasons[path.name] = "folders within the folder are not read"
        elif path.suffix.lower() not in suffixes:
            kind = f"files of type {path.suffix}" if path.suffix else "files without a suffix"
            reasons[path.name] = f"{kind} are not read, only {known}"
    return reasons


def left_out_sentences(
    images: Path | None, masks: Path | None = None, suffixes: Collection[str] = IMAGE_SUFFIXES
) -> list[str]:
    """One line for each reason why files in these folders are not read, with the names of all of them.

    `suffixes` are those of the images that are read.
    """
    sentences = []
    for folder, read in ((images, suffixes), (masks, IMAGE_SUFFIXES)):
        names: dict[str, list[str]] = {}
        for name, reason in left_out(folder, read).items() if folder is not None else ():
            names.setdefault(reason, []).append(name)
        sentences += [
            f"left out of {folder}: {', '.join(several)}: {reason}" for reason, several in names.items()
        ]
    return sentences


def _picture(path: Path) -> Grey:
    return decode_image(path.read_bytes())


def read_sample(
    sample: FolderSample, read: Callable[[Path], Grey] = _picture
) -> tuple[Grey, NDArray[np.uint8]]:
    """Read the grey image (H, W) of a sample, by `read`, and its label map (H, W).

    Raises:
        DatasetError: one of the files cannot be used, or they differ in size.
    """
    try:
        image = read(sample.image_path)
    except ImageError as error:
        raise DatasetError(f"{sample.image_path.name}: {error}") from error
    mask = read_mask(sample.mask_path)
    _check_size(sample.stem, image, mask)
    return image, mask


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask file as a label map (H, W).

    A mask that contains the value 255 is *painted*: values of at least 128 are label 1, smaller ones
    background, so antialiased 0/255 files work too. In any other mask the values *are* class indices; for
    palette images these are the palette indices.

    Raises:
        DatasetError: the file is not an image, has colours, contains values outside 0–255, or is a palette
            image in colours with the index 255, which says that nobody knows the label.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            values = np.asarray(file)
            is_indexed = file.mode == "P" and _is_coloured(file)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path.name} cannot be read as a mask: {error}.") from error
    if values.ndim == 3:
        colours = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        if (colours != colours[..., :1]).any():
            raise DatasetError(f"{path.name} is a colour image; save the mask as a grey or palette image.")
        values = colours[..., 0]
    if values.size == 0 or values.min() < 0 or values.max() > 255:
        raise DatasetError(f"{path.name} contains values outside 0–255; save the mask as an 8-bit image.")
    if values.max() == PAINTED and is_indexed:
        raise DatasetError(
            f"{path.name} has pixels whose label is unknown (index 255); leave it out, or draw them."
        )
    if values.max() == PAINTED:
        return (values >= PAINTED_THRESHOLD).astype(np.uint8)
    return values.astype(np.uint8)


def _is_coloured(file: Image.Image) -> bool:
    """Whether a palette image shows other colours than shades of grey."""
    palette = np.array(file.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def folder_labels(
    samples: Sequence[FolderSample],
    names: Sequence[str] | None = None,
    *,
    otherwise: Sequence[str] = (),
) -> tuple[str, ...]:
    """The foreground label names of a data set, in the order of their class indices.

    They are the given `names`, or else the lines of `NAMES_FILE` in the folder of the masks, or else those of
    `otherwise` if that has one for each class index in use, or else "label 1", "label 2" and so on. Every
    mask is read to find the largest class index; names may be more.

    Raises:
        DatasetError: a file cannot be read, all masks are empty and nothing names the labels, or names are
            too few, empty or repeated.
    """
    largest = max((int(read_mask(sample.mask_path).max()) for sample in samples), default=0)
    names = names or _named_in_folder(samples)
    if names is not None:
        if len(names) < largest:
            raise DatasetError(
                f"The masks use class index {largest}, but only {len(names)} labels are named; name them all."
            )
        if len(set(names)) < len(names):
            raise DatasetError(f"A label is named twice in {', '.join(names)}; give each label its own name.")
        if not all(names):
            raise DatasetError("A label has an empty name; give each label a name.")
        return tuple(names)
    if otherwise and len(otherwise) == largest:
        return tuple(otherwise)
    if largest == 0:
        raise DatasetError("Every mask is empty; name the labels, or give masks that contain a label.")
    return tuple(f"label {index}" for index in range(1, largest + 1))


def _named_in_folder(samples: Sequence[FolderSample]) -> list[str] | None:
    path = samples[0].mask_path.with_name(NAMES_FILE) if samples else None
    if path is None or not path.is_file():
        return None
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").strip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); write one label a line, in UTF-8.") from error


def _check_size(key: str, image: Grey, mask: NDArray[np.uint8]) -> None:
    if image.shape != mask.shape:
        raise DatasetError(
            f"The mask of {key} has {mask.shape[0]}×{mask.shape[1]} pixels, but its image "
            f"has {image.shape[0]}×{image.shape[1]}; give a mask of the same size as the image."
        )


def _by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give the folder that contains the files.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        # Stems are hashed and stored, which a name that is no UTF-8 cannot be.
        stem = as_text(path.stem)
        if stem in found:
            raise DatasetError(f"{found[stem].name} and {path.name} share a stem; keep one of them.")
        found[stem] = path
    return found


def _hint(stems: Sequence[str], folder: Path, suffixes: Collection[str]) -> str:
    """Names the first file with one of these stems that is left out, with the reason."""
    for name, reason in left_out(folder, suffixes).items():
        if as_text(Path(name).stem) in stems:
            return f" {name} is left out: {reason}."
    return ""


def _listing(stems: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(stems) - shown} more" if len(stems) > shown else ""
    return ", ".join(stems[:shown]) + more
