"""Small trained networks, because tolerances mean nothing for random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.imaging.preprocessing import PreprocessingSettings, to_network
from model.loss import DeepSupervisionLoss
from model.network import DeeplySupervisedUNet, NetworkSettings, Norm
from model.weights import Card, save_version

Drawing = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]

SETTINGS = PreprocessingSettings(size=160, crop=False)
LABELS = ("dark disc", "bright disc")
STEPS = 25


def drawn(seed: int, height: int = 160, width: int = 128) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A noisy grey image with two kinds of ellipses, and its label map."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 100, np.float32)
    labels = np.zeros((height, width), np.uint8)
    for index in (1, 2, 1, 2):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = tuple(int(length) for length in rng.integers(width // 12, width // 5, 2))
        angle = float(rng.integers(180))
        cv2.ellipse(image, centre, axes, angle, 0, 360, 40 if index == 1 else 190, -1)
        cv2.ellipse(labels, centre, axes, angle, 0, 360, index, -1)
    image += rng.normal(0, 12, image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _pairs(seed: int, height: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of two images with their label maps; a disc beyond the classes is background."""
    drawings = [drawn(seed + place, height, width) for place in range(2)]
    labels = np.stack([np.where(labels < classes, labels, 0) for _, labels in drawings])
    return torch.from_numpy(np.stack([to_network(image) for image, _ in drawings])), torch.from_numpy(labels)


def _train(network: DeeplySupervisedUNet, classes: int) -> None:
    """A few large steps on images half as large as those of the tests, with discs half as large."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    loss = DeepSupervisionLoss()
    network.train()
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
        images, labels = _pairs(2 * step, 80, 64, classes)
        optimiser.zero_grad()
        loss(network(images), labels.long()).backward()
        optimiser.step()
    _settle(network, classes)
    network.eval()


def _settle(network: DeeplySupervisedUNet, classes: int) -> None:
    """Recompute batch norm statistics over whole images; after few steps they are those of the first ones."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for step in range(6):
            network(_pairs(2000 + 2 * step, 160, 128, classes)[0])


def _trained_version(directory: Path, labels: tuple[str, ...], norm: Norm = "batch") -> Path:
    torch.manual_seed(0)
    network = DeeplySupervisedUNet(NetworkSettings(classes=len(labels) + 1, width=8, norm=norm))
    _train(network, len(labels) + 1)
    save_version(directory, network, Card("taught", labels, network.settings, SETTINGS))
    return directory


@pytest.fixture(scope="session")
def draw() -> Drawing:
    """Draws images like those that the trained versions were trained on."""
    return drawn


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with one label, trained for a few seconds."""
    return _trained_version(tmp_path_factory.mktemp("versions") / "one", LABELS[:1])


@pytest.fixture(scope="session")
def version_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `version`, with two labels."""
    return _trained_version(tmp_path_factory.mktemp("versions") / "two", LABELS)


@pytest.fixture(scope="session")
def version_of_instance_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with two labels and instance norm, which cannot be folded into a convolution."""
    return _trained_version(tmp_path_factory.mktemp("versions") / "instance", LABELS, "instance")


@pytest.fixture(scope="session")
def version_of_group_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with two labels and group norm, which cannot be folded either."""
    return _trained_version(tmp_path_factory.mktemp("versions") / "group", LABELS, "group")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Limit torch to one thread, so that its results are bit-identical."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["batch", "instance", "group"])
def any_norm(request: pytest.FixtureRequest) -> Path:
    """A version of two labels for each norm."""
    names = {"batch": "version_of_two"}
    found: Path = request.getfixturevalue(names.get(request.param, f"version_of_{request.param}_norm"))
    return found
