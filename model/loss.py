"""The training loss: cross-entropy of three weighted classifiers (equations 1, 2 of the paper), or Dice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from model.network import Heads

IGNORE_INDEX = 255
"""Pixels with this target are outside of the image (padding) or unknown; they cost nothing."""
DICE_SMOOTHING = 1.0
"""Pixels added above and below, so that a class that occurs nowhere and is drawn nowhere costs nothing."""


@dataclass(frozen=True)
class LossWeights:
    """The weights of equation (2); the paper's are 0.1, 0.3 and 0.6.

    `dice` in [0, 1] is the share of soft Dice in each classifier's loss; the paper has none.
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
        """The weights as JSON can hold them; no Dice is not written, as older readers do not know it."""
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

    def forward(self, heads: Heads, target: Tensor, trust: Tensor | None = None) -> Tensor:
        """The loss of one batch.

        Args:
            heads: logits, each (N, C, H, W).
            target: (N, H, W) class indices as int64; `IGNORE_INDEX` where nothing is to be learnt.
            trust: (N,) factors of the examples' pixels, in [0, 1]; None for 1. A batch of little trust has a
                small loss.

        Returns:
            A scalar; 0 if every pixel is ignored.
        """
        weights = self.weights
        # Padding alone must not make the loss of a batch undefined (0/0 in a mean over pixels).
        pixels = (target != IGNORE_INDEX).sum().clamp(min=1)
        terms = list(zip((weights.lower, weights.middle, weights.final), heads, strict=True))
        total = sum(
            (weight * _cross_entropy(logits, target, trust) for weight, logits in terms if weight), 0.0
        )
        loss: Tensor = total / pixels
        if weights.dice:
            dice = sum(
                (weight * _dice_loss(logits, target, trust) for weight, logits in terms if weight), 0.0
            )
            loss = (1 - weights.dice) * loss + weights.dice * dice
        return loss


def _cross_entropy(logits: Tensor, target: Tensor, trust: Tensor | None) -> Tensor:
    """Equation (1), summed over the pixels that are not ignored."""
    if trust is None:
        return F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="sum")
    costs = F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="none")
    return (costs * trust[:, None, None]).sum()


def _dice_loss(logits: Tensor, target: Tensor, trust: Tensor | None) -> Tensor:
    """One minus soft Dice over all known pixels of the batch, mean over the foreground classes.

    Times the mean trust, so that it shrinks as cross-entropy does.
    """
    known = target != IGNORE_INDEX
    counts = known[:, None].float()
    if trust is not None:
        counts = counts * trust[:, None, None, None]
    probabilities = logits.float().softmax(1)
    truth = F.one_hot(target.where(known, 0), logits.shape[1]).movedim(-1, 1)
    over = (0, 2, 3)
    both = (counts * probabilities * truth).sum(over)
    either = (counts * (probabilities + truth)).sum(over)
    dice = (2 * both + DICE_SMOOTHING) / (either + DICE_SMOOTHING)
    lost = 1 - dice[1:].mean()
    return lost if trust is None else lost * trust.mean()
