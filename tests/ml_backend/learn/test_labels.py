"""Which annotations count, what changes their digests, and the sides of the split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.client import AnnotatedTask, Annotation
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.label_studio.tasks import annotated_task
from ml_backend.learn.labels import (
    LabelledTask,
    blind_sides,
    choose,
    digest,
    label_digests,
    new_sides,
    sort_out,
)
from ml_backend.setting_values import Rule
from ml_backend.store.models import Part

CONFIG = parse(default_config(["Bone", "Nail"]))
MASK = np.zeros((6, 8), np.uint8)
MASK[1:4, 2:5] = 1
MASK[4:, 6:] = 2


def annotation(
    number: int,
    at: str = "10:00:00Z",
    *,
    by: int | None = 1,
    skip: bool = False,
    truth: bool = False,
    result: list[Any] | None = None,
) -> Annotation:
    drawn = result if result is not None else [{"of": number}]
    return Annotation(number, drawn, f"2026-11-22T{at}", skip, truth, by)


def counting(rule: Rule, *annotations: Annotation) -> list[int]:
    return [one.id for task in choose([AnnotatedTask(5, {}, annotations)], rule) for one in task.counting]


def labelled(number: int, *annotations: Annotation, rule: Rule = "latest") -> LabelledTask:
    return LabelledTask(number, {"image": "x"}, annotations, annotations, rule)


def test_the_annotation_changed_last_counts() -> None:
    first, second = annotation(1, "10:00:00.500000Z"), annotation(2, "10:00:00Z", by=2)
    assert counting("latest", first, second) == [1]
    assert counting("latest", first, annotation(2, "12:00:01+01:00", by=2)) == [2]


def test_each_annotator_has_one_vote_and_it_is_the_latest() -> None:
    several = (
        annotation(1, "10:00:00Z", by=7),
        annotation(2, "11:00:00Z", by=8),
        annotation(3, "12:00:00Z", by=7),
        annotation(4, "13:00:00Z", by=8, skip=True),
    )
    assert counting("majority", *several) == [2, 3]
    assert counting("all", *several) == [1, 2, 3]
    (task,) = choose([AnnotatedTask(5, {}, several)], "latest")
    assert [one.id for one in task.opinions] == [2, 3], "opinions do not depend on the rule"


def test_annotations_without_an_annotator_count_separately() -> None:
    assert counting("majority", annotation(1, by=None), annotation(2, by=None), annotation(3, by=2)) == [
        1,
        2,
        3,
    ]


def test_ground_truth_takes_precedence() -> None:
    several = (
        annotation(1, "10:00:00Z", by=1, truth=True),
        annotation(2, "11:00:00Z", by=2),
        annotation(3, "12:00:00Z", by=3, truth=True),
        annotation(4, "13:00:00Z", by=4, truth=True, skip=True),
    )
    assert counting("latest", *several) == [3]
    assert counting("majority", *several) == [1, 3]
    assert counting("all", *several) == [1, 3]
    (task,) = choose([AnnotatedTask(5, {}, several)], "all")
    assert [one.id for one in task.opinions] == [1, 2, 3]


def test_a_skip_is_not_a_label_and_an_empty_annotation_is() -> None:
    skip = annotation(1, skip=True)
    empty = annotation(2, "09:00:00Z", result=[])
    chosen = choose(
        [AnnotatedTask(9, {}, (skip,)), AnnotatedTask(4, {}, (skip, empty)), AnnotatedTask(3, {}, ())],
        "latest",
    )
    assert [(one.task_id, [each.id for each in one.counting]) for one in chosen] == [(4, [2])]


def test_tasks_have_a_fixed_order_so_that_a_training_can_be_continued() -> None:
    tasks = [AnnotatedTask(number, {}, (annotation(1), annotation(2, by=2))) for number in (8, 3, 5)]
    for rule in ("latest", "majority", "all"):
        assert choose(tasks, rule) == choose(reversed(tasks), rule)


def test_only_a_changed_mask_changes_the_digest() -> None:
    regions = results(MASK, CONFIG)
    turned = [dict(reversed(region.items())) for region in regions]
    assert digest(regions) == digest(turned)
    moved = [regions[0] | {"value": regions[0]["value"] | {"rle": [1, 2, 3]}}, *regions[1:]]
    renamed = [regions[0] | {"value": regions[0]["value"] | {"brushlabels": ["Nail"]}}, *regions[1:]]
    assert len({digest(regions), digest(moved), digest(renamed), digest(regions[::-1])}) == 4

    # The editor's own states, and annotations about regions.
    touched = [region | {"id": "new", "hidden": True, "locked": True, "score": 0.4} for region in regions]
    kind = {
        "type": "choices",
        "id": "new",
        "from_name": "kind",
        "to_name": "image",
        "value": {"choices": ["a"]},
    }
    text = {"type": "textarea", "from_name": "note", "to_name": "image", "value": {"text": ["broken"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    assert digest([text, *touched, kind, relation]) == digest(regions)


def test_a_changed_mask_is_a_changed_example() -> None:
    one, other = annotation(1, result=results(MASK, CONFIG)), annotation(1, result=[])
    for rule in ("latest", "majority", "all"):
        (sample,), (changed,) = labelled(7, one, rule=rule).samples, labelled(7, other, rule=rule).samples
        assert sample.key.startswith("task 7 ")
        assert sample.key != changed.key


def test_the_annotations_of_an_example() -> None:
    drawn = results(MASK, CONFIG)
    one, two = annotation(1, result=drawn), annotation(2, by=2, result=drawn)
    (voted,) = labelled(7, one, two, rule="majority").samples
    assert voted.annotations == (one, two)
    each = labelled(7, one, two, rule="all").samples
    assert [sample.annotations for sample in each] == [(one,), (two,)]
    assert each[0].key != each[1].key, "identical masks of two people are two examples"


def test_each_annotation_that_counts_has_a_digest() -> None:
    one, two = annotation(1, result=results(MASK, CONFIG)), annotation(2, by=2, result=[])
    tasks = [labelled(7, one, two, rule="majority"), labelled(8, annotation(3))]
    found = label_digests(tasks)
    assert {number: label.task_id for number, label in found.items()} == {1: 7, 2: 7, 3: 8}
    assert found[1].digest == digest(one.result)


def exported(number: int, result: Any, **fields: Any) -> AnnotatedTask:
    """A task of Label Studio's export, as it was exported by 1.23.2, with one annotation."""
    written = {
        "id": number,
        "completed_by": 1,
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": "2026-11-22T10:00:00Z",
        "lead_time": None,
        "updated_by": None,
        "parent_prediction": None,
    }
    return annotated_task({"id": number, "data": {}, "annotations": [written | fields]})


