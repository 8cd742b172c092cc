"""The folder of an exported network: the network, its description, the steps as code, and three checks."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import model
from model.exporting.network import FORMATS, INPUT, OUTPUTS, NetworkExportError
from model.exporting.readme import readme
from model.imaging import borders, decoding, frame, masks, preprocessing
from model.segmenter import Segmenter
from model.weights import Card, load_version

STEPS = (decoding, borders, frame, preprocessing, masks)
"""The modules between an image file and its label map, which are copied as they are."""
RUNTIMES = {"onnx": "onnxruntime", "torchscript": "torch"}


def export_network(
    version: Path,
    folder: Path,
    form: str,
    checks: Mapping[str, NDArray[np.uint8 | np.uint16]],
    *,
    threshold: float | None = None,
) -> Card:
    """Export a version's network to a new folder; it appears there whole or not at all.

    Args:
        version: the version's folder.
        folder: where to; must not exist, or be empty.
        form: one of `FORMATS`.
        checks: grey images by name, whose masks are written beside them as this program draws them.
        threshold: of the masks, see `model.imaging.masks.hard_mask`.

    Raises:
        NetworkExportError: the folder is not empty, or a package is missing.
        WeightsError: the version cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NetworkExportError(f"{folder} exists and is not empty; give --out a new folder.")
    network, card = load_version(version)
    file, save = FORMATS[form]
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save(network, draft / file)
        about = _about(card, file, network.settings.stride, threshold)
        _write(draft / "network.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        _write(draft / "README.md", readme(card, form, file, threshold))
        _write(draft / "requirements.txt", _requirements(form))
        _copy_steps(draft)
        _write_checks(draft / "check", version, checks, threshold)
        draft.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card


def _about(card: Card, file: str, stride: int, threshold: float | None) -> dict[str, Any]:
    return {
        "format": 1,
        "file": file,
        "version": card.name,
        "labels": list(card.labels),
        "input": {"name": INPUT, "shape": ["images", 1, "height", "width"], "type": "float32"},
        "input_range": [0.0, 1.0],
        "multiple": stride,
        "outputs": list(OUTPUTS),
        "output_shape": ["images", len(card.labels) + 1, "height", "width"],
        "output_meaning": "probabilities, background first, then the labels in order",
        "preprocessing": card.preprocessing.to_dict(),
        "constants": {
            "rim": preprocessing.RIM,
            "toe": preprocessing.TOE,
            "shoulder": preprocessing.SHOULDER,
            "empty_share": borders.EMPTY_SHARE,
            "margin": borders.MARGIN,
            "min_content_share": borders.MIN_CONTENT_SHARE,
            "canvas_multiple": frame.MULTIPLE,
        },
        "threshold": threshold,
        "metrics": card.metrics,
    }


def _copy_steps(folder: Path) -> None:
    """The script and the modules that it needs, under names of their own."""
    (folder / "imaging").mkdir()
    _write(folder / "imaging" / "__init__.py", '"""Copied from dsal: the steps around the network."""\n')
    for module in STEPS:
        path = Path(str(module.__file__))
        _write(folder / "imaging" / path.name, _on_its_own(path))
    _write(folder / "segment.py", _on_its_own(Path(__file__).with_name("standalone.py")))
    licence = Path(str(model.__file__)).parents[1] / "LICENSE"
    if licence.is_file():
        shutil.copyfile(licence, folder / "LICENSE")


def _on_its_own(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("from model.imaging.", "from imaging.")


def _write_checks(
    folder: Path,
    version: Path,
    images: Mapping[str, NDArray[np.uint8 | np.uint16]],
    threshold: float | None,
) -> None:
    # In float32, as the exported network computes; bf16 differs in a few more pixels of boundaries.
    segmenter = Segmenter(version, engine="torch", device="cpu", precision="fp32")
    folder.mkdir()
    for name, image in images.items():
        cv2.imwrite(str(folder / f"{name}-image.png"), image)
        found = segmenter.segment([image], threshold=threshold)[0]
        for head in OUTPUTS:
            cv2.imwrite(str(folder / f"{name}-{head}.png"), getattr(found, head))


def _requirements(form: str) -> str:
    named = ("numpy", "opencv-python-headless", "pillow", RUNTIMES[form])
    lines = []
    for name in named:
        try:
            lines.append(f"{name}=={metadata.version(name).partition('+')[0]}")
        except metadata.PackageNotFoundError:
            lines.append(name)
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
