"""How annotations came to be, compared with the masks that were on display."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_backend.label_studio.client import Annotation
from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.learn.edits import ShownMask, compare, is_accepted, provenance_by_origin
from ml_backend.learn.labels import LabelledTask
from ml_backend.store.models import Edit
from ml_backend.store.states import Provenance

CONFIG = parse(default_config(["Bone", "Nail"]))
POLYGONS = parse(
    '<View><Image name="image" value="$image"/><PolygonLabels name="p" toName="image">'
    '<Label value="Bone"/><Label value="Nail"/></PolygonLabels></View>'
)
SIZE = (40, 60)
VERSION = "p3-r001-calm-cat"


def box(left: int, right: int, label: int = 1, onto: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    mask = np.zeros(SIZE, np.uint8) if onto is None else onto.copy()
    mask[10:30, left:right] = label
    return mask


def submitted(mask: NDArray[np.uint8], config: LabelConfig = CONFIG, origin: str | None = None) -> Annotation:
    """An annotation as the editor sends it; `origin` as it marks regions copied from a prediction."""
    regions = results(mask, config)
    if origin is not None:
        regions = [region | {"origin": origin} for region in regions]
    return Annotation(7, regions, "2026-11-22T10:00:00Z", False, False, 1, parent_prediction=5)


def shown(mask: NDArray[np.uint8], config: LabelConfig = CONFIG, *, blank: bool = False) -> ShownMask:
    return ShownMask(VERSION, results(mask, config), claimed_blank=blank)


@pytest.mark.parametrize("config", [CONFIG, POLYGONS])
def test_a_mask_submitted_as_shown_is_accepted(config: LabelConfig) -> None:
    mask = box(40, 50, 2, onto=box(10, 30))
    found = compare(submitted(mask, config, "prediction"), shown(mask, config), config)
    assert found == {
        "provenance": Provenance.ACCEPTED,
        "version": VERSION,
        "dsc": 1.0,
        "per_label": {"Bone": 1.0, "Nail": 1.0},
        "added_path": 0,
    }


def test_an_edited_mask_is_compared_label_by_label() -> None:
    before, after = box(40, 50, 2, onto=box(10, 30)), box(40, 50, 2, onto=box(10, 20))
    found = compare(submitted(after), shown(before), CONFIG)
    assert found["provenance"] is Provenance.EDITED
    assert found["per_label"] == {"Bone": pytest.approx(2 / 3), "Nail": 1.0}
    assert found["dsc"] == pytest.approx(5 / 6)
    assert found["added_path"] > 0


def test_one_small_label_that_changed_is_an_edit() -> None:
    large = np.ones(SIZE, np.uint8)
    large[0, 0] = 2
    changed = large.copy()
    changed[0, 0], changed[0, 1] = 1, 2
    assert compare(submitted(changed), shown(large), CONFIG)["provenance"] is Provenance.EDITED


def test_removing_every_region_is_an_edit() -> None:
    found = compare(submitted(np.zeros(SIZE, np.uint8)), shown(box(10, 30)), CONFIG)
    assert (found["provenance"], found["dsc"]) == (Provenance.EDITED, 0.0)


@pytest.mark.parametrize(
    ("mask", "blank", "expected"),
    [
        (box(10, 30), True, (Provenance.DRAWN, VERSION)),
        (box(10, 30), False, (Provenance.DRAWN, None)),
        (box(0, 0), True, (Provenance.ACCEPTED, VERSION)),
        (box(0, 0), False, (Provenance.DRAWN, None)),
    ],
)
def test_nothing_shown_is_accepted_only_where_the_version_found_nothing(
    mask: NDArray[np.uint8], blank: bool, expected: tuple[Provenance, str | None]
) -> None:
    found = compare(submitted(mask), ShownMask(VERSION, [], claimed_blank=blank), CONFIG)
    assert (found["provenance"], found["version"]) == expected


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (["prediction", "prediction"], Provenance.ACCEPTED),
        (["prediction", "prediction-changed"], Provenance.EDITED),
        (["prediction", "manual"], Provenance.EDITED),
        (["manual", "manual"], Provenance.DRAWN),
        ([None], Provenance.DRAWN),
        ([], Provenance.DRAWN),
    ],
)
def test_without_the_prediction_the_regions_origins_tell(
    origins: list[str | None], expected: Provenance
) -> None:
    (region,) = results(box(10, 30), CONFIG)
    choice = {"type": "choices", "from_name": "kind", "to_name": "image", "value": {}, "origin": "manual"}
    regions: list[Any] = [region | {"origin": origin} for origin in origins]
    assert provenance_by_origin([*regions, choice]) is expected
    annotation = Annotation(7, regions, "2026-11-22T10:00:00Z", False, False)
    assert compare(annotation, None, CONFIG) == {"provenance": expected, "version": None}


def test_an_unreadable_mask_is_judged_by_its_origins() -> None:
    annotation = submitted(box(10, 30), origin="prediction-changed")
    annotation.result[0]["value"]["rle"] = [0, 0, 0, 1]
    found = compare(annotation, shown(box(10, 30)), CONFIG)
    assert found == {"provenance": Provenance.EDITED, "version": VERSION}


@given(
    left=st.integers(0, 29), width=st.integers(5, 30), moved=st.integers(0, 5), label=st.sampled_from([1, 2])
)
def test_a_mask_is_accepted_exactly_if_it_did_not_change(
    left: int, width: int, moved: int, label: int
) -> None:
    before = box(left, left + width, label)
    after = box(left, min(left + width + moved, SIZE[1]), label)
    found = compare(submitted(after), shown(before), CONFIG)
    same = bool((before == after).all())
    assert (found["provenance"] is Provenance.ACCEPTED) == same
    assert (found["dsc"] == 1.0) == same


def test_a_task_is_accepted_if_one_mask_that_counts_is() -> None:
    one, two = (Annotation(number, [], "2026-11-22T10:00:00Z", False, False, number) for number in (1, 2))
    task = LabelledTask(5, {}, (one, two), (one, two), "majority")
    drawn = Edit(annotation_id=1, provenance=Provenance.DRAWN)
    assert not is_accepted(task, {1: drawn})
    assert not is_accepted(task, {1: drawn, 2: Edit(annotation_id=2, provenance=Provenance.EDITED)})
    assert is_accepted(task, {1: drawn, 2: Edit(annotation_id=2, provenance=Provenance.ACCEPTED)})
