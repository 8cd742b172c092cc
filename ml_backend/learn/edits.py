"""How each annotation came to be: drawn, edited from the mask on display, or that mask accepted unchanged.

A mask accepted unchanged says little about the version that drew it: on such an image the version has a
Dice of 1 by construction. So the training and its judgement must know where each mask comes from.

Label Studio gives the prediction that an annotation was made from (`parent_prediction`) until that prediction
is deleted. Afterwards only the regions tell: the editor marks those it copied from a prediction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.label_studio.client import Annotation
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.label_studio.regions.reading import masks_in
from ml_backend.learn.labels import LabelledTask, digest, regions
from ml_backend.queue.context import Context
from ml_backend.score import packing
from ml_backend.store import drafts, edits, scores, versions
from ml_backend.store.models import Edit
from ml_backend.store.states import Provenance
from ml_backend.store.version_names import is_open_name
from model.metrics import added_path_length, dice_per_label

logger = logging.getLogger(__name__)

UNCHANGED_DSC = 0.999
"""Dice from which on a label counts as unchanged: the editor rounds the corners of outlines."""

COPIED, CHANGED = "prediction", "prediction-changed"
"""The editor's `origin` of a region that it copied from a prediction, and of one that was changed since."""


@dataclass(frozen=True)
class ShownMask:
    """The mask that an annotator had on display.

    Attributes:
        version: name of the version that drew it; a foreign model's name for predictions of others.
        result: its regions.
        claimed_blank: whether the version found nothing in the image; an empty `result` otherwise means that
            its mask was withheld.
    """

    version: str
    result: list[dict[str, Any]]
    claimed_blank: bool


def note_edits(
    context: Context,
    project_id: int,
    tasks: Sequence[LabelledTask],
    config: LabelConfig,
    report: Callable[[str], object] = logger.warning,
) -> dict[int, Edit]:
    """Find out how new and changed annotations came to be, and store it.

    An annotation for which that fails is reported, and counts as one of unknown origin.

    Returns:
        The edits of all annotations of `tasks`, by annotation id.

    Raises:
        LabelStudioError: predictions cannot be read.
    """
    with context.database.read() as session:
        known = edits.of_project(session, project_id)
        drawers = _Drawers.read(session, project_id)
    annotations = {one.id: (task, one) for task in tasks for one in (*task.opinions, *task.counting)}
    fresh = {
        key: (task.task_id, one)
        for key, (task, one) in annotations.items()
        if key not in known or known[key].digest != task.digests[key]
    }
    found: list[Edit] = []
    for key, (task_id, one) in fresh.items():
        with contained(f"The comparison of annotation {key} of task {task_id} with its prediction", report):
            found.append(_edit(context, project_id, task_id, one, drawers, config))
    with context.database.write() as session:
        edits.store(session, project_id, found, annotations.keys())
    with context.database.read() as session:
        return edits.of_project(session, project_id)


def compare(annotation: Annotation, shown: ShownMask | None, config: LabelConfig) -> dict[str, Any]:
    """Compare an annotation with the mask that was on display; None if there was none, or it is unknown.

    Returns:
        The fields `provenance`, `version`, `dsc`, `per_label` and `added_path` of an `Edit`.
    """
    if shown is None:
        return {"provenance": provenance_by_origin(annotation.result), "version": None}
    if not shown.result:
        untouched = shown.claimed_blank and not _mask_regions(annotation.result)
        provenance = Provenance.ACCEPTED if untouched else Provenance.DRAWN
        return {"provenance": provenance, "version": shown.version if shown.claimed_blank else None}
    maps = _maps(shown.result, annotation.result, config)
    if maps is None:
        return {"provenance": provenance_by_origin(annotation.result), "version": shown.version}
    per_index = dice_per_label(*maps, len(config.labels))
    unchanged = all(dsc >= UNCHANGED_DSC for dsc in per_index.values())
    return {
        "provenance": Provenance.ACCEPTED if unchanged else Provenance.EDITED,
        "version": shown.version,
        "dsc": float(np.mean(list(per_index.values()))) if per_index else 1.0,
        "per_label": {config.labels[index - 1]: dsc for index, dsc in per_index.items()},
        "added_path": added_path_length(*maps, len(config.labels)),
    }


def provenance_by_origin(result: Any) -> Provenance:
    """How an annotation came to be, from the origins of its mask regions alone; deletions leave no trace."""
    origins = {str(region.get("origin")) for region in _mask_regions(result)}
    if origins == {COPIED}:
        return Provenance.ACCEPTED
    return Provenance.EDITED if origins & {COPIED, CHANGED} else Provenance.DRAWN


