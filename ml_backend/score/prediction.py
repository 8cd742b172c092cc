"""The prediction of a task: its mask and its score, by a version's network."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import IMAGE_FAULTS, ImageReader, Read, ReadAhead
from ml_backend.label_studio.regions.probability import Probabilities
from ml_backend.score.drawing import Drawing
from ml_backend.score.first_order import random_score
from ml_backend.score.strategy import made_by
from ml_backend.settings import Settings
from ml_backend.store.models import Version
from ml_backend.store.weights import WeightStore
from model.classes import Classes
from model.consistency import Consistency, consistency
from model.strategies import Measurement, Strategy, last, priority, published

if TYPE_CHECKING:
    from model.segmenter import Segmentation, Segmenter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """A task's prediction.

    Attributes:
        task_id: Label Studio's id.
        score: mean of L-DSC and M-DSC, in [0, 1]; blank masks and unreadable images get the score that is
            labelled last. Without a network it is random.
        priority: the query strategy's own number, in [0, 1], for this image alone; the score itself for
            strategies that follow it.
        result: regions of the final mask, in the form of the labeling config.
        l_dsc, m_dsc: agreement of the lower (middle) mask with the final one; None without a network.
        blank: nothing was found in the image.
        hidden: something was found, but not shown, as its quality is below the project's floor.
        quality: estimated real Dice of the mask; None for a blank mask, and without a network or an image.
        margin: its margin of error; None if the estimate is rough.
        error: why the task could not be scored, in one sentence: mostly, why its image cannot be read.
        transient: whether a later attempt may succeed.
        image: which image was measured (`image_of`); empty without a network or an image.
        picture: the image's name in the cache (`ImageReader.cached_as`); None if it is not cached.
    """

    task_id: int
    score: float
    priority: float
    result: list[dict[str, Any]] = field(default_factory=list)
    l_dsc: float | None = None
    m_dsc: float | None = None
    blank: bool = False
    hidden: bool = False
    quality: float | None = None
    margin: float | None = None
    error: str | None = None
    transient: bool = False
    image: str = ""
    picture: str | None = None
    measurement: Measurement | None = field(default=None, repr=False)
    """What query strategies read; None without a network or an image."""


Scorer = Callable[[int, Mapping[str, Any]], Scored]
Loader = Callable[[Settings, Path], "Segmenter"]
"""A function from (settings, folder of a version) to its segmenter."""


def scorer(
    settings: Settings,
    weights: WeightStore,
    images: ImageReader,
    version: Version,
    seed: int,
    config: LabelConfig,
    blind: Container[int] = (),
    *,
    load: Loader | None = None,
    upcoming: Mapping[int, Mapping[str, Any]] | None = None,
) -> Scorer:
    """A function that scores (task id, task data) under a version; at random without weights, seeded.

    Args:
        settings, weights, images: of the context.
        version: its weights and its strategy.
        seed: the project's.
        config: the labeling config.
        blind: tasks that are shown without a mask (`ml_backend.score.blind`).
        load: gives the segmenter of (settings, folder); None loads it.
        upcoming: data of the tasks that will be scored, in this order: their images are read ahead.
    """
    if version.weights_hash is None:
        return partial(at_random, seed)
    segmenter = (load or load_segmenter)(settings, weights.get(version.weights_hash))
    reader: Read = partial(images.read, version.project_id)
    if upcoming:
        reader = ReadAhead(reader, upcoming, config)
    score = with_pictures(
        by_network(segmenter, settings, reader, version, seed, config), images, version, config
    )
    return without_masks(score, blind)


def with_pictures(score: Scorer, images: ImageReader, version: Version, config: LabelConfig) -> Scorer:
    """The same scorer, which also says under which name each image is in the cache."""

    def score_pictured(task_id: int, data: Mapping[str, Any]) -> Scored:
        return replace(
            score(task_id, data), picture=images.cached_as(version.project_id, task_id, data, config)
        )

    return score_pictured


def without_masks(score: Scorer, blind: Container[int]) -> Scorer:
    """The same scorer, which gives `blind` tasks their score but no mask."""

    def score_blind(task_id: int, data: Mapping[str, Any]) -> Scored:
        scored = score(task_id, data)
        return replace(scored, result=[]) if task_id in blind else scored

    return score_blind


def by_network(
    segmenter: Segmenter, settings: Settings, read: Read, version: Version, seed: int, config: LabelConfig
) -> Scorer:
    """A function that scores (task id, task data) with a version's segmenter."""
    strategy = made_by(version)
    drawing = Drawing.of(settings.for_project(config.knobs.overrides), version)
    return lambda task_id, data: segment(segmenter, strategy, drawing, read, config, task_id, data, seed)


