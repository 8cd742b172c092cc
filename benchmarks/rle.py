"""Masks of 2000×1500: our brush codec compared with the SDK's, and each form of regions written and read.

Usage: python benchmarks/rle.py [--pairs N]

Each pair times the SDK's codec and then ours on the same mask; the ratio is the median over pairs, so that
other load on the machine affects both alike. The script asserts that both write the same bytes.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from numpy.typing import NDArray

from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions import masks, rle
from model.consistency import dice

HEIGHT, WIDTH = 2000, 1500
BONES = 19
FORMS = ("BrushLabels", "BitmaskLabels", "PolygonLabels", "VectorLabels", "EllipseLabels", "RectangleLabels")


def main() -> None:
    """Print a table of codecs and one of forms."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=9, help="timings of each operation; the median is shown")
    pairs = parser.parse_args().pairs
    bones = draw_bones()
    print(f"{'mask':<12}{'runs':>8}{'bytes':>9}  {'':<8}{'SDK ms':>9}{'ours ms':>9}{'ratio':>8}")
    for name, mask in (("bones", np.where(bones, 255, 0).astype(np.uint8)), ("rough edges", draw_noise())):
        compare(name, mask, pairs)
    heads = f"{'regions':>7}{'kB JSON':>9}{'write ms':>10}{'read ms':>9}{'lowest DSC':>11}"
    print(f"\n{BONES} labels as      {heads}")
    for form in FORMS:
        measure(form, bones, pairs)


def measure(form: str, bones: NDArray[np.uint8], pairs: int) -> None:
    """Print the row of one form; every bone is a label."""
    labels = "".join(f'<Label value="Bone {index}"/>' for index in range(1, BONES + 1))
    control = f'<{form} name="mask" toName="image" closable="true">{labels}</{form}>'
    config = parse(f'<View><Image name="image" value="$image"/>{control}</View>')
    written = masks.results(bones, config)
    found = masks.label_map(written, config, (HEIGHT, WIDTH)).label_map
    assert found is not None
    least = min(dice(found == index, bones == index) for index in range(1, BONES + 1))
    write = median(seconds(masks.results, bones, config) for _ in range(pairs))
    read = median(seconds(masks.label_map, written, config, (HEIGHT, WIDTH)) for _ in range(pairs))
    size = len(json.dumps(written)) / 1000
    print(f"{form:<18}{len(written):>7}{size:>9.0f}{write * 1e3:>10.1f}{read * 1e3:>9.1f}{least:>11.4f}")


def compare(name: str, mask: NDArray[np.uint8], pairs: int) -> None:
    """Print the rows of one mask, after checking that both codecs agree."""
    stream = rle.encode(mask)
    assert stream == mask2rle(mask), "the encoders disagree"
    alphas = decode_rle(stream).reshape(HEIGHT, WIDTH, 4)[..., 3]
    assert np.array_equal(rle.decode(stream, HEIGHT, WIDTH), alphas), "the decoders disagree"
    runs = len(rle.runs_of(mask).lengths)
    rows: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "encode": (lambda: mask2rle(mask), lambda: rle.encode(mask)),
        "decode": (lambda: decode_rle(stream), lambda: rle.decode(stream, HEIGHT, WIDTH)),
    }
    for row, (sdk, ours) in rows.items():
        timed = [(seconds(sdk), seconds(ours)) for _ in range(pairs)]
        theirs, mine = (median(column) * 1e3 for column in zip(*timed, strict=True))
        ratio = median(one / other for one, other in timed)
        print(f"{name:<12}{runs:>8}{len(stream):>9}  {row:<8}{theirs:>9.1f}{mine:>9.2f}{ratio:>7.1f}×")


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def draw_bones() -> NDArray[np.uint8]:
    """A label map (H, W) of long ellipses, about 6 000 runs."""
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for index in range(BONES):
        centre = (150 + index % 5 * 300, 250 + index // 5 * 500)
        cv2.ellipse(labels, centre, (60, 165), 8.0 * index, 0, 360, index + 1, -1)
    return labels


def draw_noise() -> NDArray[np.uint8]:
    """A mask (H, W) of 0 and 255 with rough edges, about 65 000 runs."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 10)
    return np.where(noise > noise.mean(), 255, 0).astype(np.uint8)


if __name__ == "__main__":
    main()
