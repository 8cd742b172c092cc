"""A version's answers to marks on a phantom, with the rule for versions that have not learned prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.consistency import dice
from model.interaction.adoption import footprint, touched
from model.interaction.corrector import ALONE, FROM_MASK
from model.interaction.prompts import Box, Click, PromptError
from model.network import DeeplySupervisedUNet
from model.pretrained import pretrained_version
from model.research.phantom import draw_phantom
from model.segmenter import Segmenter
from model.weights import load_version, save_version

PHANTOM = draw_phantom(9, seed=4, size=(480, 600))
BONES = PHANTOM.bones > 0


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(pretrained_version(), engine="torch", precision="fp32")


def middle(bone: int) -> tuple[float, float]:
    rows, columns = np.nonzero(PHANTOM.bones == bone)
    return float(np.median(columns)) + 0.5, float(np.median(rows)) + 0.5


def test_click_draws_a_missing_bone_and_leaves_the_others(segmenter: Segmenter) -> None:
    missing = PHANTOM.bones == 8
    mask = BONES & ~missing
    opened = segmenter.open(PHANTOM.image)
    found = segmenter.refine(opened, mask, (Click(*middle(8)),))
    assert dice(found.mask & ~mask, missing) > 0.7
    assert not (mask & ~found.mask).any()
    assert found.changed is not None


def test_negative_click_removes_what_is_no_bone(segmenter: Segmenter) -> None:
    blob = np.zeros_like(BONES)
    blob[10:40, 10:50] = True
    found = segmenter.refine(PHANTOM.image, BONES | blob, (Click(30, 25, positive=False),))
    assert dice(found.mask, BONES) > 0.98
    assert not found.mask[25, 30]


def test_box_draws_the_bone_in_it(segmenter: Segmenter) -> None:
    bone = PHANTOM.bones == 3
    rows, columns = np.nonzero(bone)
    box = Box(columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)
    found = segmenter.refine(PHANTOM.image, np.zeros_like(bone), (box,))
    assert dice(found.mask & bone, bone) > 0.8


def test_mask_of_another_size_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(PromptError, match="10×20 pixels, but the image has 480×600"):
        segmenter.refine(PHANTOM.image, np.zeros((20, 10), np.bool_), (Click(5, 5),))


def test_unknown_label_is_named(segmenter: Segmenter) -> None:
    with pytest.raises(PromptError, match="does not know the label tooth; give one of bone"):
        segmenter.refine(PHANTOM.image, np.zeros_like(BONES), (Click(5, 5),), label="tooth")


def test_image_of_16_bits_is_corrected_as_one_of_8(segmenter: Segmenter) -> None:
    wide = PHANTOM.image.astype(np.uint16) * 200
    mask = np.zeros_like(BONES)
    click = (Click(*middle(3)),)
    narrow_mask = segmenter.refine(PHANTOM.image, mask, click).mask
    assert dice(segmenter.refine(wide, mask, click).mask, narrow_mask) > 0.98


def test_version_without_layers_for_prompts_follows_the_rule(tmp_path: Path) -> None:
    network, card = load_version(pretrained_version())
    plain = {name: values for name, values in network.state_dict().items() if not name.startswith("prompts.")}
    settings = replace(card.network, prompts=False)
    former = DeeplySupervisedUNet(settings)
    former.load_state_dict(plain)
    save_version(tmp_path / "former", former, replace(card, network=settings))
    segmenter = Segmenter(tmp_path / "former", engine="torch", precision="fp32")
    assert not segmenter.corrector.knows_prompts
    missing = PHANTOM.bones == 8
    found = segmenter.refine(PHANTOM.image, BONES & ~missing, (Click(*middle(8)),))
    assert dice(found.mask & ~(BONES & ~missing), missing) > 0.7


def test_card_decides_whether_a_click_on_nothing_begins_with_the_mask(tmp_path: Path) -> None:
    network, card = load_version(pretrained_version())
    figures = {ALONE: 0.2, FROM_MASK: 0.9}
    save_version(tmp_path / "v", network, replace(card, metrics=card.metrics | figures))
    begun = Segmenter(tmp_path / "v", engine="torch", precision="fp32")
    blank, click = np.zeros_like(BONES), Click(*middle(3))
    found = begun.refine(PHANTOM.image, blank, (click,))
    unasked = begun.segment([PHANTOM.image])[0].final == 1
    drawn_there = touched(unasked, footprint(click, (600, 480)))
    assert drawn_there.any()
    assert dice(found.mask, drawn_there) > 0.95
    assert found.changed is not None
    # On what is drawn already, and by a negative click, nothing is begun.
    kept = begun.refine(PHANTOM.image, found.mask, (Click(*middle(3), positive=False),))
    assert not kept.mask[int(click.y), int(click.x)]
