"""The training loss: cross-entropy of three weighted classifiers (equations 1, 2 of the paper), or Dice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from model.network import Heads

IGNORE_INDEX = 255
"""Target of pixels outside the image (padding) or unknown; they do not contribute to the loss."""
DICE_SMOOTHING = 1.0
"""Added to numerator and denominator, so that a class that is absent from mask and truth has Dice 1."""


@dataclass(frozen=True)
class LossWeights:
    """The weights of equation (2); the paper's are 0.1, 0.3 and 0.6.

    `dice` in [0, 1] is the share of soft Dice in each classifier's loss; it is 0 in the paper.
    """

    lower: float = 0.1
    middle: float = 0.3
    final: float = 0.6
    dice: float = 0.0

    def __post_init__(self) -> None:
        values = (self.lower, self.middle, self.final)
        if min(values) < 0 or max(values) == 0:
            raise ValueError(f"Loss weights must not be negative nor all be zero, but are {values}.")
        if not 0 <= self.dice <= 1:
            raise ValueError(f"The share of Dice in the loss must be between 0 and 1, not {self.dice}.")

    def to_dict(self) -> dict[str, float]:
        """The weights as JSON values; `dice` is left out if 0, as older readers do not know it."""
        values = asdict(self)
        return values if self.dice else {name: values[name] for name in values if name != "dice"}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LossWeights:
        """The inverse of `to_dict`; raises ValueError for unknown names."""
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"These are not loss weights: {data!r}.") from error


class DeepSupervisionLoss(nn.Module):
    """Equation (2): the weighted sum of the three classifiers' cross-entropies of equation (1).

    With a share of Dice each classifier's loss is (1 − share) · cross-entropy + share · (1 − soft Dice).
    """

    def __init__(self, weights: LossWeights | None = None) -> None:
        super().__init__()
        self.weights = weights or LossWeights()

    def forward(self, heads: Heads, target: Tensor, example_weights: Tensor | None = None) -> Tensor:
        """The loss of one batch.

        Args:
            heads: logits, each (N, C, H, W).
            target: (N, H, W) class indices as int64; `IGNORE_INDEX` where a pixel is not learned from.
            example_weights: (N,) factors of the examples' pixels, in [0, 1]; None for 1. They are not
                normalised: small weights give a small loss.

        Returns:
            A scalar; 0 if every pixel is ignored.
        """
        weights = self.weights
        # A batch of padding alone would otherwise have an undefined loss (0/0).
        pixels = (target != IGNORE_INDEX).sum().clamp(min=1)
        terms = list(zip((weights.lower, weights.middle, weights.final), heads, strict=True))
        total = sum(
            (weight * _cross_entropy(logits, target, example_weights) for weight, logits in terms if weight),
            0.0,
        )
        loss: Tensor = total / pixels
        if weights.dice:
            dice = sum(
                (weight * _dice_loss(logits, target, example_weights) for weight, logits in terms if weight),
                0.0,
            )
            loss = (1 - weights.dice) * loss + weights.dice * dice
        return loss


def _cross_entropy(logits: Tensor, target: Tensor, example_weights: Tensor | None) -> Tensor:
    """Equation (1), summed over the pixels that are not ignored."""
    if example_weights is None:
        return F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="sum")
    costs = F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="none")
    return (costs * example_weights[:, None, None]).sum()


def _dice_loss(logits: Tensor, target: Tensor, example_weights: Tensor | None) -> Tensor:
    """One minus soft Dice over all known pixels of the batch, mean over the foreground classes.

    Times the mean weight of the examples, so that it shrinks as cross-entropy does.
    """
    known = target != IGNORE_INDEX
    counts = known[:, None].float()
    if example_weights is not None:
        counts = counts * example_weights[:, None, None, None]
    probabilities = logits.float().softmax(1)
    truth = F.one_hot(target.where(known, 0), logits.shape[1]).movedim(-1, 1)
    over = (0, 2, 3)
    both = (counts * probabilities * truth).sum(over)
    either = (counts * (probabilities + truth)).sum(over)
    dice = (2 * both + DICE_SMOOTHING) / (either + DICE_SMOOTHING)
    lost = 1 - dice[1:].mean()
    return lost if example_weights is None else lost * example_weights.mean()
