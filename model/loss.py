"""The training loss: cross-entropy of three weighted classifiers (equations 1, 2 of the paper), or Dice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network import Heads

IGNORE_INDEX = 255
"""Target of pixels outside the image (padding) or unknown; they do not contribute to the loss."""
DICE_SMOOTHING = 1.0
"""Added to numerator and denominator, so that the gradient of a class of a few pixels stays bounded."""

DICE = 0.8
"""Share of soft Dice with which trainings on several labels learn; chosen in docs/science.md."""


def default_dice(labels: int) -> float:
    """The share of soft Dice for a number of labels: `DICE`, but 0 for a single label.

    Dice keeps small and rare labels from being ignored in favour of large ones. With a single label it
    lowered the DSC on hands by 0.002 (docs/science.md).
    """
    return DICE if labels > 1 else 0.0


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

    With a share of Dice each classifier's loss is (1 − share) · cross-entropy + share · (1 − soft Dice). Dice
    is the mean over the labels that occur in the batch: a label that does not occur would only teach to draw
    none of it anywhere, which cross-entropy does already.
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
        known = target != IGNORE_INDEX
        # A batch of padding alone would otherwise have an undefined loss (0/0).
        pixels = known.sum().clamp(min=1)
        truth = _Truth.of(target, known, heads.final.shape[1], example_weights) if weights.dice else None
        total = heads.final.new_zeros((), dtype=torch.float32)
        for weight, logits in zip((weights.lower, weights.middle, weights.final), heads, strict=True):
            if not weight:
                continue
            log_probabilities = F.log_softmax(logits.float(), 1)
            loss = _cross_entropy(log_probabilities, target, example_weights) / pixels
            if truth is not None:
                loss = (1 - weights.dice) * loss + weights.dice * truth.dice_loss(log_probabilities)
            total = total + weight * loss
        return total


def _cross_entropy(log_probabilities: Tensor, target: Tensor, example_weights: Tensor | None) -> Tensor:
    """Equation (1), summed over the pixels that are not ignored."""
    if example_weights is None:
        return F.nll_loss(log_probabilities, target, ignore_index=IGNORE_INDEX, reduction="sum")
    costs = F.nll_loss(log_probabilities, target, ignore_index=IGNORE_INDEX, reduction="none")
    return (costs * example_weights[:, None, None]).sum()


class _Truth(NamedTuple):
    """What soft Dice needs of a batch's targets, once for the three classifiers.

    Attributes:
        members: (N, C - 1, H, W), 1 in the pixels of each foreground class.
        counted: (N, 1, H, W) weight of each pixel: that of its example, 0 where it is ignored.
        sizes: (C - 1,) sum of the weights of each class's pixels.
        factor: mean weight of the examples, so that Dice shrinks with it as cross-entropy does.
    """

    members: Tensor
    counted: Tensor
    sizes: Tensor
    factor: Tensor | float

    @classmethod
    def of(cls, target: Tensor, known: Tensor, classes: int, example_weights: Tensor | None) -> _Truth:
        indices = torch.arange(1, classes, device=target.device)
        members = (target[:, None] == indices[:, None, None]).float()
        counted = known[:, None].float()
        factor: Tensor | float = 1.0
        if example_weights is not None:
            counted, factor = counted * example_weights[:, None, None, None], example_weights.mean()
        return cls(members, counted, (counted * members).sum((0, 2, 3)), factor)

    def dice_loss(self, log_probabilities: Tensor) -> Tensor:
        """One minus soft Dice over all known pixels of the batch, mean over the classes that occur in it."""
        probabilities = log_probabilities[:, 1:].exp() * self.counted
        both = (probabilities * self.members).sum((0, 2, 3))
        either = probabilities.sum((0, 2, 3)) + self.sizes
        dice = (2 * both + DICE_SMOOTHING) / (either + DICE_SMOOTHING)
        present = (self.sizes > 0).float()
        return self.factor * ((1 - dice) * present).sum() / present.sum().clamp(min=1)
