"""The folder of an experiment: what it is about, its rounds and its newest weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.experiment.record import RoundRecord, write_whole
from model.experiment.settings import MAY_GROW, UNNAMED, ExperimentError

NOTE = "experiment.json"
LOCK = ".lock"
PHANTOMS = "phantoms"
STEM_OF_START = "start"


class OutOfPlaceError(ExperimentError):
    """The folder belongs to something else; one sentence that says what to do."""


@dataclass(frozen=True)
class Place:
    """An experiment's folder.

    Attributes:
        folder: where everything lies.
        fingerprint: of settings and data; weights of another experiment are not taken.
    """

    folder: Path
    fingerprint: str

    @classmethod
    def take(cls, folder: Path, identity: dict[str, Any]) -> Place:
        """The folder for an experiment of this identity, made or found.

        Raises:
            OutOfPlaceError: it holds another experiment.
        """
        note = folder / NOTE
        if note.exists():
            _compare(folder, json.loads(note.read_text(encoding="utf-8")), identity)
        else:
            write_whole(note, json.dumps(identity, indent=2, sort_keys=True).encode())
        return cls(folder, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())

    def record_path(self, arm: str, seed: int, number: int) -> Path:
        """The file of one round's record."""
        return self._rounds(arm, seed) / f"round-{number:03d}.npz"

    def record(self, arm: str, seed: int, number: int) -> RoundRecord | None:
        """A round that is done; None if it is not."""
        return RoundRecord.load(self.record_path(arm, seed, number))

    def save_weights(self, arm: str | None, seed: int, weights: Checkpoint) -> None:
        """Keep an arm's newest weights; of arm None the weights of the first round, shared by all."""
        save_checkpoint(self._rounds(arm or STEM_OF_START, seed), weights, fingerprint=self.fingerprint)

    def weights(self, arm: str | None, seed: int) -> Checkpoint | None:
        """The inverse of `save_weights`."""
        return load_checkpoint(self._rounds(arm or STEM_OF_START, seed), fingerprint=self.fingerprint)

    def _rounds(self, arm: str, seed: int) -> Path:
        return self.folder / "rounds" / arm / f"seed-{seed}"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps a second command out of it for as long as the context lasts.

    Raises:
        OutOfPlaceError: another one is there, or the folder is a file or holds what no experiment has made.
    """
    if folder.exists() and not folder.is_dir():
        raise OutOfPlaceError(f"{folder} is a file; give --out another place.")
    if folder.exists() and not (folder / NOTE).exists():
        others = [entry.name for entry in folder.iterdir() if entry.name not in (LOCK, PHANTOMS)]
        if others:
            raise OutOfPlaceError(f"{folder} holds files that no experiment has made; give a new --out.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutOfPlaceError(f"Another experiment uses {folder}; end it, or give another --out.") from error
    try:
        yield
    finally:
        lock.release()


def _compare(folder: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    there, wanted = UNNAMED | there, UNNAMED | wanted
    differing = [name for name in wanted | there if there.get(name) != wanted.get(name)]
    if not differing:
        return
    if differing == ["data"]:
        said = "other images or masks"
    else:
        names = [name for name in differing if name != "data"]
        said = ", ".join(f"{name} {_say(there.get(name))}, not {_say(wanted.get(name))}" for name in names)
    raise OutOfPlaceError(
        f"{folder} holds an experiment with {said}; give a new --out, or the same options (only "
        f"{', '.join(MAY_GROW)} may change)."
    )


def _say(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
