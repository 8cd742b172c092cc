"""The prediction of a task: its mask and its score (`ml_backend.score.by_network` computes them)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_backend.label_studio.config import LabelConfig
from ml_backend.score.first_order import random_score
from ml_backend.settings import Settings
from model.strategies import Measurement

if TYPE_CHECKING:
    from model.segmenter import Segmenter


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


Tasks = Mapping[int, Mapping[str, Any]]
"""Data of tasks, by id."""

Scorer = Callable[[Tasks], Generator[Scored, None, None]]
"""A function that scores tasks one after another, in their order. Whatever is wrong with one of them gives
`Scored.error`, not an exception. A caller that needs no more closes the generator."""

Loader = Callable[[Settings, Path], "Segmenter"]
"""A function from (settings, folder of a version) to its segmenter."""


def at_random(seed: int, tasks: Tasks) -> Generator[Scored, None, None]:
    """The predictions of a version without weights: random scores, seeded per task, and no masks."""
    for task_id in tasks:
        score = random_score(task_id, seed)
        yield Scored(task_id, score, score)


def without_mask(scored: Scored, blind: Container[int]) -> Scored:
    """`scored`, without its mask if the task is one of `blind` (`ml_backend.score.blind`)."""
    return replace(scored, result=[]) if scored.task_id in blind else scored


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


def image_of(data: Mapping[str, Any], config: LabelConfig) -> str:
    """SHA-256 of what a task's data says of its image: it changes when the task gets another image."""
    return hashlib.sha256(json.dumps(data.get(config.data_key), sort_keys=True).encode()).hexdigest()
