"""A version learns prompts on phantoms, and keeps its name's history, its labels and its number format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.imaging.preprocessing import PreprocessingSettings
from model.interaction.prompts import Click
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.pretraining.prompts import PromptSettings, bone_examples, pretrain_prompts
from model.segmenter import Segmenter
from model.training.settings import TrainingError
from model.weights import Card, load_version, save_version

TINY = PromptSettings(steps=2, episodes=2, batch=1, phantoms=3)
PREPROCESSING = PreprocessingSettings(size=96)


def start(folder: Path, *labels: str) -> Path:
    """A version with random weights."""
    network = DeeplySupervisedUNet(NetworkSettings(classes=1 + len(labels), width=4)).eval()
    save_version(folder, network, Card("start", labels, network.settings, PREPROCESSING))
    return folder


@pytest.mark.slow
def test_the_result_is_a_version_that_answers_clicks(tmp_path: Path) -> None:
    told: list[int] = []
    card = pretrain_prompts(
        tmp_path / "taught", start(tmp_path / "start", "bone"), TINY, lambda step, *_: told.append(step)
    )
    assert told == [1, 2]
    assert (card.parent, card.labels, card.stored) == ("start", ("bone",), "float16")
    assert 0 <= card.metrics["phantom_dsc"] <= 1
    network, _ = load_version(tmp_path / "taught")
    assert network.prompts is not None
    assert network.prompts.maps.weight.abs().sum() > 0
    segmenter = Segmenter(tmp_path / "taught", engine="torch")
    grey = np.full((120, 90), 40, np.uint8)
    found = segmenter.refine(grey, np.zeros(grey.shape, np.bool_), (Click(40, 40),))
    assert found.mask[40, 40]


def test_a_version_with_several_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has 2 labels; start from a version with one"):
        pretrain_prompts(tmp_path / "taught", start(tmp_path / "start", "a", "b"), TINY)


def test_phantoms_are_labelled_bone_by_bone_and_as_one() -> None:
    as_one, by_bone = bone_examples(2, PREPROCESSING, seed=1)
    assert set(np.unique(as_one.mask)) == {0, 1}
    assert len(np.unique(by_bone.mask)) > 15
    assert 560 <= max(as_one.image.shape) <= 860
