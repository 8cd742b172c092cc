"""Every image is held back exactly once, with all of its examples."""

from __future__ import annotations

import numpy as np
import pytest

from model.network import NetworkSettings
from model.training.cross_fitting import cross_fit, divide
from model.training.dataset import Example
from model.training.settings import TrainingError, TrainingSettings

SETTINGS = TrainingSettings(steps=1, augment=False, episodes=0, precision="fp32", device="cpu")


def examples(images: list[str]) -> list[Example]:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:10, 4:10] = 1
    return [Example(f"{name} {index}", mask * 200, mask) for index, name in enumerate(images)]


def test_each_image_is_judged_by_one_network_that_has_not_seen_it() -> None:
    images = ["a", "a", "b", "c", "d", "e", "f"]
    found = list(
        cross_fit(
            examples(images),
            images,
            labels=("Bone",),
            network=NetworkSettings(2, 4),
            settings=SETTINGS,
        )
    )
    assert [fold.number for fold in found] == [0, 1, 2]
    assert sorted(name for fold in found for name in fold.images) == ["a", "b", "c", "d", "e", "f"]
    assert [len(fold.images) for fold in found] == [2, 2, 2]


def test_folds_do_not_depend_on_the_order_of_the_images() -> None:
    names = [str(number) for number in range(20)]
    assert divide(names) == divide(names[::-1])
    assert divide(names, seed=1) != divide(names)


def test_too_few_images_are_refused_with_their_number() -> None:
    with pytest.raises(TrainingError, match="5 labelled images are too few"):
        next(
            cross_fit(
                examples(list("abcde")),
                list("abcde"),
                labels=("Bone",),
                network=NetworkSettings(2, 4),
                settings=SETTINGS,
            )
        )
