"""The weights and the network that a training starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.score.strategy import wanted
from ml_backend.store.models import Version
from model.classes import Classes
from model.imaging.preprocessing import PreprocessingSettings
from model.inheritance import carried_over
from model.network import DeeplySupervisedUNet, NetworkSettings, with_prompts
from model.weights import load_version


@dataclass(frozen=True)
class StartingPoint:
    """Where a training starts.

    Attributes:
        network: shape of the network.
        preprocessing: how its images are prepared.
        start: weights to fine-tune, with the project's classes; None to train from scratch.
        is_champion: whether `start` are the champion's weights, unchanged.
    """

    network: NetworkSettings
    preprocessing: PreprocessingSettings
    start: DeeplySupervisedUNet | None
    is_champion: bool = False


def starting_point(context: Context, champion: Version | None, config: LabelConfig) -> StartingPoint:
    """The champion's network and preprocessing, or a fresh network and the settings' preprocessing.

    A network that is fine-tuned keeps its width and the size of its images, since changing either needs
    a training from scratch.

    Raises:
        WeightsError, WeightStoreError: the champion's weights cannot be read.
    """
    settings, classes = context.settings, len(config.labels) + 1
    dropout = wanted(settings, config).dropout
    if champion is None or champion.weights_hash is None or settings.train_from == "scratch":
        shape = NetworkSettings(classes, settings.network_width, dropout=dropout, prompts=True)
        return StartingPoint(shape, PreprocessingSettings(size=settings.image_size), None)
    network, card = load_version(context.weights.get(champion.weights_hash))
    same = card.labels == config.labels
    if not same:
        network = carried_over(network, Classes(config.labels, config.indices).origins(card.labels))
    # Versions of earlier releases have not learned what prompts mean; their masks stay the same.
    network = with_prompts(network)
    shape = replace(network.settings, classes=classes, dropout=dropout)
    return StartingPoint(shape, card.preprocessing, network, is_champion=same)
