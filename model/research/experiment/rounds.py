"""All rounds of an experiment: running those that are not done yet, and collecting the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.research.experiment.collection import Collection, ImageSource, PoolSplit, split_collection
from model.research.experiment.parallel import run_chains
from model.research.experiment.records import ExperimentFolder, RoundRecord, lock_folder
from model.research.experiment.settings import FULL, ExperimentError, ExperimentSettings
from model.research.experiment.trial import RoundRunner, TrialRound


@dataclass(frozen=True)
class RoundProgress:
    """RoundProgress of an experiment.

    Attributes:
        done: number of rounds that are done.
        rounds: number of all rounds.
        note: arm, seed and number of the round that was done last; empty at the start.
    """

    done: int
    rounds: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Results:
    """The results of an experiment.

    Attributes:
        settings: settings of the experiment.
        collection: its images.
        split: their split.
        records: by arm, seed and round.
    """

    settings: ExperimentSettings
    collection: Collection
    split: PoolSplit
    records: dict[str, list[list[RoundRecord]]]

    def rounds(self) -> Iterator[tuple[str, int, int, RoundRecord]]:
        """(arm, seed, round, record) of every round, in the order of the settings."""
        for arm, seeds in self.records.items():
            for seed, rounds in enumerate(seeds):
                for number, record in enumerate(rounds):
                    yield arm, seed, number, record


def run_rounds(
    settings: ExperimentSettings,
    source: ImageSource,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[RoundProgress], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Results:
    """Run the rounds of an experiment that are not done yet; a call that was killed can be repeated.

    Args:
        settings: settings of the experiment.
        source: the images.
        folder: folder of the experiment, created if missing; see `docs/experiments.md`.
        processes: number of processes, with one thread and a copy of the images each.
        progress: called at the start and after each round.
        reading: called with (done, total) while images are drawn and read.

    Raises:
        ExperimentFolderError: the folder belongs to something else.
        ExperimentError: the settings do not match the images, a file is damaged, or a process died.
        model.training.dataset.DatasetError: the images or masks cannot be used.
    """
    with lock_folder(folder):
        collection = source.read(settings.size, reading)
        split = split_collection(collection, settings.split)
        _check(settings, split)
        files = ExperimentFolder.open(folder, settings.identity() | {"data": collection.fingerprint})
        requested = chains(settings, split)
        remaining = [
            [r for r in chain if files.record(r.arm, r.seed, r.number) is None] for chain in requested
        ]
        counter = _ProgressCounter(sum(map(len, requested)), sum(map(len, remaining)), progress)
        # Other processes read the images themselves, which takes no longer than pickling them.
        in_this_process = processes == 1 or sum(map(bool, remaining)) <= 1
        images = collection if in_this_process else None
        make_runner = partial(_round_runner, settings, source, files, images)
        run_chains(remaining, make_runner, processes, counter.count)
        records = {
            arm: [[_done(files, r) for r in chain] for chain in requested if chain[0].arm == arm]
            for arm in settings.arms
        }
    return Results(settings, collection, split, records)


class _ProgressCounter:
    """Counts the rounds that are done and reports their number at the start and after each round."""

    def __init__(self, rounds: int, remaining: int, progress: Callable[[RoundProgress], None] | None) -> None:
        self._rounds, self._done, self._progress = rounds, rounds - remaining, progress
        self._report("")

    def count(self, done: TrialRound) -> None:
        self._done += 1
        self._report(f"{done.arm}, seed {done.seed}, round {done.number}")

    def _report(self, note: str) -> None:
        if self._progress is not None:
            self._progress(RoundProgress(self._done, self._rounds, note))


def chains(settings: ExperimentSettings, split: PoolSplit) -> list[list[TrialRound]]:
    """The rounds of all arms and seeds, one chain per arm and seed, seed by seed.

    `FULL` trains for as many steps as the network of an arm's last round: as many rounds with `fine_tune`,
    and one round otherwise.
    """
    last = rounds_after_start(settings, len(split.training))
    of_full = last if settings.fine_tune else 0
    return [
        [TrialRound(arm, seed, number) for number in range((of_full if arm == FULL else last) + 1)]
        for seed in range(settings.seeds)
        for arm in settings.arms
    ]


def rounds_after_start(settings: ExperimentSettings, pool: int) -> int:
    """Number of rounds after round 0 until a pool of `pool` images is empty, at most `settings.rounds`."""
    most = -(-max(0, pool - settings.start) // settings.per_round)
    return most if settings.rounds is None else min(settings.rounds, most)


def _check(settings: ExperimentSettings, split: PoolSplit) -> None:
    if settings.start >= len(split.training):
        raise ExperimentError(
            f"The training pool has only {len(split.training)} images; {settings.start} start labels leave "
            "nothing to choose from; give a smaller --start or more images."
        )


def _round_runner(
    settings: ExperimentSettings, source: ImageSource, files: ExperimentFolder, collection: Collection | None
) -> RoundRunner:
    return RoundRunner(settings, collection or source.read(settings.size), files)


def _done(files: ExperimentFolder, current: TrialRound) -> RoundRecord:
    record = files.record(current.arm, current.seed, current.number)
    if record is None:
        raise ExperimentError(
            f"{files.record_path(current.arm, current.seed, current.number)} cannot be read; delete it and "
            "give the same command."
        )
    return record
