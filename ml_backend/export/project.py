"""What is exported of a project: the part that its labels and a version's masks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ml_backend.export.pictures import Legend
from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.settings import Settings


@dataclass(frozen=True)
class ProjectSource:
    """The base of sources whose pictures are tasks of a project (`ml_backend.export.source.Source`)."""

    context: Context
    project: int
    config: LabelConfig

    is_whole = True

    @property
    def legend(self) -> Legend:
        """The labels of the labeling config."""
        return Legend(self.config.labels)

    @cached_property
    def settings(self) -> Settings:
        """The settings, with the project's own knobs."""
        return self.context.settings.for_project(self.config.knobs.overrides)
