"""Judgement: compares challenger and champion on the validation images that favour neither of them.

A validation image whose mask was accepted unchanged favours the version that drew it; one whose mask was
edited from the champion's favours the champion. So the figures rest on masks that were drawn or edited
(`ml_backend.learn.examples`), and the comparison leaves out those edited from the champion's masks.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from ml_backend.label_studio.config import LabelConfig
from ml_backend.learn.examples import Data, Pair, nested_labels, read_pairs
from ml_backend.learn.labels import LabelledTask
from ml_backend.queue.context import Context
from ml_backend.score.prediction import load_segmenter
from ml_backend.store.models import Version
from ml_backend.store.version_names import CALIBRATION, LABEL_DSC, LABEL_IMAGES, VALIDATION_BY_TASK
from model.classes import Classes
from model.comparison import compare
from model.metrics import Evaluation, evaluate
from model.quality import MIN_IMAGES
from model.weights import note_labels


@dataclass(frozen=True)
class Judgement:
    """Result of the comparison.

    Attributes:
        metrics: the challenger's metrics, and its comparison with the champion if there is one.
        verdict: one sentence that says why the challenger must not be published; empty if it may be.
    """

    metrics: dict[str, Any]
    verdict: str = ""


def judge(
    context: Context,
    project_id: int,
    config: LabelConfig,
    directory: Path,
    champion: Version | None,
    data: Data,
    drafts: str = "",
) -> Judgement:
    """Evaluate the challenger in `directory`, and the champion if there is one, at original resolution.

    `drafts` is the name of the challenger's own drafts, which favour it where they drew the masks.

    The challenger is rejected only if it is clearly worse: on at least `MIN_IMAGES` images that favour
    neither version, its mean DSC is lower by more than PUBLISH_MARGIN. If the two versions know different
    labels, only labels count that both know and that the labeling config contains; without such a label it is
    not rejected.

    Raises:
        MaskError, ImageUnavailable, ImageError, LabelStudioError: a validation image or its mask cannot be
            read.
        WeightStoreError: the champion's weights cannot be read.
    """
    metrics: dict[str, Any] = {
        "training_images": len(data.training),
        "validation_images": len(data.validation),
        "accepted_images": data.accepted,
        "problems": data.problems,
    }
    if data.nested:
        metrics["nested_labels"] = nested_labels(data)
    if not data.validation:
        return Judgement(metrics)
    classes = Classes(config.labels, config.indices)
    images = _Images(context, project_id, config, data)
    own = images.evaluate(directory, classes)
    metrics |= {"validation_dsc": own.dsc, LABEL_DSC: own.per_label, LABEL_IMAGES: own.occurrences}
    metrics[VALIDATION_BY_TASK] = by_task(images.tasks, own.per_image)
    note_labels(directory, own.per_label, own.occurrences)
    calibration = own.calibration()
    if calibration is not None:
        metrics[CALIBRATION] = calibration.to_dict()
    if champion is None or champion.weights_hash is None:
        return Judgement(metrics)
    both = classes.shared(champion.labels)
    if both != config.labels:
        metrics["compared_labels"] = list(both)
    if not both:
        return Judgement(metrics)
    theirs = images.evaluate(context.weights.get(champion.weights_hash), classes)
    before, after = theirs.over(both), own.over(both)
    metrics["champion_validation_dsc"] = mean(before)
    neutral = [
        index for index, task in enumerate(images.tasks) if is_neutral(task, data, {champion.name, drafts})
    ]
    found = compare([before[index] for index in neutral], [after[index] for index in neutral])
    sentence = found.sentence(champion.name)
    metrics["comparison"] = {**found.to_dict(), "champion": champion.name, "sentence": sentence}
    if not found.is_clearly_worse(context.settings.publish_margin):
        return Judgement(metrics)
    what = "" if both == config.labels else f" Compared over {', '.join(both)}."
    return Judgement(metrics, f"Not published. {sentence}{what}")


def by_task(tasks: Sequence[LabelledTask], dsc: Sequence[float]) -> dict[str, float]:
    """Mean Dice by task id of images that belong to `tasks`, in the same order; tasks may be repeated."""
    found: dict[str, list[float]] = {}
    for task, value in zip(tasks, dsc, strict=True):
        found.setdefault(str(task.task_id), []).append(value)
    return {task: round(mean(values), 5) for task, values in found.items()}


def is_neutral(task: LabelledTask, data: Data, compared: Container[str]) -> bool:
    """Whether no mask of a validation task that counts was made from a mask of one of these versions."""
    return not any(one.id in data.edits and data.edits[one.id].version in compared for one in task.counting)


def can_select(data: Data) -> bool:
    """Whether there are enough validation tasks to select weights by."""
    return len(data.validated) >= MIN_IMAGES


@dataclass
class _Images:
    """The validation images with their label maps.

    Attributes:
        tasks: the task of each image of the last evaluation; one with several label maps occurs repeatedly.
    """

    context: Context
    project_id: int
    config: LabelConfig
    data: Data
    tasks: list[LabelledTask] = field(default_factory=list)

    def evaluate(self, directory: Path, classes: Classes) -> Evaluation:
        """Evaluate the version in `directory`."""
        segmenter = load_segmenter(self.context.settings, directory)
        return evaluate(segmenter, self._pairs(), classes, threshold=self.config.knobs.threshold)

    def _pairs(self) -> Iterator[Pair]:
        self.tasks = []
        for task in self.data.validated:
            for pair in read_pairs(self.context, self.project_id, task, self.config):
                self.tasks.append(task)
                yield pair
