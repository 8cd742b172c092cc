"""The command `segment`: one image, segmented and corrected by clicks and boxes, without Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import output
from ml_backend.cli.exits import WrongUseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from model.interaction.prompts import Mark
    from model.segmenter import Segmenter

SIGNS = {"+": True, "-": False}


def segment(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="The image, also DICOM (.dcm).", exists=True, dir_okay=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="PNG file for the mask: 0/255 for one label, class indices for several.",
            dir_okay=False,
            metavar="FILE",
        ),
    ],
    click: Annotated[
        list[str] | None,
        typer.Option(
            "--click",
            metavar="X,Y[,LABEL][,-]",
            help="A click in pixels from the top left, on what belongs to the label, or with - at the end on "
            "what does not. May be given several times.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            metavar="LEFT,TOP,RIGHT,BOTTOM[,LABEL]",
            help="A box around an object, in pixels. May be given several times; boxes precede clicks.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="NAME", help="The label of clicks and boxes that name none."),
    ] = None,
    version: Annotated[
        Path | None,
        typer.Option(
            "--version",
            help="Folder of the version; by default the shipped weights.",
            file_okay=False,
            metavar="DIR",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", help="Mask to correct, instead of the version's own.", exists=True, dir_okay=False
        ),
    ] = None,
    blank: Annotated[bool, typer.Option("--blank", help="Begin with an empty mask.")] = False,
) -> None:
    """Segment one image, and correct the mask by clicks and boxes.

    Each click and box changes only what it is about, as in Label Studio. Without any, the mask is that of the
    version.

    Example: `dsal segment hand.png --click 310,220 --click 90,40,- --out mask.png`
    """
    if mask is not None and blank:
        raise WrongUseError("Give --mask or --blank, not both.")
    marks = [*(_read(text, 4) for text in box or ()), *(_read(text, 2) for text in click or ())]
    import cv2

    from model.imaging.files import ImageFiles
    from model.pretrained import pretrained_version
    from model.segmenter import Segmenter

    segmenter = Segmenter(version or pretrained_version())
    with ImageFiles() as files:
        grey = files.read(image)
    named = [(mark, _label(segmenter, own or label)) for mark, own in marks]
    labels = _begin(segmenter, grey, mask, blank)
    opened = segmenter.open(grey)
    sizes = []
    for place, (_, name) in enumerate(named):
        index = segmenter.labels.index(name) + 1
        prompts = tuple(mark for mark, other in named[: place + 1] if other == name)
        found = segmenter.refine(opened, labels == index, prompts, label=name)
        sizes.append(int((found.mask ^ (labels == index)).sum()))
        labels[labels == index] = 0
        labels[found.mask] = index
    out.parent.mkdir(parents=True, exist_ok=True)
    factor = 255 if len(segmenter.labels) == 1 else 1
    out.write_bytes(cv2.imencode(".png", labels * factor)[1].tobytes())
    changed = f"; pixels changed by each: {', '.join(map(str, sizes))}" if marks else ""
    output().print(
        f"{out}: {int((labels > 0).sum())} pixels labelled by {segmenter.card.name}{changed}", soft_wrap=True
    )


def _label(segmenter: Segmenter, label: str | None) -> str:
    if label is None and len(segmenter.labels) == 1:
        return segmenter.labels[0]
    if label not in segmenter.labels:
        given = "A click or box names no label" if label is None else f"The version has no label {label}"
        raise WrongUseError(f"{given}; give one of {', '.join(segmenter.labels)}.")
    return label


def _begin(
    segmenter: Segmenter, grey: NDArray[np.uint8 | np.uint16], mask: Path | None, blank: bool
) -> NDArray[np.uint8]:
    """The label map (H, W) to correct."""
    import numpy as np

    from model.training.dataset import read_mask

    if blank:
        return np.zeros(grey.shape, np.uint8)
    if mask is None:
        return segmenter.segment([grey])[0].final.copy()
    labels = read_mask(mask)
    if labels.shape != grey.shape:
        raise WrongUseError(
            f"{mask} has {labels.shape[1]}×{labels.shape[0]} pixels, but the image has "
            f"{grey.shape[1]}×{grey.shape[0]}; give a mask of the same size."
        )
    if labels.max() > len(segmenter.labels):
        raise WrongUseError(
            f"{mask} has the class index {labels.max()}, but the version has {len(segmenter.labels)} labels."
        )
    return labels


def _read(text: str, numbers: int) -> tuple[Mark, str | None]:
    """A click (2 numbers) or a box (4 numbers), and the label that it names."""
    from model.interaction.prompts import Box, Click

    option, form = (
        ("--click", "X,Y[,LABEL][,-]") if numbers == 2 else ("--box", "LEFT,TOP,RIGHT,BOTTOM[,LABEL]")
    )
    parts = [part.strip() for part in text.split(",")]
    positive = parts[-1] not in SIGNS or SIGNS[parts.pop()]
    label = parts.pop() if len(parts) == numbers + 1 else None
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != numbers or (numbers == 4 and not positive):
        raise WrongUseError(f'{option} "{text}" cannot be read; write {form}.')
    if numbers == 4:
        return Box(*values), label
    return Click(values[0], values[1], positive), label