def at_random(seed: int, task_id: int, _data: Mapping[str, Any]) -> Scored:
    """The prediction of a version without weights: a random score, seeded per task, and no mask."""
    score = random_score(task_id, seed)
    return Scored(task_id, score, score)


def with_mask_of(scored: Scored, drawn: Scored) -> Scored:
    """`scored`, but with the mask of `drawn`; unchanged if either has an error."""
    if scored.error or drawn.error:
        return scored
    return replace(
        scored,
        result=drawn.result,
        blank=drawn.blank,
        hidden=drawn.hidden,
        quality=drawn.quality,
        margin=drawn.margin,
    )


class KeepLoaded:
    """A loader for jobs that score several times by one version: it loads the segmenter once."""

    def __init__(self) -> None:
        self._known: dict[Path, Segmenter] = {}

    def __call__(self, settings: Settings, directory: Path) -> Segmenter:
        """The segmenter of a version's folder."""
        if directory not in self._known:
            self._known[directory] = load_segmenter(settings, directory)
        return self._known[directory]


def load_segmenter(settings: Settings, directory: Path) -> Segmenter:
    """A version's segmenter with the engine, device, precision and threads of the settings."""
    from model.segmenter import Segmenter

    return Segmenter(
        directory,
        engine=settings.engine,
        device=settings.device,
        precision=settings.precision,
        threads=settings.score_threads or None,
    )


def segment(
    segmenter: Segmenter,
    strategy: Strategy,
    drawing: Drawing,
    read: Read,
    config: LabelConfig,
    task_id: int,
    data: Mapping[str, Any],
    seed: int,
) -> Scored:
    """Fetch, segment and score one task; whatever is wrong with it gives `Scored.error`, not an exception.

    Args:
        segmenter: the version's.
        strategy: computes the priority, from the masks as the network drew them.
        drawing: decides whether and how the final mask is shown.
        read: returns the grey image (H, W) of (task id, task data, labeling config).
        config: the labeling config, which decides the form and threshold of the regions.
        task_id, data: the task.
        seed: of strategies with random draws.
    """
    problems: list[str] = []
    with contained(f"Task {task_id}", problems.append):
        return _segment(segmenter, strategy, drawing, read, config, task_id, data, seed)
    return Scored(task_id, last(strategy), last(strategy), error=problems[0])


def _segment(
    segmenter: Segmenter,
    strategy: Strategy,
    drawing: Drawing,
    read: Read,
    config: LabelConfig,
    task_id: int,
    data: Mapping[str, Any],
    seed: int,
) -> Scored:
    try:
        image = read(task_id, data, config)
    except IMAGE_FAULTS as error:
        transient = isinstance(error, ImageUnavailable) and error.transient
        return Scored(task_id, last(strategy), last(strategy), error=str(error), transient=transient)
    found = segmenter.segment([image], threshold=config.knobs.threshold, probe=strategy.probe())[0]
    agreement, final = in_labels(found, segmenter.labels, config)
    measurement = replace(found.measurement(str(task_id)), consistency=agreement)
    quality = drawing.quality.estimate(measurement)
    hidden = drawing.hides(quality)
    return Scored(
        task_id,
        published(strategy, agreement),
        priority(strategy, measurement, seed),
        []
        if hidden
        else drawing.regions(final, config, probabilities_of(found, segmenter.labels, config), quality),
        agreement.l_dsc,
        agreement.m_dsc,
        agreement.blank,
        hidden,
        quality,
        None if quality is None else drawing.quality.margin,
        image=image_of(data, config),
        measurement=measurement,
    )


def probabilities_of(found: Segmentation, labels: Sequence[str], config: LabelConfig) -> Probabilities:
    """Probabilities of regions: from class indices of the config and parts of the image.

    Args:
        found: what a version found in the image.
        labels: the version's.
        config: the labeling config.
    """
    own: dict[int, list[int]] = {}
    for index, name in enumerate(labels, start=1):
        if name in config.indices:
            own.setdefault(config.indices[name], []).append(index)
    return lambda index, parts: found.part_probabilities(own[index], parts)


def image_of(data: Mapping[str, Any], config: LabelConfig) -> str:
    """SHA-256 of what a task's data says of its image: it changes when the task gets another image."""
    return hashlib.sha256(json.dumps(data.get(config.data_key), sort_keys=True).encode()).hexdigest()


def in_labels(
    found: Segmentation, labels: Sequence[str], config: LabelConfig
) -> tuple[Consistency, NDArray[np.uint8]]:
    """Consistency and final mask, of the labels that still exist if they changed after the training."""
    agreement, final = found.consistency, found.final
    if tuple(labels) != config.labels:
        classes = Classes(config.labels, config.indices)
        lower, middle, final = (
            classes.translate(mask, labels) for mask in (found.lower, found.middle, found.final)
        )
        agreement = consistency(lower, middle, final, len(config.labels))
    return agreement, final