def is_accepted(task: LabelledTask, known: Mapping[int, Edit]) -> bool:
    """Whether a mask that counts was merely accepted, so that the task says little about any version."""
    return any(one.id in known and known[one.id].provenance is Provenance.ACCEPTED for one in task.counting)


def _edit(
    context: Context,
    project_id: int,
    task_id: int,
    annotation: Annotation,
    drawers: _Drawers,
    config: LabelConfig,
) -> Edit:
    shown = _shown(context, task_id, annotation, drawers)
    candidates = [compare(annotation, each, config) for each in shown] or [compare(annotation, None, config)]
    return Edit(
        project_id=project_id,
        annotation_id=annotation.id,
        task_id=task_id,
        digest=digest(annotation.result),
        lead_time=annotation.lead_time,
        **max(candidates, key=_closeness),
    )


def _closeness(comparison: Mapping[str, Any]) -> tuple[bool, float]:
    """Sort key: of several masks that may have been on display, picks the one closest to the annotation."""
    dsc = comparison.get("dsc")
    return comparison["provenance"] is Provenance.ACCEPTED, -1.0 if dsc is None else dsc


def _shown(context: Context, task_id: int, annotation: Annotation, drawers: _Drawers) -> list[ShownMask]:
    """The prediction that an annotation was made from, with each mask it has had; [] if it was deleted."""
    if annotation.parent_prediction is None:
        return []
    try:
        predictions = context.label_studio.predictions(task_id)
    except LabelStudioError as error:
        if error.status != GONE:
            raise
        return []
    for one in predictions:
        if one["id"] == annotation.parent_prediction:
            version = drawers.version_of(one)
            result = [region for region in regions(one["result"]) if isinstance(region, dict)]
            blank = drawers.is_blank(context, version, task_id)
            with context.database.read() as session:
                # Of a prediction that was renamed, it is known who drew it.
                ours = None if version != one["model_version"] else drawers.ids.get(version)
                run_id = scores.drawn_by_run(session, ours, task_id)
                by = drafts.drawer(session, version, drawers.project_id, run_id)
                former = [
                    ShownMask(
                        drafts.drawer(session, version, drawers.project_id, mask.drawn_by_run),
                        packing.result(mask.packed),
                        mask.blank,
                    )
                    for mask in edits.former_masks(session, int(one["id"]))
                ]
            # A page without a mask cannot be told from one whose mask was deleted.
            return [ShownMask(by, result, blank), *(mask for mask in former if mask.result)]
    return []


@dataclass(frozen=True)
class _Drawers:
    """Which version drew a prediction.

    Attributes:
        project_id: the project.
        kept: versions by id of predictions that were renamed for open pages.
        ids: ids of the project's versions by name.
        first: name of the first version with weights, which draws tasks that are opened before any order.
    """

    project_id: int
    kept: Mapping[int, str]
    ids: Mapping[str, int]
    first: str

    @classmethod
    def read(cls, session: Session, project_id: int) -> _Drawers:
        ours = versions.of_project(session, project_id)
        first = next((one.name for one in reversed(ours) if one.weights_hash), "")
        return cls(project_id, edits.kept(session, project_id), {one.name: one.id for one in ours}, first)

    def version_of(self, prediction: Mapping[str, Any]) -> str:
        name = str(prediction["model_version"])
        if not is_open_name(name, self.project_id):
            return name
        return self.kept.get(int(prediction["id"]), self.first or name)

    def is_blank(self, context: Context, version: str, task_id: int) -> bool:
        """Whether a version of ours found nothing in the image; other models withhold no masks."""
        if version not in self.ids:
            return True
        with context.database.read() as session:
            return scores.is_blank(session, self.ids[version], task_id)


def _maps(
    shown: Sequence[Any], submitted: Sequence[Any], config: LabelConfig
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The label maps (H, W) of both masks; None if one of them cannot be read."""
    readings = [label_map(shown, config).label_map, label_map(submitted, config).label_map]
    size = next((one.shape for one in readings if one is not None), None)
    if size is None:
        return None
    first, second = (label_map(result, config, (size[0], size[1])).label_map for result in (shown, submitted))
    return None if first is None or second is None else (first, second)


def _mask_regions(result: Any) -> list[dict[str, Any]]:
    return [region for region in masks_in(regions(result)) if isinstance(region, dict)]
