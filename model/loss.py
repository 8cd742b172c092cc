"""The training loss: cross-entropy of three classifiers, weighted (equations 1 and 2 of the paper)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from model.network import Heads

IGNORE_INDEX = 255
"""Pixels with this target are outside of the image (padding) or unknown; they cost nothing."""


@dataclass(frozen=True)
class LossWeights:
    """The weights of equation (2); the paper's are 0.1, 0.3 and 0.6."""

    lower: float = 0.1
    middle: float = 0.3
    final: float = 0.6

    def __post_init__(self) -> None:
        values = (self.lower, self.middle, self.final)
        if min(values) < 0 or max(values) == 0:
            raise ValueError(f"Loss weights must not be negative nor all be zero, but are {values}.")

    def to_dict(self) -> dict[str, float]:
        """The weights as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LossWeights:
        """The inverse of `to_dict`; raises ValueError for unknown names."""
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"These are not loss weights: {data!r}.") from error


class DeepSupervisionLoss(nn.Module):
    """Equation (2): the weighted sum of the three classifiers' cross-entropies of equation (1)."""

    def __init__(self, weights: LossWeights | None = None) -> None:
        super().__init__()
        self.weights = weights or LossWeights()

    def forward(self, heads: Heads, target: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            heads: logits, each (N, C, H, W).
            target: (N, H, W) class indices as int64; `IGNORE_INDEX` where nothing is to be learnt.

        Returns:
            A scalar; 0 if every pixel is ignored.
        """
        weights = self.weights
        # Padding alone must not make the loss of a batch undefined (0/0 in a mean over pixels).
        pixels = (target != IGNORE_INDEX).sum().clamp(min=1)
        terms = zip((weights.lower, weights.middle, weights.final), heads, strict=True)
        total = sum((weight * _cross_entropy(logits, target) for weight, logits in terms if weight), 0.0)
        loss: Tensor = total / pixels
        return loss


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Equation (1), summed over the pixels that are not ignored."""
    return F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="sum")
