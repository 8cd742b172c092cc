"""The settings of an experiment, and the names of its arms.

An arm is a way to choose labels that the experiment compares with others: the name of a query strategy,
optionally with the suffix `PSEUDO`, or `FULL` for training on all labels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from model.loss import DICE, LossWeights
from model.network import Norm
from model.research.experiment.annotators import parse_annotator
from model.strategies import Strategy, StrategyError, parse
from model.training.settings import TrainingSettings

FULL = "full"
"""The arm that trains on the whole training pool from the start: the upper bound."""
REFERENCE = "random"
"""The arm that the others are compared with."""
PSEUDO = "+pseudo"
"""Suffix of arms that also train on pseudo-labels, as many as labels (`model.research.pseudo_labels`)."""
DEFAULT_ARMS = (REFERENCE, "consistency", "disagreement", FULL)
PAPER_SPLIT = (139, 20, 50)
"""Number of images in the training pool, validation and test of Zhao et al. (2020), section 4.1."""
EXTENDABLE = ("arms", "seeds", "rounds")
"""Settings that may change in an existing folder: results of earlier arms, seeds and rounds are kept."""
FORMER_DEFAULTS = {
    "start_by": REFERENCE,
    "norm": "batch",
    "balanced": False,
    "crop": None,
    "annotator": "exact",
    "validation": "given",
    "accepted_weight": 1.0,
    "keep_start": True,
}
"""Settings that folders of earlier releases lack, with the values that these releases used."""
Validation = Literal["given", "any", "independent", "blind"]
"""Which validation images count, see `ExperimentSettings.validation`."""


class ExperimentError(ValueError):
    """An experiment cannot be run; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class ExperimentSettings:
    """Settings of an experiment; with equal data and library versions, results on one machine are equal.

    Attributes:
        arms: names of query strategies (`model.strategies.parse`), optionally followed by `PSEUDO`, and
            `FULL` for the upper bound.
        seeds: number of paired repetitions, numbered from 0.
        start: number of labels in round 0; they are the same in every arm of a seed.
        start_by: strategy that chooses these labels. All but `random` need the weights of `initial`, which
            were not trained on this pool.
        per_round: labels added in each round.
        rounds: number of rounds after round 0; None continues until the pool is empty.
        fine_tune: whether a round starts from the weights of the previous one, as in the paper, or from the
            initial weights of the seed.
        split: number of images in training pool, validation and test, others being left out; None divides all
            images in the proportions of the paper, 139 : 20 : 50.
        width: channels of the network's first level.
        size: longer side of the canvas in pixels.
        steps: training steps per round.
        start_steps: training steps of round 0, if `fine_tune`; None for `steps`. An undertrained network
            improves with every step, which hides the effect of the labels.
        learning_rate: peak of the learning rate, as in `TrainingSettings`.
        loss: weights of equation (2) of the paper, and the share of Dice.
        balanced, crop: as in `TrainingSettings`.
        batch: images per step.
        keep: which weights of a round are measured and used further: the "last", or the "best" in validation
            among those at the start, in the middle and at the end of the round, as in the service. In short
            rounds the best are often those of the start, and the arm does not improve with more labels.
        keep_start: whether the weights that a round starts from can be its best.
        annotator: who submits the labels (`model.research.experiment.annotators.parse_annotator`), given the
            masks of the previous round. In round 0 nothing is shown. Test images always have the truth.
        validation: what validation images have. "given": all have the truth from the start. Otherwise the
            annotator labels one for every four training images of a round, and the best weights are selected
            by "any" of these labels, or by the "independent" ones, which are those not accepted unchanged;
            with "blind" no masks are shown in validation images. With fewer than `model.quality.MIN_IMAGES`
            independent or blind ones, the last weights are kept.
        accepted_weight: weight in [0, 1] of labels that were accepted unchanged; with 0 they are left out.
        augment: whether training images are augmented.
        dropout: dropout rate of the network in all arms, in [0, 1); MC-dropout needs a positive one.
        norm: normalisation layers of the network, see `model.network.NetworkSettings`.
        device: device of the training, as in `TrainingSettings`.
        initial: folder of a version whose weights, including the norm, all arms and seeds start from; they
            are adapted to the labels as for a new project. None starts from random weights by seed.

    Raises:
        ExperimentError: a setting is invalid or an arm is unknown.
    """

    arms: tuple[str, ...] = DEFAULT_ARMS
    seeds: int = 5
    start: int = 10
    start_by: str = REFERENCE
    per_round: int = 10
    rounds: int | None = 5
    fine_tune: bool = True
    split: tuple[int, int, int] | None = None
    width: int = 8
    size: int = 96
    steps: int = 80
    start_steps: int | None = None
    learning_rate: float = TrainingSettings.learning_rate
    loss: LossWeights = field(default_factory=lambda: LossWeights(dice=DICE))
    balanced: bool = True
    crop: int | None = None
    batch: int = 4
    keep: Literal["last", "best"] = "last"
    keep_start: bool = True
    annotator: str = "exact"
    validation: Validation = "given"
    accepted_weight: float = 1.0
    augment: bool = True
    dropout: float = 0.0
    norm: Norm = "batch"
    device: str = "cpu"
    initial: Path | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "start", "per_round", "width", "size", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ExperimentError(f"{name} is {getattr(self, name)}; give a number of at least 1.")
        if self.rounds is not None and self.rounds < 1:
            raise ExperimentError(f"rounds is {self.rounds}; give a number of at least 1, or use all labels.")
        self._check_training()
        if self.split is not None and (len(self.split) != 3 or min(self.split) < 1):
            raise ExperimentError(
                f"The split {self.split} is not three positive numbers; give the numbers of training pool, "
                "validation and test images, such as 139,20,50."
            )
        if not self.arms:
            raise ExperimentError("There are no arms; name at least one strategy, or give full.")
        if len(set(self.arms)) < len(self.arms):
            raise ExperimentError(f"An arm is named twice in {', '.join(self.arms)}; name each once.")
        for arm in self.arms:
            if (fault := check_arm(arm, self.dropout)) is not None:
                raise ExperimentError(fault)
        self._check_start()
        self._check_annotator()

    def _check_training(self) -> None:
        if self.start_steps is not None and (self.start_steps < 1 or not self.fine_tune):
            raise ExperimentError(
                "start_steps must be at least 1, and cannot be used if each round starts from the initial "
                "weights; change it or leave it out."
            )
        if self.keep not in ("last", "best"):
            raise ExperimentError(f"keep is {self.keep}; give last or best.")
        if self.crop is not None and self.crop < 1:
            raise ExperimentError(f"crop is {self.crop}; give a number of at least 1, or leave it out.")
        if not self.learning_rate > 0:
            raise ExperimentError(f"learning_rate is {self.learning_rate}; give a number above 0.")
        if not 0 <= self.dropout < 1:
            raise ExperimentError(f"dropout is {self.dropout}; give a number of at least 0 and below 1.")
        if self.norm not in get_args(Norm):
            raise ExperimentError(f"norm is {self.norm}; give one of {', '.join(get_args(Norm))}.")
        if self.initial is not None and self.norm != "batch":
            raise ExperimentError("Start weights determine the norm; leave out --norm or --from.")

    def _check_start(self) -> None:
        if self.start_by == REFERENCE:
            return
        try:
            strategy = parse(self.start_by)
        except StrategyError as error:
            raise ExperimentError(f"The first labels cannot be chosen: {error}") from error
        if self.initial is None:
            raise ExperimentError(
                f"Choosing the first labels by {self.start_by} needs trained weights; give --from, or use "
                f"{REFERENCE}."
            )
        if strategy.dropout:
            raise ExperimentError(
                f"The first labels cannot be chosen by {self.start_by}; use another strategy."
            )

    def _check_annotator(self) -> None:
        try:
            parse_annotator(self.annotator)
        except ValueError as error:
            raise ExperimentError(str(error)) from error
        if self.validation not in get_args(Validation):
            raise ExperimentError(
                f"validation is {self.validation}; give one of {', '.join(get_args(Validation))}."
            )
        if not 0 <= self.accepted_weight <= 1:
            raise ExperimentError(
                f"accepted_weight is {self.accepted_weight}; give a number of at least 0 and at most 1."
            )
        if self.keep == "last" and not self.keep_start:
            raise ExperimentError(
                "keep_start says which weights can be a round's best; give --keep-best too, or leave it out."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-serialisable values."""
        values = asdict(self)
        return values | {
            "arms": list(self.arms),
            "loss": self.loss.to_dict(),
            "split": None if self.split is None else list(self.split),
            "initial": None if self.initial is None else str(self.initial),
        }

    def identity(self) -> dict[str, Any]:
        """The settings that must be equal for results to be comparable: all but `EXTENDABLE`.

        A setting in `FORMER_DEFAULTS` is left out if it has that value, so that folders of earlier releases
        keep their identity.
        """
        values = {name: value for name, value in self.to_dict().items() if name not in EXTENDABLE}
        return {name: value for name, value in values.items() if value != FORMER_DEFAULTS.get(name, object)}


def strategy_of(arm: str) -> Strategy:
    """The query strategy of an arm other than `FULL`.

    Raises:
        StrategyError: there is no such strategy.
    """
    return parse(arm.removesuffix(PSEUDO))


def check_arm(arm: str, dropout: float) -> str | None:
    """What is wrong with an arm for networks with this dropout rate, in one sentence; None if it is valid."""
    if arm == FULL:
        return None
    try:
        strategy = strategy_of(arm)
    except StrategyError as error:
        return f"{str(error).rstrip('.')}, with {PSEUDO} for pseudo-labels, or {FULL} for all labels."
    if strategy.dropout and not dropout:
        return f"{arm} needs a network with dropout; give --dropout 0.2, which applies to all arms."
    return None
