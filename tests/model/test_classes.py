"""Label maps keep their meaning when labels are added, removed, renamed and reordered."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.classes import Classes

names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(former=names, present=names)
def test_a_class_is_its_name(former: list[str], present: list[str]) -> None:
    classes = Classes.of(present)
    drawn = np.array([[0, *range(1, len(former) + 1), 255]], np.uint8)
    translated = classes.translate(drawn, former)[0]
    assert (translated[0], translated[-1]) == (0, 255)
    for index, name in enumerate(former, start=1):
        assert translated[index] == (present.index(name) + 1 if name in present else 0)
    assert classes.shared(former) == tuple(name for name in present if name in former)
    back = [None if origin is None else former[origin - 1] for origin in classes.origins(former)]
    assert back == [name if name in former else None for name in present]


def test_a_synonym_is_the_same_class() -> None:
    renamed = Classes(("bone", "nail"), {"bone": 1, "Bone": 1, "nail": 2})
    assert renamed.origins(("Nail", "Bone")) == (2, None)
    assert renamed.shared(("Nail", "Bone")) == ("bone",)
    assert renamed.translate(np.array([[1, 2]], np.uint8), ("Nail", "Bone")).tolist() == [[0, 1]]


def test_labels_that_became_one_are_united() -> None:
    united = Classes(("bone",), {"bone": 1, "carpal": 1, "ulna": 1})
    assert united.origins(("ulna", "skin", "carpal")) == (1,)
    assert united.translate(np.array([[0, 1, 2, 3]], np.uint8), ("ulna", "skin", "carpal")).tolist() == [
        [0, 1, 0, 1]
    ]
