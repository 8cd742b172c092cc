"""Episodes about prompts: what they show, and that a network learns from them what a click means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.interaction.prompts import Click
from model.interaction.refinement import refine
from model.loss import IGNORE_INDEX
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.prompt_layers import BOX, NEGATIVE, POSITIVE, PRESENT
from model.training.batches import Batches
from model.training.dataset import Example
from model.training.prompting import PIXELS, Episodes, answered, prompt_loss
from model.training.run import train
from model.training.settings import TrainingSettings


def bright_discs(key: str, seed: int) -> Example:
    """An image of two bright discs on a dark ground; the left one is label 1, the right one label 2."""
    draws = np.random.default_rng(seed)
    rows, columns = np.ogrid[:96, :128]
    mask = np.zeros((96, 128), np.uint8)
    for label, middle in ((1, 35), (2, 95)):
        y, x = 48 + draws.integers(-12, 13), middle + draws.integers(-8, 9)
        mask[(rows - y) ** 2 + (columns - x) ** 2 <= int(draws.integers(12, 22)) ** 2] = label
    grey = np.where(mask > 0, 190, 60) + draws.normal(0, 8, mask.shape)
    return Example(key, grey.astype(np.uint8), mask)


EXAMPLES = [bright_discs(str(seed), seed) for seed in range(8)]


def test_episodes_depend_on_seed_step_and_rank_alone() -> None:
    first, second = (Episodes(EXAMPLES, 3, seed=5).batch(9) for _ in range(2))
    assert first is not None
    assert second is not None
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    others = (
        Episodes(EXAMPLES, 3, 5).batch(10),
        Episodes(EXAMPLES, 3, 6).batch(9),
        Episodes(EXAMPLES, 3, 5, 1).batch(9),
    )
    for other in others:
        assert other is not None
        assert not torch.equal(first.images, other.images)


def test_episodes_are_of_every_kind_and_about_one_object() -> None:
    episodes = Episodes(EXAMPLES, 40, seed=1).batch(0)
    assert episodes is not None
    assert episodes.images.shape == (40, 1, PIXELS, PIXELS)
    assert 0 <= episodes.images.min() <= episodes.images.max() <= 1
    maps, targets = episodes.maps.numpy() > 0, episodes.targets.numpy()
    marked = maps[:, POSITIVE:].any((1, 2, 3))
    assert marked.all()
    for channel, least in ((POSITIVE, 10), (NEGATIVE, 5), (BOX, 2)):
        assert maps[:, channel].any((1, 2)).sum() >= least
    blank = ~maps[:, PRESENT].any((1, 2))
    assert 3 <= blank.sum() <= 30
    # Discs are bright: the object is, and of two labels only one is the object.
    bright = episodes.images.numpy()[:, 0] > 0.5
    objects = [grey[target == 1].mean() for grey, target in zip(bright, targets, strict=True)]
    assert np.mean(objects) > 0.8


def test_other_objects_of_the_same_label_are_not_asked_for() -> None:
    alike = [replace(one, mask=(one.mask > 0).astype(np.uint8)) for one in EXAMPLES]
    episodes = Episodes(alike, 60, seed=1).batch(0)
    assert episodes is not None
    bright = episodes.images.numpy()[:, 0] > 0.5
    targets = episodes.targets.numpy()
    ignored = (targets == IGNORE_INDEX).any((1, 2))
    assert ignored.sum() > 5
    assert bright[targets == IGNORE_INDEX].mean() > 0.5


def test_examples_without_an_object_give_no_episode() -> None:
    empty = Example("a", EXAMPLES[0].image, np.full((96, 128), IGNORE_INDEX, np.uint8))
    assert Episodes([empty], 2, seed=0).batch(0) is None


def test_answered_episodes_have_a_click_more_and_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = DeeplySupervisedUNet(NetworkSettings(classes=3, width=4, prompts=True)).train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    episodes = Episodes(EXAMPLES, 6, seed=2).batch(0)
    assert episodes is not None
    later = answered(episodes, network, seed=2, step=0)
    assert network.training
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    clicks = (POSITIVE, NEGATIVE)
    assert (later.maps[:, clicks].sum((1, 2, 3)) >= episodes.maps[:, clicks].sum((1, 2, 3))).all()
    assert later.maps[:, clicks].sum() > episodes.maps[:, clicks].sum()


def test_loss_is_smallest_for_the_truth_and_blind_where_nothing_is_asked() -> None:
    targets = torch.zeros(1, 8, 8, dtype=torch.int64)
    targets[0, 2:5, 2:5] = 1
    targets[0, 7] = IGNORE_INDEX
    right = torch.stack([targets != 1, targets == 1], 1).float() * 20
    wrong = right.flip(1)
    assert prompt_loss(right, targets) < 0.01 < 1 < prompt_loss(wrong, targets)
    elsewhere = right.clone()
    elsewhere[0, :, 7] = right.flip(1)[0, :, 7]
    assert prompt_loss(elsewhere, targets) == pytest.approx(prompt_loss(right, targets).item())


@pytest.mark.slow
def test_training_learns_masks_and_clicks_together() -> None:
    settings = TrainingSettings(steps=60, batch=2, seed=1, precision="fp32", device="cpu", learning_rate=1e-2)
    shape = NetworkSettings(classes=3, width=8, levels=4, prompts=True)
    result = train(EXAMPLES, [], labels=("left", "right"), network=shape, settings=settings)
    network = result.network

    def prompted(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = network.prompted(torch.from_numpy(image)[None], torch.from_numpy(maps)[None])
        return np.asarray(logits.softmax(1)[0, 1].numpy())

    unseen = bright_discs("unseen", 99)
    disc = unseen.mask == 2
    rows, columns = np.nonzero(disc)
    click = Click(columns.mean() + 0.5, rows.mean() + 0.5)
    found = refine(unseen.image, np.zeros_like(disc), (click,), prompted).mask
    overlap = 2 * (found & disc).sum() / (found.sum() + disc.sum())
    assert overlap > 0.85


def test_without_episodes_the_layers_for_prompts_stay() -> None:
    shape = NetworkSettings(classes=3, width=4, levels=3, prompts=True)
    settings = TrainingSettings(steps=3, seed=1, precision="fp32", device="cpu", episodes=0)
    torch.manual_seed(4)
    start = DeeplySupervisedUNet(shape)
    result = train(EXAMPLES, [], labels=("left", "right"), network=shape, settings=settings, start=start)
    assert start.prompts is not None
    assert result.network.prompts is not None
    kept = result.network.prompts.state_dict()
    assert all(torch.equal(values, kept[name]) for name, values in start.prompts.state_dict().items())


def test_prompts_change_nothing_of_what_masks_learn() -> None:
    settings = TrainingSettings(steps=8, batch=2, seed=1, precision="fp32", device="cpu", episodes=0)
    trained = [
        train(
            EXAMPLES,
            [],
            labels=("left", "right"),
            network=NetworkSettings(classes=3, width=4, levels=3, dropout=0.2, prompts=episodes is not None),
            settings=replace(settings, episodes=episodes or 0),
        ).network.state_dict()
        for episodes in (None, 0, 2)
    ]
    plain, kept, prompted = trained
    assert all(torch.equal(values, kept[name]) for name, values in plain.items())
    assert all(torch.equal(values, prompted[name]) for name, values in plain.items())
    assert not torch.equal(kept["prompts.maps.weight"], prompted["prompts.maps.weight"])
    assert not torch.equal(
        kept["prompts.decoder.0.block.first.weight"], prompted["prompts.decoder.0.block.first.weight"]
    )


def test_a_batch_has_as_many_episodes_as_asked_for() -> None:
    assert Batches(EXAMPLES, 2, seed=1, augment=False).batch(0).prompted is None
    prompted = Batches(EXAMPLES, 2, seed=1, augment=False, episodes=3).batch(0).prompted
    assert prompted is not None
    assert len(prompted.images) == 3
