"""What a training ends with."""

from __future__ import annotations

from dataclasses import dataclass

from model.network import DeeplySupervisedUNet
from model.training_settings import Progress


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        network: the weights with the best validation Dice, or the last ones if nothing was validated; in
            evaluation mode, on the CPU, fp32.
        metrics: for the card: `steps`, `seconds`, `loss` (mean of the last steps), `training_images`,
            `pseudo_labels` (examples of less than full trust, not counted among those), `validation_images`
            (0 says that the last weights were kept, unvalidated), `kept_step`, and if validated
            `validation_dsc` and, of given start weights, `start_validation_dsc`.
        history: every step.
        steps: done.
        seconds: taken.
    """

    network: DeeplySupervisedUNet
    metrics: dict[str, float]
    history: list[Progress]
    steps: int
    seconds: float
