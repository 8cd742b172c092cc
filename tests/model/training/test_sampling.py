"""Which examples a training learns from, and which parts of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.network import NetworkSettings
from model.training.batches import Batches
from model.training.dataset import Example
from model.training.run import Progress
from model.training.sampling import Sampler, have_sides
from tests.model.squares import SETTINGS, run, same


def drawn(key: str, *labels: int, side: int = 32) -> Example:
    """A canvas with one column of 4 × 4 squares, one for each label."""
    mask = np.zeros((side, side), np.uint8)
    for place, label in enumerate(labels):
        mask[4 + 8 * place : 8 + 8 * place, 8:12] = label
    return Example(key, np.where(mask > 0, 60 * mask, 20).astype(np.uint8), mask)


COMMON = [drawn(f"common {number}", 1) for number in range(18)]
RARE = [drawn("rare 0", 1, 2), drawn("rare 1", 2)]


def test_a_label_on_few_images_is_learned_in_a_quarter_of_the_places_of_two() -> None:
    examples = [*COMMON, *RARE]
    places = [Sampler(examples, 5, balanced=True).at(place) for place in range(800)]
    for_a_label = Counter(label for _, label in places)
    assert for_a_label == {None: 400, 1: 200, 2: 200}
    assert all(label in examples[index].mask for index, label in places if label is not None)
    plain = Counter(index for index, label in places if label is None)
    assert set(plain.values()) == {20}, "every image keeps half of its turns"
    rare = Counter(index for index, label in places if label == 2)
    assert rare == {18: 100, 19: 100}


@pytest.mark.parametrize("examples", [COMMON, [drawn(f"empty {number}") for number in range(3)]])
def test_without_several_labels_each_image_comes_once_an_epoch(examples: list[Example]) -> None:
    sampler = Sampler(examples, 5, balanced=True)
    places = [sampler.at(place) for place in range(len(examples))]
    assert sorted(index for index, _ in places) == list(range(len(examples)))
    assert {label for _, label in places} == {None}
    plain = Sampler(examples, 5, balanced=False)
    assert places == [plain.at(place) for place in range(len(examples))]


def test_a_rare_label_is_in_every_part_that_was_chosen_for_it() -> None:
    examples = [drawn(f"{number}", 1, side=64) for number in range(6)] + [drawn("rare", 2, side=64)]
    batches = Batches(examples, 4, seed=1, augment=False, balanced=True, crop=16)
    targets = [batches.batch(step).targets for step in range(20)]
    assert all(target.shape == (4, 16, 16) for target in targets)
    assert sum(2 in part for target in targets for part in target) >= 20


def lungs(number: int, *, swapped: bool) -> Example:
    mask = np.zeros((32, 48), np.uint8)
    mask[8:24, 6:18], mask[8:24, 28:40] = (2, 1) if swapped else (1, 2)
    return Example(f"lungs {number}", np.full((32, 48), 90, np.uint8) + 40 * mask, mask)


def test_labels_of_a_left_and_a_right_side_are_never_mirrored() -> None:
    lateral = [lungs(number, swapped=False) for number in range(8)]
    assert have_sides(lateral)
    assert not have_sides([lungs(number, swapped=number % 2 > 0) for number in range(8)])
    assert not have_sides(lateral[:4]), "four images are too few to tell"
    assert not have_sides(COMMON)
    assert not have_sides([drawn(f"{number}", 1, 2) for number in range(8)])
    batches = Batches(lateral, 4, seed=2, augment=True)
    for step in range(10):
        for target in batches.batch(step).targets.numpy():
            columns = [np.nonzero(target == label)[1].mean() for label in (1, 2)]
            assert columns[0] < columns[1]


class _CancelledError(Exception):
    pass


@pytest.mark.usefixtures("one_thread")
def test_a_balanced_run_on_parts_resumes_as_if_it_had_not_been_interrupted(tmp_path: Path) -> None:
    changes = {
        "settings": replace(SETTINGS, balanced=True, crop=16),
        "training": [*COMMON[:4], *RARE],
        "validation": [drawn("other", 1, 2)],
        "labels": ("root", "canal"),
        "network": NetworkSettings(classes=3, width=4),
    }

    def cancel(entry: Progress) -> None:
        if entry.step == 4:
            raise _CancelledError

    with pytest.raises(_CancelledError):
        run(**changes, checkpoints=tmp_path, progress=cancel)  # type: ignore[arg-type]
    steps: list[int] = []
    resumed = run(**changes, checkpoints=tmp_path, progress=lambda entry: steps.append(entry.step))  # type: ignore[arg-type]
    assert steps == [5, 6]
    assert same(resumed.network, run(**changes).network)  # type: ignore[arg-type]
