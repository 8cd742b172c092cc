"""The weights and the network that a training starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.score.strategy import wanted
from ml_backend.store import versions
from ml_backend.store.models import Version
from model.classes import Classes
from model.imaging.preprocessing import PreprocessingSettings
from model.inheritance import carried_over
from model.network import DeeplySupervisedUNet, NetworkSettings, with_prompts
from model.pretrained import pretrained_start
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


def untaught_weights(context: Context, project_id: int, config: LabelConfig) -> StartingPoint:
    """Weights that have learned none of the project's labels, in the shape of its published version.

    The project's initial weights if it has any, else the shipped ones if they have the same shape: their
    encoder saves most of the steps even where no bones are to be seen. Otherwise fresh ones.

    Raises:
        WeightsError, WeightStoreError: weights cannot be read.
    """
    with context.database.read() as session:
        first = versions.at_round(session, project_id, 0)
        published = versions.published(session, project_id)
    if first is not None and first.weights_hash is not None:
        return starting_point(context, first, config)
    begun = starting_point(context, published, config)
    shipped, card = pretrained_start(Classes(config.labels, config.indices))
    preprocessing = replace(card.preprocessing, size=begun.preprocessing.size)
    if shipped.settings.width == begun.network.width and preprocessing == begun.preprocessing:
        return replace(begun, network=shipped.settings, start=shipped, is_champion=False)
    return replace(begun, start=None, is_champion=False)