TEXT = {"type": "textarea", "from_name": "note", "to_name": "image", "value": {"text": ["no hand"]}}


def test_an_annotation_without_regions_is_a_label_only_if_a_person_submitted_it() -> None:
    submitted = [
        exported(1, [], updated_by=1),
        exported(2, [TEXT], updated_by=1, parent_prediction=7),
        exported(3, [], lead_time=4.2),
    ]
    imported = [
        exported(4, [], ground_truth=True),
        exported(5, [TEXT]),
        exported(6, [], parent_prediction=7),
        exported(7, [], updated_by=1, was_cancelled=True),
    ]
    drawn = [exported(8, results(MASK, CONFIG)), exported(9, [{"type": {}}]), exported(10, "odd")]
    for rule in ("latest", "majority", "all"):
        chosen = sort_out([*submitted, *imported, *drawn], rule)
        assert [task.task_id for task in chosen.labelled] == [1, 2, 3, 8, 9, 10]
        assert [sentence.split(" is ")[0] for sentence in chosen.left_out] == ["Task 4", "Task 5", "Task 6"]
        assert all("no person submitted it" in sentence for sentence in chosen.left_out)


def test_an_imported_annotation_without_regions_does_not_outrank_a_persons() -> None:
    person = exported(1, results(MASK, CONFIG), updated_by=1).annotations
    imported = exported(2, [], ground_truth=True, updated_at="2026-11-23T10:00:00Z").annotations
    (task,) = choose([AnnotatedTask(5, {}, person + imported)], "latest")
    assert [one.id for one in task.counting] == [1]


