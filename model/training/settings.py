"""The settings, progress reports and result of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from model.engines import Precision
from model.loss import DICE, LossWeights
from model.network import DeeplySupervisedUNet

EPISODES = 2
"""Episodes of prompts in each step of a training."""


class TrainingError(RuntimeError):
    """A training that cannot start or continue; the message says in one sentence what to do."""


class TrainingStopped(Exception):  # noqa: N818 - not an error
    """Raised by a caller's function to interrupt the training, which saves its checkpoint first.

    It can be resumed.
    """


@dataclass(frozen=True)
class TrainingSettings:
    """How a run trains.

    Attributes:
        steps, seconds: the budget; whichever ends first; at least one is required. Seconds include batches,
            steps, validation, checkpoints, and the time before a resumed run was killed.
        batch: examples in a step.
        learning_rate: the schedule's maximum (`model.training.optimisation.rate_factor`).
        weight_decay: AdamW's, on convolution weights.
        seed: of fresh weights, order and augmentation.
        precision: "bf16" computes the network in bfloat16 (weights stay fp32), "fp32" in fp32; "auto" is
            bf16 where the processor has it.
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA if available.
        augment: whether examples are augmented.
        until_plateau: whether the training ends early, once it has converged (`model.training.plateau`).
        balanced: whether labels on few images are learned as often as others (`model.training.sampling`).
        crop: longest side, in pixels, of the part of each canvas that a step uses; None for whole canvases.
        episodes: what each step also learns about prompts, if the network has layers for them; 0 for nothing
            (`model.training.prompting`).
        validate_every: steps between validations; the last step is always validated.
        checkpoint_every: steps between checkpoints.
        loss: weights of equation (2).

    Raises:
        TrainingError: if there is no budget, or a number is not above zero.
    """

    steps: int | None = None
    seconds: float | None = None
    batch: int = 2
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0
    precision: Precision = "auto"
    device: str = "auto"
    augment: bool = True
    until_plateau: bool = False
    balanced: bool = True
    crop: int | None = None
    episodes: int = EPISODES
    validate_every: int = 20
    checkpoint_every: int = 20
    loss: LossWeights = field(default_factory=lambda: LossWeights(dice=DICE))

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise TrainingError("The training has no end; give it a number of steps or of seconds.")
        for name in (
            "steps",
            "seconds",
            "batch",
            "learning_rate",
            "crop",
            "validate_every",
            "checkpoint_every",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainingError(f"The training's {name} is {value!r}; give a number above zero.")
        if self.episodes < 0:
            raise TrainingError(f"The training's episodes are {self.episodes!r}; give 0 or more.")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them; those in `LATER` only if they differ from it.

        So a run with the settings of an earlier release has the same fingerprint, and resumes.
        """
        values = asdict(self)
        return {name: value for name, value in values.items() if value != LATER.get(name, values)}


LATER: dict[str, Any] = {"balanced": False, "crop": None, "episodes": EPISODES}
"""Settings that earlier releases lack, with the values that describe what these did; their networks had no
layers for prompts."""


@dataclass(frozen=True)
class Progress:
    """One finished step.

    Attributes:
        step: steps done, from 1; 0 is the validation of the start weights.
        steps: the budget's, if it has any.
        seconds: since the start, including those before a resume.
        loss: of this step; NaN if the step was skipped because its loss was not finite, and at step 0.
        validation_dsc: mean Dice of the validation images after this step, if it was validated.
    """

    step: int
    steps: int | None
    seconds: float
    loss: float
    validation_dsc: float | None = None


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run.

    Attributes:
        network: the weights with the best validation Dice, or the last ones if nothing was validated; in
            evaluation mode, on the CPU, fp32.
        metrics: for the card: `steps`, `seconds`, `loss` (mean of the last steps), `training_images`,
            `validation_images` (0: the last weights were kept, unvalidated), `kept_step`, and if validated
            `validation_dsc` and, for given start weights, `start_validation_dsc`.
        history: every step.
        steps: done.
        seconds: taken.
        converged: whether it had stopped improving before its budget was spent; False unless it was to end
            at its plateau.
    """

    network: DeeplySupervisedUNet
    metrics: dict[str, float]
    history: list[Progress]
    steps: int
    seconds: float
    converged: bool = False
