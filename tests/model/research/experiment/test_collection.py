"""The split: fixed, disjoint by subject, in the paper's proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.imaging.frame import Frame
from model.research.experiment.collection import (
    Collection,
    LabelledImage,
    boundary_length,
    proportional,
    split_collection,
    start_set,
)
from model.research.experiment.settings import ExperimentError, ExperimentSettings
from model.training.dataset import Example


def collection(subjects: list[str]) -> Collection:
    pixel = np.zeros((16, 16), np.uint8)
    frame = Frame.fit((16, 16), (0, 0, 16, 16), 16)
    images = tuple(
        LabelledImage(f"{number:04}", Example(f"{number:04}", pixel, pixel), frame, pixel, 0.0, subject)
        for number, subject in enumerate(subjects)
    )
    return Collection(images, ("bone",), "")


def test_the_papers_images_are_split_as_in_the_paper() -> None:
    sides = split_collection(collection([str(number) for number in range(209)]), None)
    assert [len(side) for side in (sides.training, sides.validation, sides.test)] == [139, 20, 50]


@given(total=st.integers(3, 3000))
def test_every_image_of_any_set_is_on_one_side(total: int) -> None:
    parts = proportional(total)
    assert sum(parts) == total
    assert min(parts) >= 1


@given(subjects=st.lists(st.sampled_from([f"s{number}" for number in range(12)]), min_size=30, max_size=60))
def test_no_subject_is_on_two_sides(subjects: list[str]) -> None:
    images = collection(subjects)
    try:
        sides = split_collection(images, None)
    except ExperimentError as error:
        assert "too few" in str(error)  # noqa: PT017 - few subjects with many images each
        return
    subjects_of_sides = [
        {images.images[index].subject for index in side}
        for side in (sides.training, sides.validation, sides.test)
    ]
    assert not subjects_of_sides[0] & subjects_of_sides[1]
    assert not subjects_of_sides[0] & subjects_of_sides[2]
    assert not subjects_of_sides[1] & subjects_of_sides[2]


def test_a_split_beyond_the_images_is_refused() -> None:
    with pytest.raises(ExperimentError, match="needs 209 images, but there are only 30"):
        split_collection(collection([str(number) for number in range(30)]), (139, 20, 50))
    small = split_collection(collection([str(number) for number in range(30)]), (10, 3, 5))
    assert [len(side) for side in (small.training, small.validation, small.test)] == [10, 3, 5]


def test_start_sets_depend_only_on_the_seed() -> None:
    pool = list(range(50, 120))
    assert start_set(pool, 10, 3) == start_set(pool, 10, 3)
    assert start_set(pool, 10, 3) != start_set(pool, 10, 4)
    assert start_set(pool, 20, 3)[:10] == start_set(pool, 10, 3)
    assert set(start_set(pool, 10, 3)) <= set(pool)


def test_the_boundary_length_of_a_disc() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = ((rows - 100) ** 2 + (columns - 90) ** 2 < 60**2).astype(np.uint8)
    assert boundary_length(disc) == pytest.approx(2 * np.pi * 60, rel=0.02)
    assert boundary_length(np.ones((20, 20), np.uint8)) == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"arms": ()}, "no arm"),
        ({"arms": ("random", "random")}, "twice"),
        ({"arms": ("best",)}, "best"),
        ({"seeds": 0}, "seeds is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"split": (10, 0, 3)}, "(10, 0, 3)"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"arms": ("random", "mc-dropout")}, "--dropout"),
        ({"start_steps": 0}, "start_steps"),
        ({"start_steps": 9, "fine_tune": False}, "start_steps"),
    ],
)
def test_invalid_settings_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        ExperimentSettings(**wrong)  # type: ignore[arg-type]
    assert named in str(caught.value)
