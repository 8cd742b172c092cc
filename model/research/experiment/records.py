"""The folder of an experiment: its settings, one record for each round of an arm, and the newest weights."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from model.research.experiment.settings import MAY_GROW, UNNAMED, ExperimentError
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

Masks = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """One round of one arm of one seed; images are named by their index in the collection.

    Attributes:
        labelled: (L,) images whose labels were learned from, in the order in which they were labelled.
        images: (N,) images that were measured: test images, validation images, then the pool that is left.
        validation: (N,) which of them are validation images.
        l_dsc, m_dsc, score: (N,) agreement of the masks.
        confidence: (N,) in the masks (`Measurement.confidence`); NaN in records of earlier versions.
        blank: (N,) whether the final mask is empty.
        r_dsc: (N,) Dice of the final mask with the truth.
        hd95: (N,) 95th percentile Hausdorff distance to it in pixels; NaN for all but test images.
        own_score: (N,) the arm's strategy's score; NaN for the bound.
        chosen: (K,) images of the pool that are labelled next, in this order.
        masks: of each chosen image (3, h, w): lower, middle and final label map on its canvas.
        validation_dsc: Dice of the round's weights on the validation images' canvases.
        seconds: (2,) of the processor that training and measuring took.
    """

    labelled: NDArray[np.int64]
    images: NDArray[np.int64]
    validation: NDArray[np.bool_]
    l_dsc: NDArray[np.float64]
    m_dsc: NDArray[np.float64]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64]
    blank: NDArray[np.bool_]
    r_dsc: NDArray[np.float64]
    hd95: NDArray[np.float64]
    own_score: NDArray[np.float64]
    chosen: NDArray[np.int64]
    masks: tuple[Masks, ...]
    validation_dsc: float
    seconds: NDArray[np.float64]

    @property
    def test(self) -> NDArray[np.bool_]:
        """(N,) which of `images` are test images."""
        return np.isfinite(self.hd95)

    @property
    def pool(self) -> NDArray[np.bool_]:
        """(N,) which of `images` are of the pool that is left."""
        return ~(self.test | self.validation)

    def save(self, path: Path) -> None:
        """Write the file in place of an older one; killed at any moment, either of them is there."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "masks"}
        arrays |= {f"masks_{position}": masks for position, masks in enumerate(self.masks)}
        whole = io.BytesIO()
        np.savez_compressed(whole, **arrays)
        write_whole(path, whole.getvalue())

    @classmethod
    def load(cls, path: Path) -> RoundRecord | None:
        """The record of a file; None if there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls._of(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray]) -> RoundRecord:
        unknown = {"confidence": np.full(len(arrays["images"]), np.nan)} if "confidence" not in arrays else {}
        values: dict[str, Any] = unknown | {
            field.name: arrays[field.name] for field in fields(cls) if field.name not in {"masks", *unknown}
        }
        values["validation_dsc"] = float(values["validation_dsc"])
        count = len(values["chosen"]) if "masks_0" in arrays else 0
        return cls(masks=tuple(arrays[f"masks_{position}"] for position in range(count)), **values)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or as it was before, whenever this process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


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
