"""Is a challenger good enough to be published? Both versions on the project's fixed validation images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.jobs.context import Context
from ml_backend.jobs.examples import Data, read_pair
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.prediction import load_segmenter
from ml_backend.store.models import Version
from model.comparison import clearly_worse
from model.metrics import evaluate


@dataclass(frozen=True)
class Judgement:
    """What the validation images say.

    Attributes:
        metrics: figures of the challenger, and the champion's DSC where there is one.
        verdict: why the challenger must not be published, in one sentence; empty if it may.
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

    The challenger is turned down only if it is clearly worse: mean DSC lower by more than PUBLISH_MARGIN on
    the same images. Without validation images there is no evidence against it.
    """
    metrics: dict[str, Any] = {
        "training_images": len(data.training),
        "validation_images": len(data.validation),
        "problems": data.problems,
    }
    if not data.validation:
        return Judgement(metrics)

    def pairs() -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
        for key in data.validation_ids:
            pair = read_pair(context, project_id, data.tasks[key], config)
            yield pair.image, pair.mask

    own = evaluate(load_segmenter(context.settings, directory), pairs())
    metrics |= {"validation_dsc": own.dsc, "per_label": own.per_label}
    if champion is None or champion.weights_hash is None:
        return Judgement(metrics)
    serving = context.weights.get(champion.weights_hash)
    theirs = evaluate(load_segmenter(context.settings, serving), pairs())
    metrics["champion_validation_dsc"] = theirs.dsc
    if not clearly_worse(theirs.per_image, own.per_image, context.settings.publish_margin):
        return Judgement(metrics)
    return Judgement(
        metrics,
        f"Not published: validation DSC {own.dsc:.3f} against {theirs.dsc:.3f} of {champion.name}.",
    )
