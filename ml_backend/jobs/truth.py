"""What the annotators of a task say is true of its image: their masks read, united, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml_backend.jobs.labels import LabelledTask
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.label_studio.masks import Reading, label_map
from model.consensus import agreement, majority


class MaskError(ValueError):
    """A task without a readable mask; one sentence that says what to do."""


@dataclass(frozen=True)
class Truth:
    """A task's label maps, each (H, W).

    Attributes:
        masks: by the key of their example; none if all that was drawn bears labels that the labeling config
            no longer has: such an annotation says nothing about the labels of now.
        annotators: how many people have annotated the task so that it can be read.
        agreement: of these people, in [0, 1] (`model.consensus.agreement`); None for fewer than two.
        problem: which regions the masks lack, in one sentence; empty if none.
    """

    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    annotators: int = 0
    agreement: float | None = None
    problem: str = ""


def read_truth(task: LabelledTask, config: LabelConfig, size: tuple[int, int]) -> Truth:
    """Read a task's annotations at the image's size (H, W).

    Raises:
        MaskError: none of the annotations that count can be read, though there is something drawn.
    """
    concerned = {one.id: one for one in (*task.opinions, *task.counting)}
    readings = {key: label_map(one.result, config, size) for key, one in concerned.items()}
    maps = {key: reading.label_map for key, reading in readings.items() if reading.label_map is not None}
    masks = {}
    for sample in task.samples:
        several = [maps[one.id] for one in sample.annotations if one.id in maps]
        if several:
            masks[sample.key] = several[0] if len(several) == 1 else majority(several)
    why = _unreadable(readings[one.id] for one in task.counting)
    if why and not masks:
        raise MaskError(f"No mask of task {task.task_id} can be read, draw it again: {' '.join(why)}")
    problem = f"Task {task.task_id} is learned without {why.total()} of its regions: {' '.join(why)}"
    people = [maps[one.id] for one in task.opinions if one.id in maps]
    return Truth(
        masks,
        annotators=len(people),
        agreement=agreement(people, len(config.labels)) if len(people) > 1 else None,
        problem=problem if why else "",
    )


def _unreadable(readings: Iterable[Reading]) -> Counter[str]:
    found: Counter[str] = Counter()
    for reading in readings:
        found.update(reading.unreadable)
    return found
