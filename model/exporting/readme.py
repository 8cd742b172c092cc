"""The README of an exported network: every step from a file to a mask, with its numbers."""

from __future__ import annotations

from model.exporting.network import INPUT
from model.imaging import borders, frame, preprocessing
from model.weights import Card


def readme(card: Card, form: str, file: str, threshold: float | None) -> str:
    """The text, in Markdown."""
    settings = card.preprocessing
    labels = "\n".join(f"| {index} | {label} |" for index, label in enumerate(card.labels, start=1))
    crop = (
        "Cut off rows and columns at each side while they are flat: they span less than "
        f"{borders.EMPTY_SHARE:.0%} of the median row or column, on a copy of {borders.REDUCED_SIDE} pixels. "
        f"Add {borders.MARGIN:.0%} of the longer side again. If less than {borders.MIN_CONTENT_SHARE:.0%} of "
        "the image would be left, cut nothing."
        if settings.crop
        else "Nothing is cut off."
    )
    clahe = (
        f"CLAHE with clip limit {settings.clip_limit:g}, in tiles of about {settings.tile} pixels of the "
        "canvas (the number of tiles a side is the side / the tile, rounded, at least 1)."
        if settings.clip_limit
        else "No CLAHE."
    )
    rule = (
        "the most probable class; of equal ones, the lower index"
        if threshold is None
        else f"the most probable label where 1 − the background's probability is at least {threshold:g}"
    )
    return f"""# {card.name}

`{file}` is the network of this version ({form}); `segment.py` draws masks with it, and `imaging/` has
each step below as code. `network.json` has all numbers.

    pip install -r requirements.txt
    python segment.py --check
    python segment.py image.png --out masks

| index | label |
|---|---|
| 0 | background |
{labels}

## From a file to the network

1. **Decode** to grey, 8 or 16 bits: ITU-R 601 luma, transparency over black, the EXIF orientation applied
   as a browser does (`decoding.py`).
2. **Crop.** {crop} (`borders.py`)
3. **Resize** in float32: the longer side of the content to {settings.size} pixels, the other in
   proportion, both rounded; area averages where a side shrinks, else bilinear (`frame.py`).
4. **Stretch**: percentiles {settings.dark_percentile:g} and {settings.bright_percentile:g} of the content,
   without the outer {preprocessing.RIM:.0%} of each side, become {preprocessing.TOE} and
   {preprocessing.SHOULDER}; linear between, and from the darkest and to the brightest value; rounded to
   0–255 (`preprocessing.py`).
5. {clahe}
6. **Pad** at the right and bottom with 0 to multiples of {frame.MULTIPLE}; divide by 255.

Input `{INPUT}`: float32 (N, 1, height, width). Outputs `lower`, `middle`, `final`: float32
(N, {len(card.labels) + 1}, height, width), the probabilities of the three classifiers. The masks of dsal
are `final`; its consistency score is the mean of the Dice of `lower` and of `middle` with `final`.

## From the network to a mask

7. Take the content's part of the canvas, and enlarge each class to the size of the crop: bilinear, by area
   where a side shrinks. Outside the crop everything is background (`frame.py`).
8. A pixel gets {rule} (`masks.py`).

`--check` compares with masks that dsal drew in float32. Where it computes in bf16 (PRECISION, on processors
and GPUs that have it), 0.4 to 2 in 10 000 pixels differ, all on boundaries. In Label Studio, dsal also drops
specks and fills small holes of the masks that annotators edit.
"""
