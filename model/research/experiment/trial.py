"""One round of one arm: label, train, measure, choose."""

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
from model.research.experiment.collection import Collection, Sides, divide, start_set
from model.research.experiment.measuring import Examination, Examiner
from model.research.experiment.records import Place, RoundRecord
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
from model.training.run import TrainingSettings, train
from model.training.validation import validation_dsc

VALIDATIONS = 2
"""Times that a round's weights are validated where the best are kept, the last step included."""


@dataclass(frozen=True)
class Round:
    """What is asked of a laboratory; `number` 0 is the round of the start set."""

    arm: str
    seed: int
    number: int


class Laboratory:
    """Carries out rounds; every one reads what it needs from the experiment's folder and writes there.

    A round may be killed at any moment and carried out again, here or in another process.

    Args:
        settings: of the experiment.
        collection: its images.
        place: its folder.
    """

    def __init__(self, settings: ExperimentSettings, collection: Collection, place: Place) -> None:
        self._settings, self._collection, self._place = settings, collection, place
        self.sides: Sides = divide(collection, settings.split)
        self._network = NetworkSettings(
            len(collection.labels) + 1, settings.width, dropout=settings.dropout, norm=settings.norm
        )
        self._initial = None
        if settings.initial is not None:
            self._initial = pretrained_start(Classes.of(collection.labels), settings.initial)[0]
            self._network = replace(self._initial.settings, dropout=settings.dropout)
        self._strategies = {arm: strategy_of(arm) for arm in settings.arms if arm != FULL}

    def carry_out(self, asked: Round) -> None:
        """Do a round whose earlier rounds are done; nothing if it is done already."""
        if self._place.record(asked.arm, asked.seed, asked.number) is not None:
            return
        began = time.process_time()
        labelled = self._labelled(asked)
        weights = self._weights(asked, labelled)
        network = DeeplySupervisedUNet(self._network)
        network.load_state_dict(weights.tensors)
        trained = time.process_time()
        record = self._measured(asked, labelled, network.eval(), float(weights.state["validation_dsc"]))
        record.seconds[:] = trained - began, time.process_time() - trained
        record.save(self._place.record_path(asked.arm, asked.seed, asked.number))

    def _labelled(self, asked: Round) -> list[int]:
        if asked.arm == FULL:
            return list(self.sides.training)
        if asked.number == 0:
            return self._first_labels(asked.seed)
        before = self._place.record(asked.arm, asked.seed, asked.number - 1)
        if before is None:
            raise _damaged(asked)
        return [*before.labelled.tolist(), *before.chosen.tolist()]

    def _first_labels(self, seed: int) -> list[int]:
        settings, pool = self._settings, self.sides.training
        if settings.start_by == REFERENCE or self._initial is None:
            return start_set(pool, settings.start, seed)
        examiner = self._examiner(self._initial)
        found = [self._examine(examiner, index).measurement for index in pool]
        chosen = parse(settings.start_by).batch(found, [], settings.start, seed)
        return [pool[position] for position in chosen]

    def _weights(self, asked: Round, labelled: Sequence[int]) -> Checkpoint:
        """The round's weights: trained now, or found where an attempt was killed after its training."""
        shared = asked.number == 0 and asked.arm != FULL
        owner = None if shared else asked.arm
        newest = self._place.weights(owner, asked.seed)
        if newest is not None and newest.state["round"] == asked.number:
            return newest
        found = self._train(asked, labelled)
        self._place.save_weights(owner, asked.seed, found)
        return found

    def _train(self, asked: Round, labelled: Sequence[int]) -> Checkpoint:
        continues = self._settings.fine_tune and asked.number > 0
        start = self._before(asked) if continues else self._initial
        examples = [self._collection.images[index].example for index in labelled]
        if asked.arm.endswith(PSEUDO) and asked.number > 0:
            examples += self._pseudo_labelled(self._before(asked), labelled)
        validation = [self._collection.images[index].example for index in self.sides.validation]
        settings = self._training_settings(asked, continues=continues)
        result = train(
            examples,
            validation if self._settings.keep == "best" else [],
            labels=self._collection.labels,
            network=self._network,
            settings=settings,
            start=start,
        )
        device = TrainingDevice.find("cpu", settings.precision)
        dsc = validation_dsc(result.network, validation, device)
        state = {"round": asked.number, "validation_dsc": dsc}
        return Checkpoint(dict(result.network.state_dict()), state)

    def _pseudo_labelled(self, before: DeeplySupervisedUNet, labelled: Sequence[int]) -> list[Example]:
        """One pseudo-label for each label, drawn by the network of the round before."""
        examiner = self._examiner(before.eval())
        pool = sorted(set(self.sides.training) - set(labelled))
        found = [self._examine(examiner, index) for index in pool]
        picked = most_consistent([one.measurement.consistency for one in found], len(labelled))
        images = self._collection.images
        return [pseudo_labelled(images[pool[i]].example, found[i].masks[-1]) for i in picked]

    def _before(self, asked: Round) -> DeeplySupervisedUNet:
        """The network of the round before."""
        shared = asked.number == 1 and asked.arm != FULL
        newest = self._place.weights(None if shared else asked.arm, asked.seed)
        if newest is None or newest.state["round"] != asked.number - 1:
            raise _damaged(asked)
        network = DeeplySupervisedUNet(self._network)
        network.load_state_dict(newest.tensors)
        return network

    def _training_settings(self, asked: Round, *, continues: bool) -> TrainingSettings:
        settings = self._settings
        # Afresh means the seed's initial weights in each round; a round that goes on has an order of its own.
        number = asked.number if continues else 0
        steps = settings.steps
        if asked.number == 0 and settings.start_steps is not None:
            steps = settings.start_steps
        return TrainingSettings(
            steps=steps,
            batch=settings.batch,
            seed=round_seed(asked.seed, number),
            precision="fp32",
            device=settings.device,
            augment=settings.augment,
            validate_every=max(1, steps // VALIDATIONS),
            learning_rate=settings.learning_rate,
            loss=settings.loss,
        )

    def _measured(
        self, asked: Round, labelled: Sequence[int], network: DeeplySupervisedUNet, validation: float
    ) -> RoundRecord:
        strategy = self._strategies.get(asked.arm)
        examiner = self._examiner(network)
        probe = strategy.probe() if strategy is not None else None
        examined = {
            index: self._examine(examiner, index, probe=probe, distance=True) for index in self.sides.test
        }
        examined |= {index: self._examine(examiner, index, probe=probe) for index in self.sides.validation}
        chosen: list[int] = []
        if strategy is not None:
            pool = sorted(set(self.sides.training) - set(labelled))
            examined |= {index: self._examine(examiner, index, probe=probe) for index in pool}
            chosen = self._chosen(strategy, asked.seed, examiner, examined, pool, labelled)
        own = [
            strategy.score(found.measurement, asked.seed) if strategy else np.nan
            for found in examined.values()
        ]
        return self._record(labelled, examined, chosen, own, validation)

    def _examiner(self, network: DeeplySupervisedUNet) -> Examiner:
        return Examiner(network, self._settings.device, len(self._collection.labels))

    def _examine(
        self, examiner: Examiner, index: int, *, probe: Probe | None = None, distance: bool = False
    ) -> Examination:
        return examiner.examine(self._collection.images[index], probe=probe, distance=distance)

    def _chosen(
        self,
        strategy: Strategy,
        seed: int,
        examiner: Examiner,
        examined: dict[int, Examination],
        pool: Sequence[int],
        labelled: Sequence[int],
    ) -> list[int]:
        known: list[NDArray[np.float32]] = []
        if strategy.batch_aware:
            known = [self._examine(examiner, index).measurement.features for index in labelled]
        positions = strategy.batch(
            [examined[index].measurement for index in pool], known, self._settings.per_round, seed
        )
        return [pool[position] for position in positions]

    def _record(
        self,
        labelled: Sequence[int],
        examined: dict[int, Examination],
        chosen: Sequence[int],
        own: Sequence[float],
        validation: float,
    ) -> RoundRecord:
        agreements = [found.measurement.consistency for found in examined.values()]
        return RoundRecord(
            labelled=np.array(labelled, np.int64),
            images=np.array(list(examined), np.int64),
            validation=np.isin(list(examined), self.sides.validation),
            l_dsc=np.array([agreement.l_dsc for agreement in agreements]),
            m_dsc=np.array([agreement.m_dsc for agreement in agreements]),
            score=np.array([agreement.score for agreement in agreements]),
            confidence=np.array([found.measurement.confidence for found in examined.values()]),
            blank=np.array([agreement.blank for agreement in agreements]),
            r_dsc=np.array([found.r_dsc for found in examined.values()]),
            hd95=np.array([found.hd95 for found in examined.values()]),
            own_score=np.array(own, np.float64),
            chosen=np.array(chosen, np.int64),
            masks=tuple(examined[index].masks for index in chosen),
            validation_dsc=validation,
            seconds=np.zeros(2),
        )


def round_seed(seed: int, number: int) -> int:
    """The training seed of a round; the same in every arm."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _damaged(asked: Round) -> ExperimentError:
    return ExperimentError(
        f"What {asked.arm} needs for round {asked.number} of seed {asked.seed} is damaged; remove its folder "
        f"rounds/{asked.arm}/seed-{asked.seed} and give the same command."
    )
