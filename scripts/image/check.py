"""Whether dsal works in the image's slimmed environment; run by the Dockerfile.

Imports every module, and what they import late, computes with both engines, and starts the embedded Redis.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
from psycopg import pq

import ml_backend
import model
from ml_backend.label_studio.client import LabelStudio
from ml_backend.queue.embedded_redis import EmbeddedRedis
from model.pretrained import pretrained_version
from model.segmenter import Segmenter

OTHERS = ("model.research.experiment", "model.research.learners", "model.exporting")
"""What these need is not in the image, as it is not in requirements.txt: extras `experiment` and `onnx`."""
LATE = (
    "gdcm",
    "highdicom.seg",
    "jpeg_ls",
    "nibabel",
    "pydicom.pixels.processing",
    "monai.metrics",
    "torch.fx",
)
"""What functions import when they are called."""


def main() -> None:
    """Raise what a user would meet."""
    names = [*modules(model), *modules(ml_backend), *LATE]
    for name in names:
        importlib.import_module(name)
    compute()
    LabelStudio("http://localhost:1", "token")
    assert pq.version() > 0
    print(f"check.py: {len(names)} modules can be imported, and both engines compute")


def modules(package: ModuleType) -> list[str]:
    """The names of all modules below a package that the image can use."""
    return [
        one.name
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not one.name.endswith("__main__")
        and "migrations" not in one.name
        and not one.name.startswith(OTHERS)
    ]


def compute() -> None:
    """Segment noise by both engines, from the shipped weights, and start the embedded Redis."""
    noise = np.random.default_rng(0).integers(0, 255, (96, 80), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder) / "version"
        shutil.copytree(pretrained_version(), version)
        for engine in ("torch", "openvino"):
            (found,) = Segmenter(version, engine=engine, device="cpu").segment([noise])
            assert found.final.shape == noise.shape
        EmbeddedRedis(Path(folder)).leave()


if __name__ == "__main__":
    main()
