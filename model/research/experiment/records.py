"""The folder of an experiment: its settings, the records of its rounds, and the newest weights of each arm.

A record contains the results of one round of one arm and seed. All files are written atomically, so an
experiment that is killed at any moment can be resumed.
"""

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

from model.research.experiment.settings import EXTENDABLE, FORMER_DEFAULTS, ExperimentError
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SETTINGS_FILE = "experiment.json"
"""Identity of the experiment: its settings and the fingerprint of its data."""
LOCK = ".lock"
PHANTOMS = "phantoms"
"""Subfolder of the phantoms, if the experiment uses them."""
SHARED_START = "start"
"""Subfolder of the weights of round 0, which all arms share."""
MASKS = ("masks", "validation_masks")
"""Fields of `RoundRecord` that are several arrays each."""
Masks = NDArray[np.uint8]
"""(3, h, w): lower, middle and final label map of an image on its canvas."""


class ExperimentFolderError(ExperimentError):
    """The folder is in use or belongs to something else; the message is one sentence that says what to do."""


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """Results of one round of one arm and seed; images are identified by their index in the collection.

    Attributes:
        labelled: (L,) images whose labels were used for training, in the order in which they were labelled.
        images: (N,) measured images: test, validation, then the unlabelled pool.
        validation: (N,) whether an image is a validation image.
        l_dsc, m_dsc, score: (N,) agreement of the masks (`model.consistency`), in [0, 1].
        confidence: (N,) confidence in the mask (`Measurement.confidence`), in [0, 1]; NaN in records of
            earlier releases.
        blank: (N,) whether the final mask is empty.
        r_dsc: (N,) Dice of the final mask and the truth, in [0, 1].
        hd95: (N,) their 95th percentile Hausdorff distance in pixels; NaN for all but test images.
        own_score: (N,) score of the arm's query strategy, in [0, 1]; NaN for `FULL`.
        chosen: (K,) images of the pool that are labelled next, in this order.
        masks: masks of the K chosen images.
        validation_chosen: (V,) validation images that are labelled next; empty if their truth is given.
        validation_masks: final masks of the V images, which an annotator may be shown.
        validation_dsc: mean Dice of the round's weights and the labels of the validation images that count,
            on their canvases, in [0, 1]; NaN if there are too few of these.
        kept_step: step whose weights were kept; 0 if they are those of the start, NaN in records of earlier
            releases.
        seconds: (2,) processor seconds of training and of measuring.
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
    validation_chosen: NDArray[np.int64]
    validation_masks: tuple[NDArray[np.uint8], ...]
    validation_dsc: float
    kept_step: float
    seconds: NDArray[np.float64]

    @property
    def test(self) -> NDArray[np.bool_]:
        """(N,) whether an image is a test image."""
        return np.isfinite(self.hd95)

    @property
    def pool(self) -> NDArray[np.bool_]:
        """(N,) whether an image is from the unlabelled pool."""
        return ~(self.test | self.validation)

    def save(self, path: Path) -> None:
        """Write the record atomically, in place of an older one."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in MASKS}
        for name in MASKS:
            arrays |= {f"{name}_{position}": mask for position, mask in enumerate(getattr(self, name))}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> RoundRecord | None:
        """Read a record; None if the file is missing or cannot be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls._of(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray]) -> RoundRecord:
        former = {
            "confidence": np.full(len(arrays["images"]), np.nan),
            "validation_chosen": np.array([], np.int64),
            "kept_step": np.nan,
        }
        values: dict[str, Any] = {
            field.name: arrays[field.name] if field.name in arrays else former[field.name]
            for field in fields(cls)
            if field.name not in MASKS
        }
        for name in ("validation_dsc", "kept_step"):
            values[name] = float(values[name])
        for name, images in zip(MASKS, ("chosen", "validation_chosen"), strict=True):
            count = len(values[images]) if f"{name}_0" in arrays else 0
            values[name] = tuple(arrays[f"{name}_{position}"] for position in range(count))
        return cls(**values)


@dataclass(frozen=True)
class ExperimentFolder:
    """The folder of an experiment.

    Attributes:
        folder: path of the folder.
        fingerprint: SHA-256 of the identity, stored with weights so that those of another experiment are not
            used.
    """

    folder: Path
    fingerprint: str

    @classmethod
    def open(cls, folder: Path, identity: dict[str, Any]) -> ExperimentFolder:
        """Open the folder of an experiment, or create it.

        Args:
            folder: path of the folder.
            identity: settings and data of the experiment, as JSON-serialisable values.

        Raises:
            ExperimentFolderError: the folder contains another experiment.
        """
        path = folder / SETTINGS_FILE
        if path.exists():
            _compare(folder, json.loads(path.read_text(encoding="utf-8")), identity)
        else:
            write_atomically(path, json.dumps(identity, indent=2, sort_keys=True).encode())
        return cls(folder, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())

    def record_path(self, arm: str, seed: int, number: int) -> Path:
        """Path of the record of round `number` (from 0)."""
        return self._rounds(arm, seed) / f"round-{number:03d}.npz"

    def record(self, arm: str, seed: int, number: int) -> RoundRecord | None:
        """The record of round `number` (from 0); None if the round is not done."""
        return RoundRecord.load(self.record_path(arm, seed, number))

    def save_weights(self, arm: str | None, seed: int, weights: Checkpoint) -> None:
        """Save the newest weights of an arm; arm None is for the weights of round 0, which all arms share."""
        save_checkpoint(self._rounds(arm or SHARED_START, seed), weights, fingerprint=self.fingerprint)

    def weights(self, arm: str | None, seed: int) -> Checkpoint | None:
        """The weights that `save_weights` saved; None if there are none, or none of this experiment."""
        return load_checkpoint(self._rounds(arm or SHARED_START, seed), fingerprint=self.fingerprint)

    def _rounds(self, arm: str, seed: int) -> Path:
        return self.folder / "rounds" / arm / f"seed-{seed}"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing, and lock it for the duration of the context.

    Raises:
        ExperimentFolderError: another process has locked it, or it is a file, or it contains files but no
            experiment.
    """
    if folder.exists() and not folder.is_dir():
        raise ExperimentFolderError(f"{folder} is a file; give a folder as --out.")
    if folder.exists() and not (folder / SETTINGS_FILE).exists():
        others = [entry.name for entry in folder.iterdir() if entry.name not in (LOCK, PHANTOMS)]
        if others:
            raise ExperimentFolderError(f"{folder} contains files but no experiment; give a new --out.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ExperimentFolderError(
            f"Another experiment uses {folder}; stop it, or give another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically, so that after a kill it is complete or unchanged; parents are created."""
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


def _compare(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    found, wanted = FORMER_DEFAULTS | found, FORMER_DEFAULTS | wanted
    differing = [name for name in wanted | found if found.get(name) != wanted.get(name)]
    if not differing:
        return
    if differing == ["data"]:
        difference = "other images or masks"
    else:
        names = [name for name in differing if name != "data"]
        difference = ", ".join(
            f"{name} {_formatted(found.get(name))}, not {_formatted(wanted.get(name))}" for name in names
        )
    raise ExperimentFolderError(
        f"{folder} contains an experiment with {difference}; give a new --out, or the same options (only "
        f"{', '.join(EXTENDABLE)} may change)."
    )


def _formatted(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
