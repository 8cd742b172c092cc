"""The labels of a project, as the annotations that count give them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ml_backend.export.names import image_file
from ml_backend.export.pictures import CannotExpressError, Layers, Picture, components, hidden_pixels
from ml_backend.export.project import ProjectSource
from ml_backend.export.source import Item, LeftOut
from ml_backend.label_studio.regions.reading import PIXELWISE, Reading, RegionReader
from ml_backend.label_studio.regions.shape import Size
from ml_backend.learn.labels import LabelledTask, Sample, regions, sort_out
from model.consensus import majority


@dataclass(frozen=True)
class Labels(ProjectSource):
    """The labels of a project; each annotated task is read when its turn comes."""

    @property
    def about(self) -> dict[str, Any]:
        """What decides how they are read."""
        return {
            "what": "labels",
            "project": self.project,
            "annotations": self.settings.annotations,
            "overlap": self.settings.overlap,
        }

    def total(self) -> int:
        """Number of annotated tasks."""
        return int(self.context.label_studio.project(self.project).get("num_tasks_with_annotations") or 0)

    def items(self) -> Iterator[Item | LeftOut]:
        """The annotated tasks, while Label Studio's export arrives."""
        for task in self.context.label_studio.labelled_tasks(self.project):
            chosen = sort_out([task], self.settings.annotations, self.config.exclusions)
            for sentence in chosen.left_out:
                yield LeftOut(f"task-{task.id}", image_file(task.id, task.data, self.config), sentence)
            for labelled in chosen.labelled:
                for sample in labelled.samples:
                    yield self._item(labelled, sample)

    def _item(self, task: LabelledTask, sample: Sample) -> Item:
        several = task.rule == "all" and len(task.samples) > 1
        key = f"task-{task.task_id}" + (f"-annotation-{sample.annotations[0].id}" if several else "")
        image = json.dumps(task.data.get(self.config.data_key), sort_keys=True)
        digest = hashlib.sha256(f"{sample.key} {image}".encode()).hexdigest()
        file = image_file(task.task_id, task.data, self.config)
        return Item(key, file, digest, partial(self._read, task, sample), task.data)

    def _read(self, task: LabelledTask, sample: Sample) -> Picture:
        """Read the annotations of one picture.

        Raises:
            CannotExpressError: none has a readable mask.
            ImageUnavailable, ImageError, LabelStudioError: the image, if only that knows its size.
        """
        size = _stated_size(sample, self.config.image_tag)
        if size is None or size[0] * size[1] > self.context.settings.max_image_pixels:
            size = self._image_size(task)
        read = [self._one(annotation.result, size) for annotation in sample.annotations]
        maps = [(found, known) for _, found in read if (known := found.known_map) is not None]
        unreadable = [sentence for _, found in read for sentence in found.unreadable]
        if not maps:
            reason = " ".join(unreadable) or "All regions have labels that the labeling config does not have."
            raise CannotExpressError(f"No mask can be read: {reason}")
        voted = len(sample.annotations) > 1
        label_map = majority([known for _, known in maps]) if voted else maps[0][1]
        picture = Picture(
            task.task_id,
            task.data,
            label_map,
            list(components(label_map)) if voted else read[0][0].regions,
            "annotation " + ", ".join(str(annotation.id) for annotation in sample.annotations),
        )
        notes = [f"Not read: {sentence}" for sentence in unreadable]
        for inner, outer in sorted({pair for found, _ in maps for pair in found.nested}):
            notes.append(f"{inner} lies within {outer}.")
        hidden = hidden_pixels(picture)
        if hidden:
            notes.append(
                f"{hidden} pixels lie in regions of several labels: in PNG the {self.settings.overlap} "
                "region has them, COCO and DICOM-SEG keep them in all."
            )
        return replace(picture, notes=tuple(notes))

    def _one(self, result: Any, size: Size) -> tuple[Layers, Reading]:
        layers = Layers(size, overlap=self.settings.overlap)
        reader = RegionReader(self.config, layers)
        reader.read(result)
        return layers, reader.finish()

    def _image_size(self, task: LabelledTask) -> Size:
        return self.context.images.size(self.project, task.task_id, task.data, self.config)


def _stated_size(sample: Sample, image_tag: str) -> Size | None:
    """(H, W) of the image, if the masks in pixels over it state one; otherwise the image has to be asked.

    Outlines do not tell: they are in percent, so they fit a smaller copy of the image as well, and the editor
    states 1 × 1 before it has loaded the image.
    """
    stated = (
        (region.get("original_height"), region.get("original_width"))
        for annotation in sample.annotations
        for region in regions(annotation.result)
        if isinstance(region, dict)
        and region.get("to_name") == image_tag
        and isinstance(region.get("type"), str)
        and region["type"] in PIXELWISE
    )
    sizes = {
        (height, width)
        for height, width in stated
        if type(height) is int and type(width) is int and min(height, width) > 0
    }
    return sizes.pop() if len(sizes) == 1 else None
