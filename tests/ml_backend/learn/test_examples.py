"""The masks that a training learns from a task that several people have annotated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.label_studio.client import AnnotatedTask, Annotation
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.learn.examples import Data, MaskError, Truth, _Reader, read_truth
from ml_backend.learn.labels import choose
from ml_backend.setting_values import Rule
from ml_backend.store.models import Part
from model.imaging.preprocessing import PreprocessingSettings

CONFIG = parse(default_config(["Bone", "Nail"]))
FORMER = parse(default_config(["Bone", "Claw"]))
SIZE = (6, 8)


def columns(first: int, last: int, label: int = 1) -> NDArray[np.uint8]:
    mask = np.zeros(SIZE, np.uint8)
    mask[:, first:last] = label
    return mask


def drawn(mask: NDArray[np.uint8]) -> list[dict[str, Any]]:
    return results(mask, CONFIG)


def broken(mask: NDArray[np.uint8]) -> list[dict[str, Any]]:
    regions = drawn(mask)
    regions[0]["value"]["rle"] = [0, 0, 0, 1]
    return regions


def read(rule: Rule, *several: list[dict[str, Any]]) -> Truth:
    """The truth of a task that several people have annotated one after the other."""
    annotations = tuple(
        Annotation(number, result, f"2026-11-22T10:00:{number:02}Z", False, False, number)
        for number, result in enumerate(several, start=1)
    )
    (task,) = choose([AnnotatedTask(5, {}, annotations)], rule)
    return read_truth(task, CONFIG, SIZE)


def masks(truth: Truth) -> list[list[int]]:
    """The first row of each mask; all rows are equal."""
    assert all((mask == mask[0]).all() for mask in truth.masks.values())
    return [mask[0].tolist() for mask in truth.masks.values()]


def test_the_rule_decides_what_is_learned() -> None:
    three = [drawn(columns(0, 4)), drawn(columns(1, 5)), drawn(columns(1, 3))]
    assert masks(read("latest", *three)) == [[0, 1, 1, 0, 0, 0, 0, 0]]
    assert masks(read("majority", *three)) == [[0, 1, 1, 1, 0, 0, 0, 0]]
    assert masks(read("majority", *three[:2])) == [[255, 1, 1, 1, 255, 0, 0, 0]]
    assert masks(read("all", *three)) == [
        [1, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("rule", ["latest", "majority", "all"])
def test_agreement_does_not_depend_on_the_rule(rule: Rule) -> None:
    truth = read(rule, drawn(columns(0, 4)), drawn(columns(2, 4)), drawn(columns(0, 4)))
    assert truth.annotators == 3
    assert truth.agreement == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    alone = read(rule, drawn(columns(0, 4)))
    assert (alone.annotators, alone.agreement) == (1, None)


def test_an_unreadable_annotation_has_no_vote_and_is_reported() -> None:
    truth = read("majority", drawn(columns(0, 4)), broken(columns(0, 8)))
    assert masks(truth) == [[1, 1, 1, 1, 0, 0, 0, 0]]
    assert truth.problem.startswith("Task 5 is used without 1 of its regions: ")
    assert (truth.annotators, truth.agreement) == (1, None)
    with pytest.raises(MaskError, match="No mask of task 5 can be read"):
        read("latest", drawn(columns(0, 4)), broken(columns(0, 8)))


def test_regions_with_a_removed_label_are_neither_a_label_nor_background() -> None:
    both = columns(0, 2) + columns(4, 6, label=2)
    truth = read("latest", results(both, FORMER))
    assert masks(truth) == [[1, 1, 0, 0, 255, 255, 0, 0]]
    assert truth.problem == ""

    # An annotation with no other regions is not learned as an image of background.
    alone = read("latest", results(columns(4, 6, label=2), FORMER))
    assert (masks(alone), alone.problem, alone.annotators) == ([], "", 0)
    voted = read("majority", results(columns(4, 6, label=2), FORMER), drawn(columns(0, 4)))
    assert masks(voted) == [[1, 1, 1, 1, 0, 0, 0, 0]]


def test_an_empty_annotation_has_a_vote() -> None:
    truth = read("majority", drawn(columns(0, 4)), [], [])
    assert masks(truth) == [[0] * 8]
    assert truth.agreement == pytest.approx((0 + 0 + 1) / 3)
    note = {"type": "textarea", "from_name": "note", "to_name": "image", "value": {"text": ["no hand here"]}}
    assert masks(read("latest", [note])) == [[0] * 8]


def test_what_cannot_be_read_is_unknown_and_not_background() -> None:
    unlabelled = drawn(columns(4, 6, label=2))
    unlabelled[0]["value"]["brushlabels"] = []
    truth = read("latest", [*drawn(columns(0, 2)), *unlabelled])
    assert masks(truth) == [[1, 1, 0, 0, 255, 255, 0, 0]]
    assert truth.problem == "Task 5 is used without 1 of its regions: The region has no label."
    assert not truth.is_partial

    # Nobody knows where a broken region is.
    truth = read("latest", [*drawn(columns(0, 2)), *broken(columns(4, 6))])
    assert masks(truth) == [[1, 1, 255, 255, 255, 255, 255, 255]]
    assert truth.is_partial
    several = read("majority", drawn(columns(0, 4)), [*drawn(columns(0, 2)), *broken(columns(4, 6))])
    assert masks(several) == [[1, 1, 1, 1, 0, 0, 0, 0]], "what is unknown does not vote"
    assert (several.annotators, several.agreement) == (1, None)


def test_the_rule_for_overlaps_is_the_knobs_or_the_settings() -> None:
    inner, outer = drawn(columns(2, 4, label=2)), drawn(columns(0, 8))
    task = choose(
        [AnnotatedTask(5, {}, (Annotation(1, inner + outer, "2026-11-22T10:00:01Z", False, False),))], "all"
    )
    assert masks(read_truth(task[0], CONFIG, SIZE, "smaller")) == [[1, 1, 2, 2, 1, 1, 1, 1]]
    truth = read_truth(task[0], CONFIG, SIZE, "later")
    assert masks(truth) == [[1] * 8]
    assert truth.nested == {("Nail", "Bone")}


def examples(result: list[dict[str, Any]], side: Part) -> Data:
    """What a training gets from one task on a side of the split."""
    images: Any = SimpleNamespace(images=SimpleNamespace(read=lambda *_: np.full(SIZE, 90, np.uint8)))
    annotation = Annotation(1, result, "2026-11-22T10:00:01Z", False, False)
    reader = _Reader(images, 1, CONFIG, PreprocessingSettings(size=64), {5: side}, "smaller")
    for task in choose([AnnotatedTask(5, {}, (annotation,))], "latest"):
        reader.read(task)
    return reader.data


def test_an_annotation_with_a_region_in_an_unknown_place_teaches_but_does_not_validate() -> None:
    partial = [*drawn(columns(0, 2)), *broken(columns(4, 6))]
    taught = examples(partial, Part.TRAINING)
    assert (len(taught.training), taught.used) == (1, 1)
    assert set(np.unique(taught.training[0].mask)) == {1, 255}
    validated = examples(partial, Part.VALIDATION)
    assert (validated.validation, validated.validated, validated.used) == ([], [], 0)
    assert validated.problems[-1] == "Task 5 is not validated on: not all of its regions can be read."
    assert len(examples(drawn(columns(0, 2)), Part.VALIDATION).validation) == 1


def test_nested_labels_are_counted_by_task() -> None:
    both = examples([*drawn(columns(2, 4, label=2)), *drawn(columns(0, 8))], Part.TRAINING)
    assert both.nested == {("Nail", "Bone"): 1}
