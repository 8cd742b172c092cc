"""What the first click achieves, by itself and beginning with the mask that is drawn without it."""

from __future__ import annotations

import numpy as np
import pytest

from model.interaction.corrector import ALONE, FROM_MASK, begins_with_mask
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.pretrained import pretrained_version
from model.research.phantom import draw_phantom
from model.training.dataset import Example, make_example
from model.training.first_click import first_click
from model.weights import load_version


@pytest.fixture(scope="module")
def shipped() -> DeeplySupervisedUNet:
    return load_version(pretrained_version())[0]


@pytest.fixture(scope="module")
def hand() -> Example:
    phantom = draw_phantom(9, seed=4, size=(320, 400))
    _, card = load_version(pretrained_version())
    return make_example("hand", phantom.image, (phantom.bones > 0).astype(np.uint8), card.preprocessing)


def test_both_beginnings_are_measured(shipped: DeeplySupervisedUNet, hand: Example) -> None:
    found = first_click(shipped, [hand])
    assert set(found) == {ALONE, FROM_MASK}
    assert 0.5 < found[ALONE] <= 1
    assert found == first_click(shipped, [hand])


def test_nothing_is_measured_without_layers_for_prompts_or_objects(
    shipped: DeeplySupervisedUNet, hand: Example
) -> None:
    plain = DeeplySupervisedUNet(NetworkSettings(classes=2, width=2)).eval()
    assert first_click(plain, [hand]) == {}
    empty = Example("empty", hand.image, np.zeros_like(hand.mask))
    assert first_click(shipped, [empty]) == {}
    assert first_click(shipped, []) == {}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, False),
        ({ALONE: 0.2, FROM_MASK: 0.9}, True),
        ({ALONE: 0.82, FROM_MASK: 0.83}, False),
        ({ALONE: 0.9, FROM_MASK: 0.5}, False),
    ],
)
def test_the_mask_is_begun_with_only_where_it_clearly_helps(
    figures: dict[str, float], expected: bool
) -> None:
    assert begins_with_mask(figures) is expected
