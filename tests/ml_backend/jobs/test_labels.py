"""Which annotation counts, what counts as a change of it, and the side of the split it falls on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.jobs.labels import LabelledTask, choose, new_sides
from ml_backend.label_studio.client import Annotation
from ml_backend.label_studio.client import LabelledTask as Exported
from ml_backend.label_studio.label_config import default_config, parse
from ml_backend.label_studio.masks import results
from ml_backend.store.models import Part

CONFIG = parse(default_config(["Bone", "Nail"]))
MASK = np.zeros((6, 8), np.uint8)
MASK[1:4, 2:5] = 1
MASK[4:, 6:] = 2


def annotation(number: int, at: str, *, skip: bool = False, result: list[Any] | None = None) -> Annotation:
    return Annotation(number, result if result is not None else [{"of": number}], at, skip, False)


def task(regions: list[dict[str, Any]]) -> LabelledTask:
    return LabelledTask(7, {"image": "x"}, 1, regions)


def test_the_annotation_changed_last_counts() -> None:
    first = annotation(1, "2026-11-22T10:00:00.500000Z")
    second = annotation(2, "2026-11-22T10:00:00Z")
    (chosen,) = choose([Exported(5, {}, (first, second))])
    assert chosen.annotation_id == 1
    later = annotation(2, "2026-11-22T12:00:01+01:00")
    (chosen,) = choose([Exported(5, {}, (first, later))])
    assert (chosen.task_id, chosen.annotation_id, chosen.regions) == (5, 2, [{"of": 2}])


def test_a_skip_is_no_label_and_an_empty_annotation_is_one() -> None:
    skip = annotation(1, "2026-11-22T10:00:00Z", skip=True)
    empty = annotation(2, "2026-11-22T09:00:00Z", result=[])
    chosen = choose([Exported(9, {}, (skip,)), Exported(4, {}, (skip, empty)), Exported(3, {}, ())])
    assert [(one.task_id, one.annotation_id) for one in chosen] == [(4, 2)]
    reading = chosen[0].read(CONFIG, (6, 8))
    assert reading.label_map is not None
    assert not reading.label_map.any()


def test_tasks_come_in_a_fixed_order_so_that_a_training_can_be_carried_on() -> None:
    one = annotation(1, "2026-11-22T10:00:00Z")
    tasks = [Exported(number, {}, (one,)) for number in (8, 3, 5)]
    assert choose(tasks) == choose(reversed(tasks))


def test_a_changed_mask_is_another_label_and_the_order_of_keys_is_not() -> None:
    regions = results(MASK, CONFIG)
    turned = [dict(reversed(region.items())) for region in regions]
    assert task(regions).fingerprint == task(turned).fingerprint
    assert task(regions).key == task(turned).key
    moved = [regions[0] | {"value": regions[0]["value"] | {"rle": [1, 2, 3]}}, *regions[1:]]
    assert task(regions).fingerprint != task(moved).fingerprint
    assert task(regions).key != task(moved).key
    assert task(regions).key.startswith("task 7 ")


def test_a_region_that_cannot_be_read_is_told_and_the_others_are_drawn() -> None:
    regions = results(MASK, CONFIG)
    regions[0]["value"]["rle"] = [0, 0, 0, 1]
    reading = task(regions).read(CONFIG, (6, 8))
    assert reading.label_map is not None
    assert np.array_equal(reading.label_map, np.where(MASK == 2, 2, 0))
    assert sum(reading.unreadable.values()) == 1


@given(
    known=st.dictionaries(st.integers(1, 200), st.sampled_from(Part), max_size=30),
    fresh=st.sets(st.integers(1, 200), max_size=30),
    fraction=st.floats(0, 0.9),
    most=st.integers(0, 10),
    seed=st.integers(0, 99),
)
def test_the_split_only_ever_grows(
    known: dict[int, Part], fresh: set[int], fraction: float, most: int, seed: int
) -> None:
    tasks = [LabelledTask(number, {}, number, []) for number in sorted(known.keys() | fresh)]
    sides = new_sides(tasks, known, fraction, most, seed)
    assert sides.keys() == fresh - known.keys(), "a side once given is not given again"
    settled = sum(part is Part.VALIDATION for part in known.values())
    added = sum(part is Part.VALIDATION for part in sides.values())
    assert added <= max(most - settled, 0)
    assert new_sides(list(reversed(tasks)), known, fraction, most, seed) == sides


def test_two_labels_are_enough_for_an_image_to_validate_on() -> None:
    tasks = [LabelledTask(number, {}, number, []) for number in (11, 12)]
    sides = new_sides(tasks, {}, 0.2, 20, 0)
    assert sorted(sides.values()) == [Part.TRAINING, Part.VALIDATION]
