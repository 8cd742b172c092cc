"""The shipped weights: small, good on phantoms and, if available, on the real hands."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from model.classes import Classes
from model.imaging.decoding import decode_image
from model.metrics import evaluate, mean_dice
from model.pretrained import pretrained_start, pretrained_version
from model.research.phantom import draw_phantom
from model.segmenter import Segmenter
from model.training.dataset import read_folder, read_mask
from model.weights import load_version

HANDS = Path(os.environ.get("DSAL_DATA", Path(__file__).parents[2] / "../shared/data")) / "hand-bones"


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(pretrained_version(), engine="torch", precision="fp32", threads=1)


def test_they_are_small_and_described(segmenter: Segmenter) -> None:
    size = sum(file.stat().st_size for file in pretrained_version().iterdir())
    assert size < 5_000_000
    assert segmenter.labels == ("bone",)
    assert segmenter.card.network.width == 16
    assert segmenter.card.stored == "float16"


@pytest.mark.slow
def test_they_segment_unseen_phantoms(segmenter: Segmenter) -> None:
    found = []
    for age in (2, 6, 10, 14, 18):
        phantom = draw_phantom(age, 77, size=(400, 500))
        found.append(mean_dice(segmenter.segment([phantom.image])[0].final, phantom.mask // 255, 1))
    assert np.mean(found) >= 0.9


@pytest.mark.skipif(not HANDS.is_dir(), reason="the nine real hands (hand-bones) are not available")
def test_they_segment_nine_real_hands(segmenter: Segmenter) -> None:
    samples = read_folder(HANDS / "images", HANDS / "masks")
    found = evaluate(
        segmenter,
        ((decode_image(s.image_path.read_bytes()), read_mask(s.mask_path)) for s in samples),
    )
    assert len(found.per_image) == 9
    assert found.dsc >= 0.955
    assert min(found.per_image) >= 0.94


def test_a_project_of_one_label_segments_it_at_once_whatever_its_name() -> None:
    network, card = pretrained_start(Classes.of(["Knochen"]))
    shipped, _ = load_version(pretrained_version())
    x = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(network(x), shipped(x), strict=True))
    assert card.name


def test_a_project_of_several_labels_segments_known_labels_only() -> None:
    network, _ = pretrained_start(Classes.of(["nail", "bone"]))
    shipped, _ = load_version(pretrained_version())
    x = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(1))
    assert network.settings.classes == 3
    with torch.inference_mode():
        ours, theirs = network(x).final, shipped(x).final
    torch.testing.assert_close(ours[:, [0, 2]], theirs)
    assert not (ours.argmax(1) == 1).any()
