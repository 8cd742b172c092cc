"""Blind validation: the tasks that will validate are shown without a mask.

No version then influences their labels, so metrics and comparisons favour no version, but annotators get no
mask on these tasks (docs/label-studio-setup.md, “What is learned from accepted masks”).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfig
from ml_backend.settings import Settings
from ml_backend.store import labels_seen
from ml_backend.store.models import Part, Project
from model.training.splitting import MOST_VALIDATION, placement


def probably_validates(task_id: int, fraction: float, seed: int) -> bool:
    """Whether a task without a side will probably validate once it is labelled, by its seeded placement."""
    return placement(str(task_id), seed) < fraction


@dataclass(frozen=True)
class BlindTasks:
    """The tasks that are shown without a mask; a container of task ids.

    Attributes:
        fraction: share of the tasks that validate; 0 for none.
        seed: the project's.
        settled: the side of the split of the labelled tasks.
    """

    fraction: float = 0.0
    seed: int = 0
    settled: Mapping[int, Part] = field(default_factory=dict)

    @classmethod
    def read(cls, session: Session, settings: Settings, project: Project, config: LabelConfig) -> BlindTasks:
        """The blind tasks of a project; none unless its VALIDATION is `blind`."""
        own = settings.for_project(config.knobs.overrides)
        if own.validation != "blind":
            return cls()
        return cls(own.validation_fraction, project.seed, labels_seen.split(session, project.id))

    def __contains__(self, task_id: object) -> bool:
        """Labelled tasks keep their side; others are blind by placement, until enough tasks validate."""
        if not self.fraction or not isinstance(task_id, int):
            return False
        if task_id in self.settled:
            return self.settled[task_id] is Part.VALIDATION
        validating = sum(part is Part.VALIDATION for part in self.settled.values())
        return validating < MOST_VALIDATION and probably_validates(task_id, self.fraction, self.seed)
