"""The settings of an experiment, and the names of its arms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from model.loss import LossWeights
from model.network import Norm
from model.strategies import Strategy, StrategyError, parse
from model.training.settings import TrainingSettings

FULL = "full"
"""The arm that learns from all labels from the start: the bound."""
REFERENCE = "random"
"""The arm that the others are compared with."""
PSEUDO = "+pseudo"
"""Suffix of arms that also learn from pseudo-labels, one for each label (`model.research.pseudo_labels`)."""


def strategy_of(arm: str) -> Strategy:
    """The strategy by which an arm other than the bound chooses.

    Raises:
        StrategyError: there is none of this name.
    """
    return parse(arm.removesuffix(PSEUDO))


def check_arm(arm: str, dropout: float) -> str | None:
    """What is wrong with an arm under networks of this dropout, in one sentence; None if nothing is."""
    if arm == FULL:
        return None
    try:
        strategy = strategy_of(arm)
    except StrategyError as error:
        return f"{str(error).rstrip('.')}, a suffix {PSEUDO} for pseudo-labels, or {FULL} for the bound."
    if strategy.dropout and not dropout:
        return f"{arm} needs a network with dropout; give --dropout 0.2, which all arms get."
    return None


PAPER_SPLIT = (139, 20, 50)
"""Training pool, validation and test images of Zhao et al. (2020), section 4.1."""
DEFAULT_ARMS = (REFERENCE, "consistency", "disagreement", FULL)
UNNAMED = {"start_by": REFERENCE, "norm": "batch"}
"""Settings that came later, and what was done before."""
MAY_GROW = ("arms", "seeds", "rounds")
"""What may change in a folder that holds results: arms, seeds and rounds that are there stay as they are."""


class ExperimentError(ValueError):
    """An experiment that cannot be run; one sentence that says what to do."""


@dataclass(frozen=True)
class ExperimentSettings:
    """How an experiment is run; equal settings, data and library versions give equal tables on one machine.

    Attributes:
        arms: names of query strategies (`model.strategies.parse`), `PSEUDO` after them or not, and `FULL` for
            the bound.
        seeds: paired repetitions 0…seeds − 1.
        start: labels of the first round; the same in every arm of a seed.
        start_by: the strategy that chooses them. All but `random` look at the pool with the weights of
            `initial`, which have seen no label of it.
        per_round: labels added in each round.
        rounds: rounds after the first; None goes on until the pool is empty.
        fine_tune: whether a round goes on from the weights of the one before (the paper), or starts afresh
            from the seed's initial weights.
        split: images of the training pool, for validation and for test; None divides all of them as the paper
            did, 139 : 20 : 50. Further images are left out.
        width: channels of the network's first level.
        size: longer side in pixels that the network sees.
        steps: training steps of each round.
        start_steps: of the first round where later ones go on from it; None for as many as the others. What
            is short of training gains from every step, and that hides what it gains from labels.
        learning_rate: as `model.training.run` takes it.
        loss: weights of equation (2) of the paper.
        batch: images in a step.
        keep: which weights of a round go on and are measured: the "last", or the "best" in validation among
            those at its start, half way and at its end, as in the service. In short rounds the best are
            often those of the start, and an arm stands still however many labels it gets.
        augment: whether training images are varied.
        dropout: of the network, in every arm; MC-dropout needs some.
        norm: layers of the network that normalise, see `model.network.NetworkSettings`.
        device: where the training computes, see `model.training.run`.
        initial: folder of a version whose weights every arm and seed starts with, norm and all, taken over
            for the labels at hand as a new project takes them over; None draws them by seed.

    Raises:
        ExperimentError: a number makes no sense or an arm is not known.
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
    loss: LossWeights = field(default_factory=LossWeights)
    batch: int = 4
    keep: Literal["last", "best"] = "last"
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
            raise ExperimentError(
                f"rounds is {self.rounds}; give a number of at least 1, or take all labels."
            )
        self._check_training()
        if self.split is not None and (len(self.split) != 3 or min(self.split) < 1):
            raise ExperimentError(
                f"The split {self.split} is not three numbers above zero; give training pool, validation and "
                "test images, such as 139,20,50."
            )
        if not self.arms:
            raise ExperimentError("There is no arm; name at least one strategy.")
        if len(set(self.arms)) < len(self.arms):
            raise ExperimentError(f"An arm is named twice in {', '.join(self.arms)}; name each once.")
        for arm in self.arms:
            if (fault := check_arm(arm, self.dropout)) is not None:
                raise ExperimentError(fault)
        self._check_start()

    def _check_training(self) -> None:
        if self.start_steps is not None and (self.start_steps < 1 or not self.fine_tune):
            raise ExperimentError(
                "start_steps must be at least 1, and where each round starts afresh only steps counts; leave "
                "one of them out."
            )
        if self.keep not in ("last", "best"):
            raise ExperimentError(f"{self.keep} weights cannot be kept; keep the last or the best.")
        if not self.learning_rate > 0:
            raise ExperimentError(f"learning_rate is {self.learning_rate}; give a number above 0.")
        if not 0 <= self.dropout < 1:
            raise ExperimentError(f"dropout is {self.dropout}; give a number of at least 0 and below 1.")
        if self.norm not in get_args(Norm):
            raise ExperimentError(f"norm is {self.norm}; give one of {', '.join(get_args(Norm))}.")
        if self.initial is not None and self.norm != "batch":
            raise ExperimentError("Weights to start with bring their norm along; leave out --norm or --from.")

    def _check_start(self) -> None:
        if self.start_by == REFERENCE:
            return
        try:
            strategy = parse(self.start_by)
        except StrategyError as error:
            raise ExperimentError(f"The first labels cannot be chosen: {error}") from error
        if self.initial is None:
            raise ExperimentError(
                f"Only trained weights can choose the first labels by {self.start_by}; give --from, or let "
                f"{REFERENCE} choose."
            )
        if strategy.dropout:
            raise ExperimentError(
                f"The first labels cannot be chosen by {self.start_by}; take another strategy."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        values = asdict(self)
        return values | {
            "arms": list(self.arms),
            "loss": self.loss.to_dict(),
            "split": None if self.split is None else list(self.split),
            "initial": None if self.initial is None else str(self.initial),
        }

    def identity(self) -> dict[str, Any]:
        """What makes results comparable: everything but `MAY_GROW`.

        What folders of former releases do not name is named only where it departs from what they did.
        """
        values = {name: value for name, value in self.to_dict().items() if name not in MAY_GROW}
        return {name: value for name, value in values.items() if value != UNNAMED.get(name, object)}
