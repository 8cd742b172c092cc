from __future__ import annotations

import numpy as np
import pytest
import torch

from model.loss import IGNORE_INDEX, DeepSupervisionLoss, LossWeights
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
def test_senseless_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Loss weights"):
        LossWeights(**weights)


def test_weights_survive_json() -> None:
    weights = LossWeights(0.2, 0.3, 0.5)
    assert LossWeights.from_dict(weights.to_dict()) == weights
    with pytest.raises(ValueError, match="not loss weights"):
        LossWeights.from_dict({"upper": 1})
