"""The masks of a version for all images of a project, as the editor shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from ml_backend.export.names import image_file
from ml_backend.export.pictures import Layers, Picture
from ml_backend.export.project import ProjectSource
from ml_backend.export.source import Item, LeftOut
from ml_backend.label_studio.images.reader import Read, ReadAhead
from ml_backend.label_studio.regions.reading import RegionReader
from ml_backend.score.by_network import in_labels
from ml_backend.score.drawing import Drawing
from ml_backend.score.prediction import image_of, load_segmenter
from ml_backend.store.models import Version

if TYPE_CHECKING:
    from model.segmenter import Segmenter

TOGETHER = 32
"""Tasks of which the next image is read while one is segmented."""


@dataclass(frozen=True)
class Masks(ProjectSource):
    """The masks that a version draws, with the threshold, the limits and the form of the project.

    They are drawn again, since Label Studio has predictions for the tasks to label only, and those of drafts
    among them. Masks below MASK_FLOOR, which annotators do not see, are drawn too and say so.
    """

    version: Version

    @property
    def about(self) -> dict[str, Any]:
        """What decides how they are drawn."""
        drawing = self._drawing
        return {
            "what": "masks",
            "project": self.project,
            "version": self.version.name,
            "weights": self.version.weights_hash,
            "threshold": self.config.knobs.threshold,
            "limits": [drawing.limits.smallest, drawing.limits.regions, drawing.limits.points],
            "forms": sorted({control.form.name for control in self.config.controls}),
        }

    def total(self) -> int:
        """Number of tasks."""
        return self.context.label_studio.extent(self.project).tasks

    def items(self) -> Iterator[Item | LeftOut]:
        """All tasks, by id."""
        tasks = self.context.label_studio.tasks(self.project)
        while some := {task.id: task.data for task in islice(tasks, TOGETHER)}:
            read = ReadAhead(partial(self.context.images.read, self.project), some, self.config)
            for task_id, data in some.items():
                digest = hashlib.sha256(image_of(data, self.config).encode()).hexdigest()
                yield Item(
                    f"task-{task_id}",
                    image_file(task_id, data, self.config),
                    digest,
                    partial(self._draw, read, task_id, data),
                    data,
                )

    @cached_property
    def _drawing(self) -> Drawing:
        return Drawing.of(self.settings, self.version)

    @cached_property
    def _segmenter(self) -> Segmenter:
        assert self.version.weights_hash is not None
        return load_segmenter(self.context.settings, self.context.weights.get(self.version.weights_hash))

    def _draw(self, read: Read, task_id: int, data: Mapping[str, Any]) -> Picture:
        """Draw the mask of a task.

        Raises:
            ImageUnavailable, ImageError, LabelStudioError: its image cannot be read.
        """
        image = read(task_id, data, self.config)
        found = self._segmenter.segment([image], threshold=self.config.knobs.threshold)[0]
        agreement, final = in_labels(found, self._segmenter.labels, self.config)
        layers = Layers((image.shape[0], image.shape[1]), overlap=self.config.knobs.overlap)
        reader = RegionReader(self.config, layers)
        reader.read(self._drawing.regions(final, self.config))
        drawn = reader.finish().label_map
        assert drawn is not None
        notes = ["The network finds nothing."] if agreement.blank else []
        estimate = self._drawing.quality.estimate(
            replace(found.measurement(str(task_id)), consistency=agreement)
        )
        if estimate is not None and self._drawing.hides(estimate):
            notes.append(
                f"Annotators do not see it: its estimated DSC {estimate:.2f} is below MASK_FLOOR "
                f"{self._drawing.floor:g}."
            )
        return Picture(task_id, data, drawn, layers.regions, self.version.name, tuple(notes))