def answer(*choices: Any, name: str = "quality") -> dict[str, Any]:
    return {"type": "choices", "from_name": name, "to_name": "image", "value": {"choices": list(choices)}}


EXCLUSIONS = frozenset({("quality", "bad image")})


@pytest.mark.parametrize(
    ("result", "excluded"),
    [
        ([answer("bad image")], True),
        ([*results(MASK, CONFIG), answer("good", "bad image")], True),
        ([{**answer(), "value": {"choices": "bad image"}}], True),
        ([answer("good")], False),
        ([answer("bad image", name="other")], False),
        ([answer({}, [], None)], False),
        ([{**answer(), "value": None}], False),
        ([{**answer("bad image"), "from_name": {}}], False),
    ],
)
def test_an_answer_excludes_the_task(result: list[Any], excluded: bool) -> None:
    task = AnnotatedTask(5, {}, (annotation(1, result=result),))
    for rule in ("latest", "majority", "all"):
        chosen = sort_out([task], rule, EXCLUSIONS)
        assert (chosen.labelled == []) == excluded
        assert bool(chosen.left_out) == excluded
        if excluded:
            assert chosen.left_out == [
                "Task 5 is excluded: an annotator answered “bad image” (model_exclude)."
            ]
        assert choose([task], rule), "without the knob it is a label"


def test_only_an_annotation_that_counts_excludes_its_task() -> None:
    bad, good = annotation(1, result=[answer("bad image")]), annotation(2, "11:00:00Z", by=2)
    skipped = annotation(3, "12:00:00Z", result=[answer("bad image")], skip=True)
    both = AnnotatedTask(5, {}, (bad, good, skipped))
    assert sort_out([both], "latest", EXCLUSIONS).labelled
    assert sort_out([both], "all", EXCLUSIONS).left_out
    # A task that is excluded later has no digest any more, so that it counts as a changed label.
    assert label_digests(choose([both], "all", EXCLUSIONS)) == {}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
fields = st.sampled_from(["type", "from_name", "to_name", "value", "id", "original_width"])


@given(st.lists(st.dictionaries(fields, anything, max_size=5) | anything, max_size=3) | anything)
def test_any_result_has_a_digest_and_is_sorted_out(result: Any) -> None:
    assert len(digest(result)) == 64
    for by_person in ({}, {"updated_by": 1}):
        chosen = sort_out([exported(1, result, **by_person)], "majority", EXCLUSIONS)
        assert len(chosen.labelled) + len(chosen.left_out) == 1


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
    tasks = [labelled(number, annotation(number)) for number in sorted(known.keys() | fresh)]
    sides = new_sides(tasks, known, fraction, most, seed)
    assert sides.keys() == fresh - known.keys(), "existing sides do not change"
    settled = sum(part is Part.VALIDATION for part in known.values())
    added = sum(part is Part.VALIDATION for part in sides.values())
    assert added <= max(most - settled, 0)
    assert new_sides(list(reversed(tasks)), known, fraction, most, seed) == sides


def test_two_labels_are_enough_for_an_image_to_validate_on() -> None:
    tasks = [labelled(number, annotation(number)) for number in (11, 12)]
    sides = new_sides(tasks, {}, 0.2, 20, 0)
    assert sorted(sides.values()) == [Part.TRAINING, Part.VALIDATION]


def test_tasks_whose_mask_was_merely_accepted_never_validate() -> None:
    tasks = [labelled(number, annotation(number)) for number in range(1, 31)]
    unfit = set(range(1, 28))
    sides = new_sides(tasks, {}, 0.2, 20, 0, unfit=unfit)
    validating = {number for number, part in sides.items() if part is Part.VALIDATION}
    assert validating == {28, 29, 30}, "a fifth of all tasks, but only those that may validate"
    assert set(new_sides(tasks, {}, 0.2, 20, 0, unfit=range(1, 31)).values()) == {Part.TRAINING}


def test_under_blind_validation_exactly_the_blind_tasks_validate() -> None:
    tasks = [labelled(number, annotation(number)) for number in range(1, 9)]
    sides = blind_sides(tasks, {1: Part.TRAINING}, {1, 2, 5}, unfit={5})
    assert 1 not in sides
    assert {number for number, part in sides.items() if part is Part.VALIDATION} == {2}
