"""Deeply supervised active learning for segmentation: arrays in, arrays out.

    from model import Segmenter

    segmenter = Segmenter("model/pretrained/hand-bones")
    (found,) = segmenter.segment([image])  # image: (H, W) grey values
    found.final, found.consistency.score  # (H, W) class indices; a number in [0, 1]

The package knows nothing of Label Studio, HTTP, databases or environment variables. The names in `__all__`
are its public surface; they are imported on first use, since torch takes seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.classes import Classes
    from model.consistency import Consistency, dice
    from model.imaging.decoding import ImageError, decode_image
    from model.imaging.preprocessing import PreprocessingSettings
    from model.loss import LossWeights
    from model.metrics import Evaluation, evaluate
    from model.network import DeeplySupervisedUNet, NetworkError, NetworkSettings
    from model.pretrained import pretrained_version
    from model.quality import Calibration
    from model.segmenter import Segmentation, Segmenter
    from model.strategies import Measurement, Strategy, StrategyError
    from model.strategies import parse as parse_strategy
    from model.training.dataset import Example, make_example
    from model.training.run import train
    from model.training.settings import Progress, TrainingError, TrainingResult, TrainingSettings
    from model.weights import Card, WeightsError, load_version, save_version

__all__ = [
    "Calibration",
    "Card",
    "Classes",
    "Consistency",
    "DeeplySupervisedUNet",
    "Evaluation",
    "Example",
    "ImageError",
    "LossWeights",
    "Measurement",
    "NetworkError",
    "NetworkSettings",
    "PreprocessingSettings",
    "Progress",
    "Segmentation",
    "Segmenter",
    "Strategy",
    "StrategyError",
    "TrainingError",
    "TrainingResult",
    "TrainingSettings",
    "WeightsError",
    "decode_image",
    "dice",
    "evaluate",
    "load_version",
    "make_example",
    "parse_strategy",
    "pretrained_version",
    "save_version",
    "train",
]

_MODULES = {
    "Classes": "model.classes",
    "Consistency": "model.consistency",
    "dice": "model.consistency",
    "ImageError": "model.imaging.decoding",
    "decode_image": "model.imaging.decoding",
    "PreprocessingSettings": "model.imaging.preprocessing",
    "LossWeights": "model.loss",
    "Evaluation": "model.metrics",
    "evaluate": "model.metrics",
    "DeeplySupervisedUNet": "model.network",
    "NetworkError": "model.network",
    "NetworkSettings": "model.network",
    "pretrained_version": "model.pretrained",
    "Calibration": "model.quality",
    "Segmentation": "model.segmenter",
    "Segmenter": "model.segmenter",
    "Measurement": "model.strategies",
    "Strategy": "model.strategies",
    "StrategyError": "model.strategies",
    "parse_strategy": "model.strategies",
    "Example": "model.training.dataset",
    "make_example": "model.training.dataset",
    "train": "model.training.run",
    "Progress": "model.training.settings",
    "TrainingError": "model.training.settings",
    "TrainingResult": "model.training.settings",
    "TrainingSettings": "model.training.settings",
    "Card": "model.weights",
    "WeightsError": "model.weights",
    "load_version": "model.weights",
    "save_version": "model.weights",
}
_NAMES = {"parse_strategy": "parse"}
"""Exported names that are other ones in their modules."""


def __getattr__(name: str) -> object:
    """Import an exported name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), _NAMES.get(name, name))


def __dir__() -> list[str]:
    """The exported names."""
    return __all__
