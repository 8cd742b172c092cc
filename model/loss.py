"""The training loss: cross-entropy of three weighted classifiers (equations 1, 2 of the paper), or Dice."""

from __future__ import annotations

import math
from collections.abc import Callable
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
        if not all(0 <= value < math.inf for value in values) or max(values) == 0:
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

    def __init__(
        self, weights: LossWeights | None = None, total: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """Weigh the classifiers.

        Args:
            weights: by default the paper's.
            total: adds up a tensor of sums over all parts of a batch, if several processes share it; each of
                them then computes the loss of the whole batch.
        """
        super().__init__()
        self.weights = weights or LossWeights()
        self._total = total or (lambda sums: sums)

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
        known = target != IGNORE_INDEX
        truth = _Truth.of(target, known, heads.final.shape[1], example_weights) if self.weights.dice else None
        of_heads = (self.weights.lower, self.weights.middle, self.weights.final)
        read = [(weight, logits) for weight, logits in zip(of_heads, heads, strict=True) if weight]
        parts = [known.sum()[None].float()]
        if truth is not None:
            parts += [truth.examples, truth.sizes]
        for _, logits in read:
            log_probabilities = F.log_softmax(logits.float(), 1)
            parts.append(_cross_entropy(log_probabilities, target, example_weights)[None])
            if truth is not None:
                parts += truth.overlaps(log_probabilities)
        sums = iter(self._total(torch.cat(parts)).split([len(part) for part in parts]))
        # A batch of padding alone would otherwise have an undefined loss (0/0).
        pixels = next(sums)[0].clamp(min=1)
        examples, sizes = (next(sums), next(sums)) if truth is not None else (None, None)
        total = heads.final.new_zeros((), dtype=torch.float32)
        for weight, _ in read:
            loss = next(sums)[0] / pixels
            if examples is not None and sizes is not None:
                dice = _dice_loss(next(sums), next(sums), sizes) * (examples[0] / examples[1])
                loss = (1 - self.weights.dice) * loss + self.weights.dice * dice
            total = total + weight * loss
        return total


def _cross_entropy(log_probabilities: Tensor, target: Tensor, example_weights: Tensor | None) -> Tensor:
    """Equation (1), summed over the pixels that are not ignored."""
    if example_weights is None:
        return F.nll_loss(log_probabilities, target, ignore_index=IGNORE_INDEX, reduction="sum")
    costs = F.nll_loss(log_probabilities, target, ignore_index=IGNORE_INDEX, reduction="none")
    return (costs * example_weights[:, None, None]).sum()


def _dice_loss(both: Tensor, predicted: Tensor, sizes: Tensor) -> Tensor:
    """One minus soft Dice over all known pixels of the batch, mean over the classes that occur in it.

    Args:
        both, predicted: (C - 1,) sums of probabilities in the pixels of each foreground class, and in all.
        sizes: (C - 1,) sums of the pixels' weights.
    """
    dice = (2 * both + DICE_SMOOTHING) / (predicted + sizes + DICE_SMOOTHING)
    present = (sizes > 0).float()
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


class _Truth(NamedTuple):
    """What soft Dice needs of a batch's targets, once for the three classifiers.

    Attributes:
        members: (N, C - 1, H, W), 1 in the pixels of each foreground class.
        counted: (N, 1, H, W) weight of each pixel: that of its example, 0 where it is ignored.
        sizes: (C - 1,) sum of the weights of each class's pixels.
        examples: (2,) sum of the weights of the examples, and their number: Dice shrinks with the mean weight
            as cross-entropy does.
    """

    members: Tensor
    counted: Tensor
    sizes: Tensor
    examples: Tensor

    @classmethod
    def of(cls, target: Tensor, known: Tensor, classes: int, example_weights: Tensor | None) -> _Truth:
        indices = torch.arange(1, classes, device=target.device)
        members = (target[:, None] == indices[:, None, None]).float()
        counted = known[:, None].float()
        count = torch.ones(len(target), device=target.device)
        examples = torch.stack([count.sum(), count.sum()])
        if example_weights is not None:
            counted = counted * example_weights[:, None, None, None]
            examples = torch.stack([example_weights.sum(), count.sum()])
        return cls(members, counted, (counted * members).sum((0, 2, 3)), examples)

    def overlaps(self, log_probabilities: Tensor) -> list[Tensor]:
        """(C - 1,) sums of probabilities in the pixels of each foreground class, and in all pixels."""
        probabilities = log_probabilities[:, 1:].exp() * self.counted
        return [(probabilities * self.members).sum((0, 2, 3)), probabilities.sum((0, 2, 3))]
