"""A simulated annotator, who gets the next task from Label Studio and submits its true mask."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.regions.masks import results
from model.training.dataset import FolderSample, read_mask


@dataclass(frozen=True)
class SimulatedAnnotator:
    """Works through one view of a project with the API calls that the browser makes.

    Attributes:
        label_studio: a client with the annotator's token.
        project, view: Label Studio's ids.
        config: the project's labeling config.
        truth: the image behind each task id, with its true mask.
    """

    label_studio: LabelStudio
    project: int
    view: int
    config: LabelConfig
    truth: Mapping[int, FolderSample]

    def next_task(self) -> int | None:
        """Id of the task that the view opens next; None if all are labelled."""
        task = self.label_studio.next_task(self.project, self.view)
        return None if task is None else int(task["id"])

    def annotate(self) -> int | None:
        """Label the next task with its true mask and return its id; None if all are labelled."""
        began = time.monotonic()
        task = self.next_task()
        if task is not None:
            mask = read_mask(self.truth[task].mask_path)
            lead_time = time.monotonic() - began
            self.label_studio.submit_annotation(task, results(mask, self.config), lead_time=lead_time)
        return task
