"""An exported network with its script: it draws the masks of the version, in a process without dsal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.exporting.folder import export_network
from model.exporting.network import NetworkExportError
from model.imaging.decoding import decode_image
from model.imaging.preprocessing import PreprocessingSettings, preprocess, to_network
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.phantom import draw_phantom
from model.segmenter import Segmenter
from model.training.dataset import read_mask
from model.weights import Card, save_version

Images = dict[str, NDArray[np.uint8 | np.uint16]]


@pytest.fixture(scope="module")
def images() -> Images:
    """Three hands: 8 bits, 16 bits with a flat border, and one smaller than the canvas."""
    first, second, third = (draw_phantom(age, seed=age, size=(300, 260)).image for age in (3, 9, 15))
    deep = np.pad(second.astype(np.uint16) * 200, 40)
    return {"a": first, "b": deep, "c": third[:100, :140]}


def script(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the exported script as its user does, without this checkout on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(folder / "segment.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_onnx_draws_the_masks_of_the_version(images: Images, tmp_path: Path) -> None:
    folder, version = tmp_path / "out", tmp_path / "version"
    torch.manual_seed(1)
    # Three levels: a smaller stride than that of the shipped weights, and a quicker export.
    network = DeeplySupervisedUNet(NetworkSettings(classes=2, width=8, levels=3)).eval()
    with torch.inference_mode():
        x = torch.from_numpy(to_network(preprocess(images["a"], PreprocessingSettings())[0]))[None]
        # So that half of its pixels have the label.
        assert network.final.bias is not None
        network.final.bias.data[0] += (network(x).final[:, 1] - network(x).final[:, 0]).median()
    save_version(version, network, Card("p1-r001-x", ("Bone",), network.settings, PreprocessingSettings()))
    export_network(version, folder, "onnx", images)
    assert "from model" not in (folder / "segment.py").read_text()
    checked = script(folder, "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("differ") == 10, "three heads of three images, and the worst"

    files = {name: tmp_path / f"{name}.png" for name in images}
    for name, path in files.items():
        cv2.imwrite(str(path), images[name])
    (tmp_path / "bad.png").write_text("no image")
    others = [tmp_path / "other" / name for name in ("a-2.png", "a.png")]
    others[0].parent.mkdir()
    for path in others:
        shutil.copy(files["a"], path)
    given = (*files.values(), tmp_path / "bad.png", *others)
    drawn = script(folder, *given, "--out", tmp_path / "masks")
    assert drawn.returncode == 1
    assert len(list((tmp_path / "masks").iterdir())) == len(files) + 2, "no mask overwrites another"
    assert "bad.png" in drawn.stderr
    segmenter = Segmenter(version, engine="torch", precision="fp32")
    for name, path in files.items():
        own = segmenter.segment([decode_image(path.read_bytes())])[0].final
        found = read_mask(tmp_path / "masks" / f"{name}.png")
        assert (found != own).mean() <= 1e-4
        assert 0 < own.mean() < 1


def test_torchscript_keeps_labels_threshold_and_settings(images: Images, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DeeplySupervisedUNet(NetworkSettings(classes=4, width=4)).eval()
    labels = ("Tibia", "Femur", "Growth plate")
    settings = PreprocessingSettings(size=200, crop=False, clip_limit=0)
    save_version(tmp_path / "version", network, Card("p1-r002-x", labels, network.settings, settings))
    export_network(tmp_path / "version", tmp_path / "out", "torchscript", images, threshold=0.4)
    checked = script(tmp_path / "out", "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    about = json.loads((tmp_path / "out" / "network.json").read_text())
    assert about["labels"] == list(labels)
    assert about["preprocessing"] == settings.to_dict()
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "at least 0.4" in readme
    assert "No CLAHE" in readme
    assert "Growth plate" in readme
    # A mask that differs is found.
    path = tmp_path / "out" / "check" / "a-final.png"
    cv2.imwrite(str(path), 3 - read_mask(path))
    assert script(tmp_path / "out", "--check").returncode == 1
    with pytest.raises(NetworkExportError, match="not empty"):
        export_network(tmp_path / "version", tmp_path / "out", "torchscript", images)
