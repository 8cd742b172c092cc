"""What is on the page of the annotator who asks, as far as Label Studio tells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.items import contained
from ml_backend.label_studio.config import Control, LabelConfig
from ml_backend.label_studio.regions.forms import BRUSH
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.label_studio.regions.rle import RleError
from ml_backend.label_studio.regions.shape import RegionError, Size
from ml_backend.label_studio.regions.strokes import with_strokes

Results = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class PageRegion:
    """A region of one label on a page.

    Attributes:
        id: its id, under which an answer replaces it.
        control: the control that drew it.
        mask: its pixels (H, W).
    """

    id: str
    control: Control
    mask: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True)
class Page:
    """What is on a page.

    Attributes:
        results: the regions as results, in Label Studio's form.
        draft: which state of a draft they are, empty if there is none. It changes when the page saves again.
    """

    results: Results
    draft: str = ""

    @classmethod
    def of(cls, task: Mapping[str, Any], version: str, is_shared: Callable[[], bool] = lambda: False) -> Page:
        """The page of a task that Label Studio has sent.

        That is the newest draft of the person who asks, which a page saves 5 seconds after a change. Without
        one, it is the newest annotation, and without that the prediction with which a page begins. If
        several people annotate each task, annotations may be those of others, so it is the prediction.

        Args:
            task: with drafts, annotations and predictions; any content is possible.
            version: name of the version whose prediction is shown.
            is_shared: whether several people annotate each task; asked only if it matters.
        """
        drafts, annotations, predictions = (_dicts(task.get(key)) for key in _STATES)
        if drafts:
            newest = max(drafts, key=_age)
            return cls(_dicts(newest.get("result")), f"{newest.get('id')} {newest.get('updated_at')}")
        current = [one for one in annotations if not one.get("was_cancelled")]
        shown = [one for one in predictions if one.get("model_version") == version] or predictions
        begun = shown if current and shown and is_shared() else current or shown
        newest = max(begun, key=_age, default={})
        return cls(_dicts(newest.get("result")))

    def regions(self, config: LabelConfig, label: str, size: Size) -> list[PageRegion]:
        """The regions of one label that can be read, in their order.

        Args:
            config: the labeling config.
            label: as the config names it.
            size: (H, W) of the image.
        """
        parts: dict[str, list[Mapping[str, Any]]] = {}
        for result in self.results:
            if isinstance(result.get("id"), str):
                parts.setdefault(result["id"], []).append(result)
        found = (_region(name, group, config, label, size) for name, group in parts.items())
        return [region for region in found if region is not None]


logger = logging.getLogger(__name__)

_STATES = ("drafts", "annotations", "predictions")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _age(state: Mapping[str, Any]) -> tuple[str, int]:
    """What orders drafts, annotations and predictions by their last change."""
    changed, number = state.get("updated_at") or state.get("created_at"), state.get("id")
    return (changed if isinstance(changed, str) else "", number if isinstance(number, int) else 0)


def _region(name: str, group: Results, config: LabelConfig, label: str, size: Size) -> PageRegion | None:
    """The results of one id as a region; None if it is none of this label, or cannot be read."""
    with contained(f"A region of {label} on a page", logger.debug), suppress(RegionError, RleError):
        control = _control(group, config)
        mask = None if control is None else _mask(group, control, config, label, size)
        return None if control is None or mask is None else PageRegion(name, control, mask)
    return None


def _control(group: Results, config: LabelConfig) -> Control | None:
    drawn = [(result.get("from_name"), result.get("type")) for result in group]
    return next((one for one in config.controls if (one.name, one.kind) in drawn), None)


def _mask(
    group: Results, control: Control, config: LabelConfig, label: str, size: Size
) -> NDArray[np.bool_] | None:
    index = config.indices[label]
    drawn = (one for one in group if (one.get("from_name"), one.get("type")) == (control.name, control.kind))
    value = next(drawn).get("value")
    if control.form is BRUSH and isinstance(value, dict) and value.get("touches"):
        names = [name for one in group for name in _names(one.get("value"), control)]
        is_ours = any(config.indices.get(name) == index for name in names)
        return with_strokes(value, size) if is_ours else None
    found = label_map(list(group), config, size).label_map
    if found is None:
        return None
    mask: NDArray[np.bool_] = found == index
    return mask if mask.any() else None


def _names(value: Any, control: Control) -> list[str]:
    """The labels in a result's value."""
    names = value.get(control.labels_key) if isinstance(value, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
