"""Judgement: compares challenger and champion on the project's fixed validation images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from ml_backend.label_studio.config import LabelConfig
from ml_backend.learn.examples import Data, read_pairs
from ml_backend.queue.context import Context
from ml_backend.score.prediction import load_segmenter
from ml_backend.store.models import Version
from ml_backend.store.version_names import CALIBRATION, LABEL_DSC, LABEL_IMAGES
from model.classes import Classes
from model.metrics import Evaluation, clearly_worse, evaluate
from model.weights import note_labels


@dataclass(frozen=True)
class Judgement:
    """Result of the comparison.

    Attributes:
        metrics: the challenger's metrics, and the champion's DSC if there is a champion.
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
) -> Judgement:
    """Evaluate the challenger in `directory`, and the champion if there is one, at original resolution.

    The challenger is rejected only if it is clearly worse: its mean DSC is lower by more than PUBLISH_MARGIN
    on the same images. If the two versions know different labels, only labels count that both know and that
    the labeling config contains. Without validation images, or without such a label, it is not rejected.

    Raises:
        MaskError, ImageUnavailable, ImageError, LabelStudioError: a validation image or its mask cannot be
            read.
        WeightStoreError: the champion's weights cannot be read.
    """
    metrics: dict[str, Any] = {
        "training_images": len(data.training),
        "validation_images": len(data.validation),
        "problems": data.problems,
    }
    if not data.validation:
        return Judgement(metrics)

    def measure(directory: Path) -> Evaluation:
        pairs = (pair for task in data.validated for pair in read_pairs(context, project_id, task, config))
        return evaluate(
            load_segmenter(context.settings, directory), pairs, classes, threshold=config.knobs.threshold
        )

    classes = Classes(config.labels, config.indices)
    own = measure(directory)
    metrics |= {"validation_dsc": own.dsc, LABEL_DSC: own.per_label, LABEL_IMAGES: own.occurrences}
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
    before, after = measure(context.weights.get(champion.weights_hash)).over(both), own.over(both)
    theirs, ours = mean(before), mean(after)
    metrics["champion_validation_dsc"] = theirs
    if not clearly_worse(before, after, context.settings.publish_margin):
        return Judgement(metrics)
    what = "" if both == config.labels else f" over {', '.join(both)}"
    return Judgement(
        metrics, f"Not published: validation DSC{what} {ours:.3f} against {theirs:.3f} of {champion.name}."
    )
