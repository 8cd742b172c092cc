"""The whole experiment: rounds, table, summary, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.research.experiment.collection import Collection, Sides, Source, divide
from model.research.experiment.parallel import carry_out
from model.research.experiment.records import Place, RoundRecord, alone_in
from model.research.experiment.settings import FULL, ExperimentError, ExperimentSettings
from model.research.experiment.trial import Laboratory, Round


@dataclass(frozen=True)
class Progress:
    """How far an experiment is; `note` names the round that was done last."""

    done: int
    rounds: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Results:
    """What an experiment found.

    Attributes:
        settings, collection, sides: what was asked, of which images, divided how.
        records: by arm, then by seed: one record a round.
    """

    settings: ExperimentSettings
    collection: Collection
    sides: Sides
    records: dict[str, list[list[RoundRecord]]]

    def rounds(self) -> Iterator[tuple[str, int, int, RoundRecord]]:
        """(arm, seed, round, record) of every round, in the order of the settings."""
        for arm, seeds in self.records.items():
            for seed, rounds in enumerate(seeds):
                for number, record in enumerate(rounds):
                    yield arm, seed, number, record


def run_rounds(
    settings: ExperimentSettings,
    source: Source,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[Progress], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Results:
    """Carry out what is not done yet of an experiment; killed at any moment, the same call goes on.

    Args:
        settings: what to do.
        source: the images.
        folder: holds everything; see `docs/experiments.md`.
        processes: of one thread each; each holds the images in memory.
        progress: called after each round.
        reading: called with (done, total) while images are read.

    Raises:
        ExperimentError: settings and images do not go together, or the folder is not this experiment's.
        model.training.dataset.DatasetError: the images or masks cannot be used.
    """
    with alone_in(folder):
        collection = source.read(settings.size, reading)
        sides = divide(collection, settings.split)
        _check(settings, sides)
        place = Place.take(folder, settings.identity() | {"data": collection.fingerprint})
        asked = chains(settings, sides)
        left = [[e for e in chain if place.record(e.arm, e.seed, e.number) is None] for chain in asked]
        tally = _Tally(sum(map(len, asked)), sum(map(len, left)), progress)
        # In this process the images are there already; others read them again, as pickling costs as much.
        here = processes == 1 or sum(map(bool, left)) <= 1
        given = collection if here else None
        carry_out(left, partial(_laboratory, settings, source, place, given), processes, tally.count)
        records = {
            arm: [[_done(place, e) for e in chain] for chain in asked if chain[0].arm == arm]
            for arm in settings.arms
        }
    return Results(settings, collection, sides, records)


class _Tally:
    """Counts rounds and tells how many are done, once at the start and after each."""

    def __init__(self, rounds: int, left: int, progress: Callable[[Progress], None] | None) -> None:
        self._rounds, self._done, self._progress = rounds, rounds - left, progress
        self._tell("")

    def count(self, done: Round) -> None:
        self._done += 1
        self._tell(f"{done.arm}, seed {done.seed}, round {done.number}")

    def _tell(self, note: str) -> None:
        if self._progress is not None:
            self._progress(Progress(self._done, self._rounds, note))


def chains(settings: ExperimentSettings, sides: Sides) -> list[list[Round]]:
    """The rounds of every arm and seed; seed by seed, so that the arms of a seed are done together.

    The bound trains as long as the network of the last round of an arm has: as many rounds of the same steps
    where rounds go on from one another, one round where each starts afresh.
    """
    last = rounds_after_start(settings, len(sides.training))
    of_full = last if settings.fine_tune else 0
    return [
        [Round(arm, seed, number) for number in range((of_full if arm == FULL else last) + 1)]
        for seed in range(settings.seeds)
        for arm in settings.arms
    ]


def rounds_after_start(settings: ExperimentSettings, pool: int) -> int:
    """Rounds until the pool of training images is empty, or as many as were asked for if that is less."""
    most = -(-max(0, pool - settings.start) // settings.per_round)
    return most if settings.rounds is None else min(settings.rounds, most)


def _check(settings: ExperimentSettings, sides: Sides) -> None:
    if settings.start >= len(sides.training):
        raise ExperimentError(
            f"The training pool has {len(sides.training)} images, and {settings.start} to start with leave "
            "nothing to choose from; give a smaller --start or more images."
        )


def _laboratory(
    settings: ExperimentSettings, source: Source, place: Place, collection: Collection | None
) -> Laboratory:
    return Laboratory(settings, collection or source.read(settings.size), place)


def _done(place: Place, asked: Round) -> RoundRecord:
    record = place.record(asked.arm, asked.seed, asked.number)
    if record is None:
        raise ExperimentError(
            f"{place.record_path(asked.arm, asked.seed, asked.number)} cannot be read; remove it."
        )
    return record
