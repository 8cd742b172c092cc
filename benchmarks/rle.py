"""Brush masks at 2000×1500: our codec against the SDK's, and a label map to regions and back.

Usage: python benchmarks/rle.py [--pairs N]

Each pair times the SDK and then us on the same mask; the ratio is the median over pairs, so that what else
the machine does weighs on both alike. The SDK stands for every client of Label Studio: both write the same
bytes, which is asserted.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from numpy.typing import NDArray

from ml_backend.label_studio import masks, rle
from ml_backend.label_studio.label_config import default_config, parse

HEIGHT, WIDTH = 2000, 1500
BONES = 19


def main() -> None:
    """Print one table of codecs and one of label maps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=9, help="timings of each kind; the median is shown")
    pairs = parser.parse_args().pairs
    bones = draw_bones()
    print(f"{'mask':<12}{'runs':>8}{'bytes':>9}  {'':<8}{'SDK ms':>9}{'ours ms':>9}{'ratio':>8}")
    for name, mask in (("bones", np.where(bones, 255, 0).astype(np.uint8)), ("rough edges", draw_noise())):
        compare(name, mask, pairs)
    print(f"\n{'label map':<22}{'write ms':>9}{'read ms':>9}")
    one = (bones > 0).astype(np.uint8)
    for name, labels in (("one label", one), (f"{BONES} labels", bones)):
        config = parse(default_config([f"Bone {index}" for index in range(1, int(labels.max()) + 1)]))
        written = masks.results(labels, config)
        write = [seconds(masks.results, labels, config) for _ in range(pairs)]
        read = [seconds(masks.label_map, written, config, labels.shape) for _ in range(pairs)]
        print(f"{name:<22}{median(write) * 1e3:>9.2f}{median(read) * 1e3:>9.2f}")


def compare(name: str, mask: NDArray[np.uint8], pairs: int) -> None:
    """Print the rows of one mask."""
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
    """Time one call."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def draw_bones() -> NDArray[np.uint8]:
    """A label map of long ellipses, about 6 000 runs."""
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for index in range(BONES):
        centre = (150 + index % 5 * 300, 250 + index // 5 * 500)
        cv2.ellipse(labels, centre, (60, 165), 8.0 * index, 0, 360, index + 1, -1)
    return labels


def draw_noise() -> NDArray[np.uint8]:
    """A mask of 0 and 255 whose every edge is rough, about 65 000 runs."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 10)
    return np.where(noise > noise.mean(), 255, 0).astype(np.uint8)


if __name__ == "__main__":
    main()
