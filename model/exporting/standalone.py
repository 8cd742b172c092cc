"""Draw masks with an exported network, without dsal.

    python segment.py IMAGES… --out DIR     masks as PNG, pixels are class indices (0/255 for one label)
    python segment.py --check               compare three masks with those of dsal

It needs numpy, opencv-python-headless, Pillow, and onnxruntime or torch; see requirements.txt. README.md
describes each step.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.imaging.decoding import ImageError, decode_image
from model.imaging.masks import hard_mask
from model.imaging.preprocessing import PreprocessingSettings, preprocess, to_network

HERE = Path(__file__).resolve().parent
ALLOWED = 1e-4
"""Most pixels that may differ in --check, as a share: boundaries where two classes are equally probable."""


class Network:
    """The exported network with the description beside it."""

    def __init__(self, folder: Path = HERE) -> None:
        self.about: dict[str, Any] = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        self.labels: list[str] = self.about["labels"]
        self._settings = PreprocessingSettings.from_dict(self.about["preprocessing"])
        path = folder / self.about["file"]
        self._run = _onnx(path) if path.suffix == ".onnx" else _torchscript(path)

    def masks(self, image: NDArray[np.uint8 | np.uint16]) -> dict[str, NDArray[np.uint8]]:
        """The label maps (H, W) of the lower, middle and final classifier for a grey image (H, W)."""
        canvas, frame = preprocess(image, self._settings)
        heads = self._run(to_network(canvas)[np.newaxis])
        threshold = self.about["threshold"]
        return {
            name: hard_mask(head[0], frame, threshold)
            for name, head in zip(self.about["outputs"], heads, strict=True)
        }


def _onnx(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda canvas: session.run(None, {"canvas": canvas})


def _torchscript(path: Path) -> Any:
    import torch

    module = torch.jit.load(str(path)).eval()

    def run(canvas: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            return [head.numpy() for head in module(torch.from_numpy(canvas))]

    return run


def check(network: Network) -> int:
    """Compare the masks of the images in check/ with those that dsal drew; the exit status."""
    worst = 0.0
    for path in sorted((HERE / "check").glob("*-image.png")):
        masks = network.masks(decode_image(path.read_bytes()))
        for head, mask in masks.items():
            expected = cv2.imread(
                str(path.with_name(path.name.replace("-image", f"-{head}"))), cv2.IMREAD_GRAYSCALE
            )
            share = float((mask != expected).mean())
            worst = max(worst, share)
            print(f"{path.name} {head}: {int((mask > 0).sum())} pixels labelled, {share:.1e} differ")
    print(f"at most {worst:.1e} of the pixels differ; allowed are {ALLOWED:.0e}")
    return int(worst > ALLOWED)


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("masks"))
    parser.add_argument("--head", choices=("lower", "middle", "final"), default="final")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    network = Network()
    if options.check:
        return check(network)
    if not options.images:
        parser.error("give images, or --check")
    options.out.mkdir(parents=True, exist_ok=True)
    factor, failed = 255 if len(network.labels) == 1 else 1, 0
    written: set[str] = set()
    for path in options.images:
        try:
            mask = network.masks(decode_image(path.read_bytes()))[options.head]
        except (ImageError, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
            continue
        name, number = path.stem, 1
        while name in written:
            number += 1
            name = f"{path.stem}-{number}"
        written.add(name)
        (options.out / f"{name}.png").write_bytes(cv2.imencode(".png", mask * factor)[1].tobytes())
    print(f"{len(options.images) - failed} masks in {options.out}; labels: {', '.join(network.labels)}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
