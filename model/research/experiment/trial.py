"""One round of one arm: collect its labels, train, evaluate, and choose the next labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.classes import Classes
from model.engines import Probe
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.pretrained import pretrained_start
from model.research.experiment.annotations import Annotations
from model.research.experiment.collection import Collection, PoolSplit, split_collection, start_set
from model.research.experiment.keeping import train_and_keep
from model.research.experiment.measuring import ImageEvaluation, ImageEvaluator
from model.research.experiment.records import ExperimentFolder, RoundRecord
from model.research.experiment.settings import (
    FULL,
    PSEUDO,
    REFERENCE,
    ExperimentError,
    ExperimentSettings,
    strategy_of,
)
from model.research.pseudo_labels import most_consistent, pseudo_labelled
from model.strategies import Strategy, parse
from model.training.checkpoint import Checkpoint
from model.training.dataset import Example
from model.training.device import TrainingDevice
from model.training.settings import TrainingSettings
from model.training.validation import validation_dsc

VALIDATIONS = 2
"""Validations per round if the best weights are kept, including the one after the last step."""


@dataclass(frozen=True)
class TrialRound:
    """One round of one arm and seed; `number` 0 is the round of the start set."""

    arm: str
    seed: int
    number: int


class RoundRunner:
    """Runs rounds, which read their input from the experiment's folder and write their results to it.

    A round that was killed at any moment can be run again, in this or in another process.

    Args:
        settings: settings of the experiment.
        collection: its images.
        folder: its folder.
    """

    def __init__(
        self, settings: ExperimentSettings, collection: Collection, folder: ExperimentFolder
    ) -> None:
        self._settings, self._collection, self._folder = settings, collection, folder
        self._split: PoolSplit = split_collection(collection, settings.split)
        self._network = NetworkSettings(
            len(collection.labels) + 1, settings.width, dropout=settings.dropout, norm=settings.norm
        )
        self._initial = None
        if settings.initial is not None:
            self._initial = pretrained_start(Classes.of(collection.labels), settings.initial)[0]
            self._network = replace(self._initial.settings, dropout=settings.dropout)
        self._annotations = Annotations(settings, collection, self._split)
        self._strategies = {arm: strategy_of(arm) for arm in settings.arms if arm != FULL}

    def run(self, current: TrialRound) -> None:
        """Run a round, whose earlier rounds must be done; return at once if it is already done.

        Raises:
            ExperimentError: a file of an earlier round is missing or damaged.
        """
        if self._folder.record(current.arm, current.seed, current.number) is not None:
            return
        began = time.process_time()
        labelled = self._labelled(current)
        weights = self._weights(current, labelled)
        network = DeeplySupervisedUNet(self._network)
        network.load_state_dict(weights.tensors)
        trained = time.process_time()
        record = self._measured(current, labelled, network.eval(), weights)
        record.seconds[:] = trained - began, time.process_time() - trained
        record.save(self._folder.record_path(current.arm, current.seed, current.number))

    def _labelled(self, current: TrialRound) -> list[int]:
        if current.arm == FULL:
            return list(self._split.training)
        if current.number == 0:
            return self._first_labels(current.seed)
        previous = self._folder.record(current.arm, current.seed, current.number - 1)
        if previous is None:
            raise _damaged(current)
        return [*previous.labelled.tolist(), *previous.chosen.tolist()]

    def _first_labels(self, seed: int) -> list[int]:
        settings, pool = self._settings, self._split.training
        if settings.start_by == REFERENCE or self._initial is None:
            return start_set(pool, settings.start, seed)
        evaluator = self._evaluator(self._initial)
        found = [self._evaluate(evaluator, index).measurement for index in pool]
        chosen = parse(settings.start_by).batch(found, [], settings.start, seed)
        return [pool[position] for position in chosen]

    def _weights(self, current: TrialRound, labelled: Sequence[int]) -> Checkpoint:
        """The weights of the round: trained now, or saved by an attempt that was killed later."""
        shared = current.number == 0 and current.arm != FULL
        owner = None if shared else current.arm
        newest = self._folder.weights(owner, current.seed)
        if newest is not None and newest.state["round"] == current.number:
            return newest
        found = self._train(current, labelled)
        self._folder.save_weights(owner, current.seed, found)
        return found

    def _train(self, current: TrialRound, labelled: Sequence[int]) -> Checkpoint:
        continues = self._settings.fine_tune and current.number > 0
        start = self._previous_network(current) if continues else self._initial
        examples, validation = self._examples(current, labelled)
        settings = self._training_settings(current, continues=continues)
        kept = train_and_keep(
            examples,
            validation if self._settings.keep == "best" else [],
            labels=self._collection.labels,
            network=self._network,
            settings=settings,
            start=start,
            keep_start=self._settings.keep_start,
        )
        device = TrainingDevice.find("cpu", settings.precision)
        dsc = validation_dsc(kept.network, validation, device) if validation else np.nan
        state = {"round": current.number, "validation_dsc": dsc, "kept_step": kept.step}
        return Checkpoint(dict(kept.network.state_dict()), state)

    def _examples(self, current: TrialRound, labelled: Sequence[int]) -> tuple[list[Example], list[Example]]:
        """Training examples, and the validation examples that count; the bound has the truth of both."""
        if current.arm == FULL:
            images = self._collection.images
            return [images[index].example for index in labelled], self._annotations.given_validation()
        earlier = [self._folder.record(current.arm, current.seed, number) for number in range(current.number)]
        known = [record for record in earlier if record is not None]
        if len(known) < len(earlier):
            raise _damaged(current)
        submitted = self._annotations.until(labelled[: self._settings.start], known, current.seed)
        examples = self._annotations.examples(submitted)
        if current.arm.endswith(PSEUDO) and current.number > 0:
            examples += self._pseudo_labelled(self._previous_network(current), labelled)
        return examples, self._annotations.validation(submitted)

    def _pseudo_labelled(self, network: DeeplySupervisedUNet, labelled: Sequence[int]) -> list[Example]:
        """As many pseudo-labels as there are labels, predicted by the network of the previous round."""
        evaluator = self._evaluator(network.eval())
        pool = sorted(set(self._split.training) - set(labelled))
        found = [self._evaluate(evaluator, index) for index in pool]
        chosen = most_consistent([one.measurement.consistency for one in found], len(labelled))
        images = self._collection.images
        return [pseudo_labelled(images[pool[i]].example, found[i].masks[-1]) for i in chosen]

    def _previous_network(self, current: TrialRound) -> DeeplySupervisedUNet:
        """The network of the previous round."""
        shared = current.number == 1 and current.arm != FULL
        newest = self._folder.weights(None if shared else current.arm, current.seed)
        if newest is None or newest.state["round"] != current.number - 1:
            raise _damaged(current)
        network = DeeplySupervisedUNet(self._network)
        network.load_state_dict(newest.tensors)
        return network

    def _training_settings(self, current: TrialRound, *, continues: bool) -> TrainingSettings:
        settings = self._settings
        # Rounds that do not continue start from the seed's initial weights, so they share its training seed.
        number = current.number if continues else 0
        steps = settings.steps
        if current.number == 0 and settings.start_steps is not None:
            steps = settings.start_steps
        return TrainingSettings(
            steps=steps,
            batch=settings.batch,
            seed=round_seed(current.seed, number),
            precision="fp32",
            device=settings.device,
            augment=settings.augment,
            validate_every=max(1, steps // VALIDATIONS),
            learning_rate=settings.learning_rate,
            loss=settings.loss,
            balanced=settings.balanced,
            crop=settings.crop,
        )

    def _measured(
        self, current: TrialRound, labelled: Sequence[int], network: DeeplySupervisedUNet, weights: Checkpoint
    ) -> RoundRecord:
        strategy = self._strategies.get(current.arm)
        evaluator = self._evaluator(network)
        probe = strategy.probe() if strategy is not None else None
        evaluations = {
            index: self._evaluate(evaluator, index, probe=probe, distance=True) for index in self._split.test
        }
        evaluations |= {
            index: self._evaluate(evaluator, index, probe=probe) for index in self._split.validation
        }
        chosen: list[int] = []
        if strategy is not None:
            pool = sorted(set(self._split.training) - set(labelled))
            evaluations |= {index: self._evaluate(evaluator, index, probe=probe) for index in pool}
            chosen = self._chosen(strategy, current.seed, evaluator, evaluations, pool, labelled)
        own = [
            strategy.score(found.measurement, current.seed) if strategy else np.nan
            for found in evaluations.values()
        ]
        grown = len(labelled) + len(chosen)
        validating = self._annotations.next_validation(current.seed, len(labelled), grown) if chosen else []
        return self._record(labelled, evaluations, chosen, validating, own, weights)

    def _evaluator(self, network: DeeplySupervisedUNet) -> ImageEvaluator:
        return ImageEvaluator(network, self._settings.device, len(self._collection.labels))

    def _evaluate(
        self, evaluator: ImageEvaluator, index: int, *, probe: Probe | None = None, distance: bool = False
    ) -> ImageEvaluation:
        return evaluator.evaluate(self._collection.images[index], probe=probe, distance=distance)

    def _chosen(
        self,
        strategy: Strategy,
        seed: int,
        evaluator: ImageEvaluator,
        evaluations: dict[int, ImageEvaluation],
        pool: Sequence[int],
        labelled: Sequence[int],
    ) -> list[int]:
        features: list[NDArray[np.float32]] = []
        if strategy.batch_aware:
            features = [self._evaluate(evaluator, index).measurement.features for index in labelled]
        positions = strategy.batch(
            [evaluations[index].measurement for index in pool], features, self._settings.per_round, seed
        )
        return [pool[position] for position in positions]

    def _record(
        self,
        labelled: Sequence[int],
        evaluations: dict[int, ImageEvaluation],
        chosen: Sequence[int],
        validating: Sequence[int],
        own: Sequence[float],
        weights: Checkpoint,
    ) -> RoundRecord:
        agreements = [found.measurement.consistency for found in evaluations.values()]
        return RoundRecord(
            labelled=np.array(labelled, np.int64),
            images=np.array(list(evaluations), np.int64),
            validation=np.isin(list(evaluations), self._split.validation),
            l_dsc=np.array([agreement.l_dsc for agreement in agreements]),
            m_dsc=np.array([agreement.m_dsc for agreement in agreements]),
            score=np.array([agreement.score for agreement in agreements]),
            confidence=np.array([found.measurement.confidence for found in evaluations.values()]),
            blank=np.array([agreement.blank for agreement in agreements]),
            r_dsc=np.array([found.r_dsc for found in evaluations.values()]),
            hd95=np.array([found.hd95 for found in evaluations.values()]),
            own_score=np.array(own, np.float64),
            chosen=np.array(chosen, np.int64),
            masks=tuple(evaluations[index].masks for index in chosen),
            validation_chosen=np.array(validating, np.int64),
            validation_masks=tuple(evaluations[index].masks[-1] for index in validating),
            validation_dsc=float(weights.state["validation_dsc"]),
            kept_step=float(weights.state.get("kept_step", np.nan)),
            seconds=np.zeros(2),
        )


def round_seed(seed: int, number: int) -> int:
    """The training seed of round `number` (from 0); the same in all arms."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _damaged(current: TrialRound) -> ExperimentError:
    return ExperimentError(
        f"Files that {current.arm} needs for round {current.number} of seed {current.seed} are damaged; "
        f"delete its folder rounds/{current.arm}/seed-{current.seed} and give the same command."
    )
