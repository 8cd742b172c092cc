"""Which label gets the pixels where regions overlap, and which labels count as nested."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from ml_backend.label_studio.nesting import describe_nested, find_nested
from ml_backend.label_studio.regions.canvas import Overlap
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.label_studio.tasks import AnnotatedTask, Annotation
from tests.ml_backend.label_studio.regions.kinds import SIZE, TAGS, box, config, control, region, shape

LABELS = ("Root", "Canal", "Filling")
ROOT, CANAL, FILLING = box(25, 25, 75, 75), box(40, 30, 55, 70), box(45, 40, 50, 50)
PLACES = {"Root": (25, 25, 75, 75), "Canal": (40, 30, 55, 70), "Filling": (45, 40, 50, 50)}
NESTED = np.where(FILLING, 3, np.where(CANAL, 2, np.where(ROOT, 1, 0)))


def drawn(kind: str, *labels: str, name: str = "mask") -> list[dict[str, Any]]:
    return [region(kind, shape(kind, *PLACES[label]), label, name=name) for label in labels]


@pytest.mark.parametrize("kind", [kind for kind in TAGS if kind != "ellipselabels"])
@pytest.mark.parametrize("order", list(permutations(LABELS)))
def test_labels_three_deep_keep_their_pixels_in_any_order(kind: str, order: tuple[str, ...]) -> None:
    for attributes in ({}, {"model_overlap": "smaller"}):
        labels = config(control(kind, labels=LABELS, **attributes))
        np.testing.assert_array_equal(label_map(drawn(kind, *order), labels, SIZE).label_map, NESTED)


def test_the_config_can_give_the_pixels_to_the_later_region() -> None:
    labels = config(control("polygonlabels", labels=LABELS, model_overlap="later"))
    inside_out = label_map(drawn("polygonlabels", *LABELS[::-1]), labels, SIZE).label_map
    np.testing.assert_array_equal(inside_out, ROOT)
    np.testing.assert_array_equal(label_map(drawn("polygonlabels", *LABELS), labels, SIZE).label_map, NESTED)
    # What is given with the call, as the setting of a project is, comes before.
    found = label_map(drawn("polygonlabels", *LABELS[::-1]), labels, SIZE, "smaller").label_map
    np.testing.assert_array_equal(found, NESTED)


def test_an_invalid_rule_is_reported() -> None:
    (fault,) = config(control("polygonlabels", model_overlap="larger")).faults
    assert "one of later, smaller" in fault


@pytest.mark.parametrize("overlap", ["later", "smaller"])
def test_labels_of_several_controls_overlap_in_the_same_way(overlap: Overlap) -> None:
    labels = config(control("polygonlabels", "p", ("Root",)), control("brushlabels", "b", ("Canal",)))
    both = [*drawn("brushlabels", "Canal", name="b"), *drawn("polygonlabels", "Root", name="p")]
    found = label_map(both, labels, SIZE, overlap).label_map
    wanted = ROOT if overlap == "later" else np.where(CANAL, 2, ROOT)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("overlap", ["later", "smaller"])
@pytest.mark.parametrize("order", list(permutations(LABELS)))
def test_nested_labels_are_found(order: tuple[str, ...], overlap: Overlap) -> None:
    labels = config(control("polygonlabels", labels=LABELS))
    found = label_map(drawn("polygonlabels", *order), labels, SIZE, overlap).nested
    assert ("Canal", "Root") in found
    assert found & {("Filling", "Canal"), ("Filling", "Root")}
    assert found <= {("Canal", "Root"), ("Filling", "Canal"), ("Filling", "Root")}


def test_labels_that_touch_or_overlap_a_little_are_not_nested() -> None:
    labels = config(control("rectanglelabels", labels=LABELS))
    beside = [
        region("rectanglelabels", shape("rectanglelabels", 0, 0, 50, 50), "Root"),
        region("rectanglelabels", shape("rectanglelabels", 45, 0, 80, 50), "Canal"),
        region("rectanglelabels", shape("rectanglelabels", 80, 0, 90, 50), "Filling"),
    ]
    assert not label_map(beside, labels, SIZE).nested


def test_nested_labels_are_described_with_what_becomes_of_them() -> None:
    labels = config(control("polygonlabels", labels=LABELS[:2]))
    annotations = [
        Annotation(number, drawn("polygonlabels", "Canal", "Root"), "2026-11-22T10:00:00Z", skip, False)
        for number, skip in ((1, False), (2, False), (3, True))
    ]
    tasks = [AnnotatedTask(5, {}, tuple(annotations)), AnnotatedTask(6, {}, (annotations[0],))]
    nested = find_nested(tasks, labels)
    assert nested == [("Canal", "Root", 2)], "each task counts once"
    later, smaller = describe_nested(nested, "later"), describe_nested(nested, "smaller")
    assert later is not None
    assert smaller is not None
    assert later.startswith("Labels are nested: Canal within Root in 2 tasks; ")
    assert 'model_overlap="smaller"' in later
    assert "the inner label is kept" in smaller
    assert describe_nested([], "later") is None
