"""What the simulated annotator of an experiment submitted in each round.

Nothing of it is stored: it follows from the masks that the record of the round before contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.quality import MIN_IMAGES
from model.research.experiment.annotators import SimulatedAnnotation, parse_annotator
from model.research.experiment.collection import Collection, PoolSplit
from model.research.experiment.records import RoundRecord
from model.research.experiment.settings import ExperimentSettings
from model.training.dataset import Example

TRAINING_PER_VALIDATION = 4
"""Training images for each validation image that is labelled, as in the service."""


@dataclass(frozen=True)
class RoundAnnotations:
    """What was submitted between two rounds, for training and for validation images."""

    training: tuple[SimulatedAnnotation, ...]
    validation: tuple[SimulatedAnnotation, ...]

    @property
    def all(self) -> tuple[SimulatedAnnotation, ...]:
        """Those of both sides."""
        return self.training + self.validation


class Annotations:
    """Repeats what the annotator of an experiment does.

    Args:
        settings: settings of the experiment.
        collection: its images.
        split: their split.
    """

    def __init__(self, settings: ExperimentSettings, collection: Collection, split: PoolSplit) -> None:
        self._settings, self._collection, self._split = settings, collection, split
        self._annotator = parse_annotator(settings.annotator)

    def first(self, labelled: Sequence[int], seed: int) -> RoundAnnotations:
        """The labels of round 0, all drawn."""
        validation = self.next_validation(seed, 0, len(labelled))
        return RoundAnnotations(
            tuple(self._annotated(image, None) for image in labelled),
            tuple(self._annotated(image, None) for image in validation),
        )

    def after(self, record: RoundRecord) -> RoundAnnotations:
        """The labels that are submitted after a round, with the masks of its network."""
        chosen = zip(record.chosen.tolist(), record.masks, strict=True)
        blind = self._settings.validation == "blind"
        masks = [None] * len(record.validation_chosen) if blind else record.validation_masks
        validation = zip(record.validation_chosen.tolist(), masks, strict=True)
        return RoundAnnotations(
            tuple(self._annotated(image, several[-1]) for image, several in chosen),
            tuple(self._annotated(image, mask) for image, mask in validation),
        )

    def until(
        self, first: Sequence[int], records: Sequence[RoundRecord], seed: int
    ) -> list[RoundAnnotations]:
        """The labels of the images of round 0, `first`, and those submitted after each of the rounds."""
        return [self.first(first, seed), *(self.after(record) for record in records)]

    def next_validation(self, seed: int, before: int, now: int) -> list[int]:
        """Validation images that are labelled while training labels grow from `before` to `now`."""
        if self._settings.validation == "given":
            return []
        order = np.random.default_rng([seed, 1]).permutation(self._split.validation).tolist()
        first, last = (round(labels / TRAINING_PER_VALIDATION) for labels in (before, now))
        return [int(image) for image in order[first:last]]

    def examples(self, rounds: Sequence[RoundAnnotations]) -> list[Example]:
        """The training examples; accepted ones have their weight, or are left out if that is 0."""
        weight = self._settings.accepted_weight
        found = []
        for annotation in (one for submitted in rounds for one in submitted.training):
            accepted = annotation.origin == "accepted"
            if weight > 0 or not accepted:
                found.append(replace(self._example(annotation), weight=weight if accepted else 1.0))
        return found

    def validation(self, rounds: Sequence[RoundAnnotations]) -> list[Example]:
        """The validation examples that count; none if they are too few to select by."""
        if self._settings.validation == "given":
            return self.given_validation()
        submitted = [one for several in rounds for one in several.validation]
        if self._settings.validation == "any":
            return [self._example(one) for one in submitted]
        independent = [self._example(one) for one in submitted if one.origin != "accepted"]
        return independent if len(independent) >= MIN_IMAGES else []

    def given_validation(self) -> list[Example]:
        """All validation images with the truth."""
        return [self._collection.images[index].example for index in self._split.validation]

    def _example(self, annotation: SimulatedAnnotation) -> Example:
        return replace(self._collection.images[annotation.image].example, mask=annotation.label)

    def _annotated(self, index: int, shown: NDArray[np.uint8] | None) -> SimulatedAnnotation:
        image, labels = self._collection.images[index], len(self._collection.labels)
        return self._annotator.annotate(
            index, shown, image.example.mask, labels=labels, boundary=image.boundary
        )
