"""Reads a project's labels as a training needs them: all of them once, later only those that have changed.

A running training asks after every submitted label. An export costs Label Studio about the same for each
label there is, so that large projects would spend most of their time on exports.
"""

from __future__ import annotations

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.survey import Extent
from ml_backend.learn.labels import Chosen, LabelledTask, sort_out
from ml_backend.queue.context import Context


class LabelReader:
    """The labels of one project, under one labeling config.

    Label Studio tells which tasks have changed, but not which are gone. If the totals show that annotations
    or tasks were deleted, everything is read again.
    """

    def __init__(self, context: Context, project_id: int, config: LabelConfig) -> None:
        self._label_studio = context.label_studio
        self._project_id = project_id
        self._config = config
        self._rule = context.settings.for_project(config.knobs.overrides).annotations
        self._extent: Extent | None = None
        self._labelled: dict[int, LabelledTask] = {}
        self._left_out: dict[int, str] = {}

    def read(self) -> Chosen:
        """The labels as Label Studio has them now.

        Raises:
            LabelStudioError: they cannot be read; the next call reads all that this one would have read.
        """
        # Before the labels: what is submitted meanwhile is read again by the next call, never missed.
        extent = self._label_studio.extent(self._project_id)
        if extent != self._extent:
            self._update(extent)
            self._extent = extent
        labelled = [self._labelled[task] for task in sorted(self._labelled)]
        return Chosen(labelled, [self._left_out[task] for task in sorted(self._left_out)])

    def _update(self, extent: Extent) -> None:
        last = self._extent
        if last is None or not last.changed_at or extent.hides_changes(last) or self._has_lost(last, extent):
            self._labelled, self._left_out, self._extent = {}, {}, None
            tasks = self._label_studio.labelled_tasks(self._project_id)
        else:
            tasks = self._label_studio.changed_since(self._project_id, last.changed_at)
        for task in tasks:
            chosen = sort_out([task], self._rule, self._config.exclusions)
            self._labelled.pop(task.id, None)
            self._left_out.pop(task.id, None)
            self._labelled |= {one.task_id: one for one in chosen.labelled}
            if chosen.left_out:
                (self._left_out[task.id],) = chosen.left_out

    def _has_lost(self, last: Extent, extent: Extent) -> bool:
        """Whether tasks or annotations of the last call may be gone."""
        if extent.annotations < last.annotations:
            return True
        return extent.tasks < last.tasks + self._label_studio.created_since(self._project_id, last.changed_at)
