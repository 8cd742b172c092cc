from __future__ import annotations

import numpy as np
import pytest
import torch

from model.loss import DICE, IGNORE_INDEX, DeepSupervisionLoss, LossWeights, default_dice
from model.network import Heads


def heads(seed: int = 0) -> Heads:
    generator = torch.Generator().manual_seed(seed)
    return Heads(*(torch.randn(2, 3, 5, 4, generator=generator) for _ in range(3)))


def target(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 3, (2, 5, 4), generator=torch.Generator().manual_seed(seed))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Equation (1) spelled out: minus the mean log-probability of the true class."""
    exponentials = np.exp(logits.numpy().astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    truth = np.take_along_axis(probabilities, labels.numpy()[:, None], axis=1)
    return float(-np.log(truth).mean())


def test_the_loss_is_equation_two_with_the_papers_weights() -> None:
    lower, middle, final = (cross_entropy(logits, target()) for logits in heads())
    expected = 0.1 * lower + 0.3 * middle + 0.6 * final
    assert DeepSupervisionLoss()(heads(), target()).item() == pytest.approx(expected, rel=1e-5)


def test_the_weights_are_settings() -> None:
    final_only = DeepSupervisionLoss(LossWeights(lower=0, middle=0, final=2))
    assert final_only(heads(), target()).item() == pytest.approx(
        2 * cross_entropy(heads()[2], target()), rel=1e-5
    )


def test_ignored_pixels_cost_nothing() -> None:
    labels = target()
    labels[:, :2] = IGNORE_INDEX
    cropped = Heads(*(head[:, :, 2:] for head in heads()))
    whole = DeepSupervisionLoss()(heads(), labels)
    assert whole.item() == pytest.approx(DeepSupervisionLoss()(cropped, labels[:, 2:]).item(), rel=1e-5)


def test_a_batch_with_nothing_to_learn_has_no_loss_and_no_gradient() -> None:
    logits = Heads(*(head.requires_grad_() for head in heads()))
    loss = DeepSupervisionLoss()(logits, torch.full((2, 5, 4), IGNORE_INDEX))
    loss.backward()
    assert loss.item() == 0
    assert all(head.grad is not None and not head.grad.any() for head in logits)


@pytest.mark.parametrize("weights", [{"lower": -0.1}, {"lower": 0, "middle": 0, "final": 0}])
def test_invalid_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Loss weights"):
        LossWeights(**weights)


@pytest.mark.parametrize("weights", [LossWeights(0.2, 0.3, 0.5), LossWeights(dice=0.5)])
def test_weights_survive_json(weights: LossWeights) -> None:
    assert LossWeights.from_dict(weights.to_dict()) == weights
    assert ("dice" in weights.to_dict()) == (weights.dice > 0), "cards without Dice do not change"
    with pytest.raises(ValueError, match="not loss weights"):
        LossWeights.from_dict({"upper": 1})


def lost_dice(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over classes 1 and 2 of 1 − Dice of probabilities, with one pixel of smoothing."""
    probabilities = logits.softmax(1).numpy().astype(np.float64)
    found = []
    for index in (1, 2):
        drawn, true = probabilities[:, index], labels.numpy() == index
        found.append(1 - (2 * drawn[true].sum() + 1) / (drawn.sum() + true.sum() + 1))
    return float(np.mean(found))


def test_dice_takes_its_share_of_each_classifiers_loss() -> None:
    weighted = LossWeights(dice=0.25)
    expected = sum(
        weight * (0.75 * cross_entropy(logits, target()) + 0.25 * lost_dice(logits, target()))
        for weight, logits in zip((0.1, 0.3, 0.6), heads(), strict=True)
    )
    assert DeepSupervisionLoss(weighted)(heads(), target()).item() == pytest.approx(expected, rel=1e-5)


def test_dice_skips_ignored_pixels_and_absent_classes() -> None:
    criterion = DeepSupervisionLoss(LossWeights(dice=1.0))
    labels = target()
    labels[:, :2] = IGNORE_INDEX
    cropped = Heads(*(head[:, :, 2:] for head in heads()))
    assert criterion(heads(), labels).item() == pytest.approx(criterion(cropped, labels[:, 2:]).item())
    sure = torch.full((1, 3, 4, 4), -50.0)
    sure[:, 0] = 50.0
    assert criterion(Heads(sure, sure, sure), torch.zeros(1, 4, 4, dtype=torch.int64)).item() == 0


def test_a_class_that_does_not_occur_in_the_batch_is_no_part_of_dice() -> None:
    labels = target().clamp(max=1)
    criterion = DeepSupervisionLoss(LossWeights(0, 0, 1, dice=1.0))
    final = heads().final
    drawn, true = final.softmax(1)[:, 1].numpy().astype(np.float64), labels.numpy() == 1
    dice = (2 * drawn[true].sum() + 1) / (drawn.sum() + true.sum() + 1)
    assert criterion(heads(), labels).item() == pytest.approx(1 - dice, rel=1e-5)


@pytest.mark.parametrize("dice", [0.0, 0.5])
def test_small_weights_make_a_small_loss_and_weights_of_one_change_nothing(dice: float) -> None:
    criterion = DeepSupervisionLoss(LossWeights(dice=dice))
    plain = criterion(heads(), target()).item()
    assert criterion(heads(), target(), torch.ones(2)).item() == pytest.approx(plain, rel=1e-5)
    half = criterion(heads(), target(), torch.full((2,), 0.5)).item()
    assert half == pytest.approx(plain / 2, rel=0.05)
    first = Heads(*(head[:1] for head in heads()))
    alone = criterion(heads(), target(), torch.tensor([1.0, 0.0])).item()
    assert alone == pytest.approx(criterion(first, target()[:1]).item() / 2, rel=0.05)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_an_invalid_share_of_dice_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share of Dice"):
        LossWeights(dice=share)


def test_a_single_label_learns_by_cross_entropy_and_several_by_dice_too() -> None:
    assert [default_dice(labels) for labels in (1, 2, 5)] == [0.0, DICE, DICE]
