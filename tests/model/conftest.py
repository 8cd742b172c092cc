"""A small network that has learnt something, because tolerances mean nothing for a random one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.loss import DeepSupervisionLoss
from model.network import DeeplySupervisedUNet, NetworkSettings, Norm
from model.preprocessing import PreprocessingSettings, to_network
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
    """A batch of two images with their label maps; a disc beyond the classes is ground."""
    drawings = [drawn(seed + place, height, width) for place in range(2)]
    labels = np.stack([np.where(labels < classes, labels, 0) for _, labels in drawings])
    return torch.from_numpy(np.stack([to_network(image) for image, _ in drawings])), torch.from_numpy(labels)


def _teach(network: DeeplySupervisedUNet, classes: int) -> None:
    """A few large steps on images half as large as those of the tests; so are their discs."""
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
    """Statistics of batch norms over whole images: so few steps leave those of the first steps in them."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for step in range(6):
            network(_pairs(2000 + 2 * step, 160, 128, classes)[0])


def _taught_version(directory: Path, labels: tuple[str, ...], norm: Norm = "batch") -> Path:
    torch.manual_seed(0)
    network = DeeplySupervisedUNet(NetworkSettings(classes=len(labels) + 1, width=8, norm=norm))
    _teach(network, len(labels) + 1)
    save_version(directory, network, Card("taught", labels, network.settings, SETTINGS))
    return directory


@pytest.fixture(scope="session")
def draw() -> Drawing:
    """Draws images like those that the taught versions know."""
    return drawn


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of one label, taught for seconds."""
    return _taught_version(tmp_path_factory.mktemp("versions") / "one", LABELS[:1])


@pytest.fixture(scope="session")
def version_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two labels."""
    return _taught_version(tmp_path_factory.mktemp("versions") / "two", LABELS)


@pytest.fixture(scope="session")
def version_of_instance_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two labels and a norm that cannot be folded into a convolution."""
    return _taught_version(tmp_path_factory.mktemp("versions") / "instance", LABELS, "instance")


@pytest.fixture(scope="session")
def version_of_group_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two labels and another such norm."""
    return _taught_version(tmp_path_factory.mktemp("versions") / "group", LABELS, "group")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes in one thread, so that its results are the same to the bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
