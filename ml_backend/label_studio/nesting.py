"""Nested labels: finds labels drawn inside other labels, and describes which label keeps the pixels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.regions.canvas import Overlap
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.label_studio.tasks import AnnotatedTask

logger = logging.getLogger(__name__)

EXAMINED = 40
"""Maximum annotated tasks whose masks are read to find nested labels."""

NestedLabels = Iterable[tuple[str, str, int]]
"""(inner label, outer label, number of tasks), the most frequent first."""

_RESULTS = {
    "smaller": "where they overlap, the smaller region gets the pixels, so the inner label is kept",
    "later": "where they overlap, the later region gets the pixels, so an inner label that is drawn first "
    'vanishes; model_overlap="smaller" in the labeling config keeps it',
}


def find_nested(tasks: Iterable[AnnotatedTask], config: LabelConfig) -> NestedLabels:
    """The nested labels in the annotations of these tasks, each task counted once."""
    found: Counter[tuple[str, str]] = Counter()
    for task in tasks:
        with contained(f"Task {task.id}", logger.warning):
            found.update({pair for one in task.accepted for pair in label_map(one.result, config).nested})
    return [(inner, outer, count) for (inner, outer), count in found.most_common()]


def describe_nested(nested: NestedLabels, overlap: Overlap) -> str | None:
    """One sentence that says which labels are nested and which of them gets the pixels; None without any."""
    pairs = [f"{inner} within {outer} in {_tasks(count)}" for inner, outer, count in nested]
    return f"Labels are nested: {', '.join(pairs)}; {_RESULTS[overlap]}." if pairs else None


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
