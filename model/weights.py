"""Versions on disk: a folder with `weights.safetensors` and `card.json`, written atomically."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.durability import sync
from model.imaging.preprocessing import PreprocessingError, PreprocessingSettings
from model.loss import LossWeights
from model.network import DeeplySupervisedUNet, NetworkError, NetworkSettings
from model.prompt_layers import with_own_decoder
from model.tensor_files import write_tensors

WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "card.json"
LARGEST_CARD = 16 * 2**20
"""Bytes; a card of a thousand labels has 100 kB."""
MOST_LEVELS = 32
CARD_FORMAT = 1
"""Incremented when a field changes its meaning, so that old code refuses new cards with a clear message."""

Stored = Literal["float32", "float16"]
_DTYPES: dict[Stored, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}


class WeightsError(ValueError):
    """A version cannot be read or written; the message is one sentence that says why."""


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that may influence predictions, by package name."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "numpy", "opencv-python-headless", "monai", "openvino"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def now() -> str:
    """The current time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Card:
    """Description of a version: what is needed to use its weights and to trace where they come from.

    Attributes:
        name: the version's readable name.
        labels: foreground labels in the order of the class indices; label i has index i + 1.
        network: architecture of the network.
        preprocessing: how images must be prepared, in training and serving alike.
        loss: loss weights of the training.
        metrics: results of the evaluation, e.g. {"validation_dsc": 0.91}.
        labels_dsc: validation Dice of each label that occurs in the validation images, at original
            resolution, which the mean in `metrics` may hide.
        labels_images: number of validation images that contain each label.
        parent: name of the version that training started from; None for random initial weights.
        training: how it was trained (seed, steps, seconds, …).
        libraries: versions of the libraries, as in `library_versions`.
        created: time in UTC, ISO 8601.
        stored: number format of the weights on disk; loaded networks are always float32. float16 halves the
            file; it is for shipped weights, not for weights that are fine-tuned again and again.

    Raises:
        WeightsError: the number of labels does not match the network, or the number format is unknown.
    """

    name: str
    labels: tuple[str, ...]
    network: NetworkSettings
    preprocessing: PreprocessingSettings
    loss: LossWeights = field(default_factory=LossWeights)
    metrics: dict[str, float] = field(default_factory=dict)
    labels_dsc: dict[str, float] = field(default_factory=dict)
    labels_images: dict[str, int] = field(default_factory=dict)
    parent: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=library_versions)
    created: str = field(default_factory=now)
    stored: Stored = "float32"

    def __post_init__(self) -> None:
        if len(self.labels) + 1 != self.network.classes:
            raise WeightsError(
                f"{len(self.labels)} labels need a network of {len(self.labels) + 1} classes "
                f"(background included), not of {self.network.classes}."
            )
        if self.stored not in _DTYPES:
            raise WeightsError(f"Weights are stored as {' or '.join(_DTYPES)}, not as {self.stored}.")

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON-serialisable values."""
        return {
            "format": CARD_FORMAT,
            "name": self.name,
            "labels": list(self.labels),
            "network": self.network.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "loss": self.loss.to_dict(),
            "metrics": self.metrics,
            "labels_dsc": self.labels_dsc,
            "labels_images": self.labels_images,
            "parent": self.parent,
            "training": self.training,
            "libraries": self.libraries,
            "created": self.created,
            "stored": self.stored,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Card:
        """The inverse of `to_dict`.

        Raises:
            WeightsError: a field is missing or invalid, or the format is not `CARD_FORMAT`.
        """
        if not isinstance(data, dict) or data.get("format") != CARD_FORMAT:
            raise WeightsError(f"This is not a version card of format {CARD_FORMAT}.")
        try:
            return cls(
                name=_text(data["name"]),
                labels=tuple(_text(label) for label in _list(data["labels"])),
                network=NetworkSettings.from_dict(data["network"]),
                preprocessing=PreprocessingSettings.from_dict(data["preprocessing"]),
                loss=LossWeights.from_dict(data["loss"]),
                metrics=_figures(data["metrics"]),
                labels_dsc=_figures(data.get("labels_dsc", {})),
                labels_images=_figures(data.get("labels_images", {})),
                parent=None if data["parent"] is None else _text(data["parent"]),
                training=dict(data["training"]),
                libraries=dict(data["libraries"]),
                created=data["created"],
                stored=data.get("stored", "float32"),
            )
        except WeightsError:
            raise
        except (NetworkError, PreprocessingError) as error:
            raise WeightsError(str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise WeightsError(f"The version card is incomplete or damaged ({error!r}).") from error


def save_version(directory: Path, network: DeeplySupervisedUNet, card: Card) -> None:
    """Write a version atomically: readers never see a partial version, even if the writer is killed.

    An existing version in `directory` is replaced.

    Args:
        directory: the version's own folder; its parents are created if missing.
        network: the network to save, on any device.
        card: the description; its network settings must equal the network's.

    Raises:
        WeightsError: card and network do not match, or a weight is not finite in the card's number format.
    """
    if card.network != network.settings:
        raise WeightsError(f"The card describes {card.network}, but the network is {network.settings}.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        write_tensors(_as_stored(network, card.stored), draft / WEIGHTS_FILE)
        _write_card(draft, card, _sha256(draft / WEIGHTS_FILE))
        draft.chmod(0o755)
        # Without this, a power failure may leave a folder under its final name with files never written.
        sync(*draft.iterdir(), draft)
        _replace(draft, directory)
        sync(directory.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def note_labels(directory: Path, dsc: Mapping[str, float], images: Mapping[str, int]) -> None:
    """Write the validation Dice of each label, and the number of images that contain it, on a version's card.

    Raises:
        WeightsError: the card is missing or damaged.
    """
    data = _read_json(directory)
    card = replace(Card.from_dict(data), labels_dsc=dict(dsc), labels_images=dict(images))
    _write_card(directory, card, data.get("sha256"))


def _write_card(directory: Path, card: Card, digest: str | None) -> None:
    """Write a card atomically, with the digest of the weights that it describes."""
    text = json.dumps({**card.to_dict(), "sha256": digest}, indent=2, sort_keys=True)
    draft = directory / f".{CARD_FILE}"
    draft.write_text(text + "\n", encoding="utf-8")
    sync(draft)
    draft.replace(directory / CARD_FILE)
    sync(directory)


def _as_stored(network: DeeplySupervisedUNet, stored: Stored) -> dict[str, Tensor]:
    """The network's tensors on the CPU, floats converted to `stored`; integer counters keep their type."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        source = tensor.detach().cpu().contiguous()
        tensors[name] = source.to(_DTYPES[stored]) if source.is_floating_point() else source
        if not tensors[name].isfinite().all():
            raise WeightsError(f"{name} has values that are not finite as {stored}; store it as float32.")
    return tensors


def read_card(directory: Path) -> Card:
    """The card of a version, without reading its weights.

    Raises:
        WeightsError: the card is missing or damaged.
    """
    return Card.from_dict(_read_json(directory))


def weights_digest(directory: Path) -> str:
    """SHA-256 of a version's weights, as its card says.

    Raises:
        WeightsError: the card is missing or damaged.
    """
    return str(_read_json(directory).get("sha256"))


def load_version(directory: Path) -> tuple[DeeplySupervisedUNet, Card]:
    """The network of a version, on the CPU, in float32 and in evaluation mode, and its card.

    Raises:
        WeightsError: a file is missing or damaged, or the weights do not match the card.
    """
    data = _read_json(directory)
    card = Card.from_dict(data)
    path = directory / WEIGHTS_FILE
    if not path.is_file():
        raise WeightsError(f"{directory.name} has no {WEIGHTS_FILE}; restore it or train again.")
    if data.get("sha256") != _sha256(path):
        raise WeightsError(f"The weights of {directory.name} do not match the checksum on its card.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights of {directory.name} cannot be read ({error}).") from error
    if _exceeds(card.network, sum(tensor.numel() for tensor in tensors.values())):
        raise WeightsError(f"The network on the card of {directory.name} is larger than its weights.")
    tensors = with_own_decoder(tensors, card.network.levels)
    network = DeeplySupervisedUNet(card.network)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        name = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise WeightsError(
            f"The weights of {directory.name} do not fit its card: {name} should be "
            f"{expected.get(name, 'absent')} but is {found.get(name, 'absent')}."
        )
    network.load_state_dict(tensors)
    return network.eval(), card


def _read_json(directory: Path) -> dict[str, Any]:
    path = directory / CARD_FILE
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise WeightsError(f"The card of {directory.name} has more than {LARGEST_CARD} bytes.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{directory.name} is not a version: it has no {CARD_FILE}.") from error
    except WeightsError:
        raise
    # ValueError: no JSON, no UTF-8, or a number of thousands of digits. RecursionError: nested as deeply.
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"The card of {directory.name} cannot be read ({error}).") from error
    if not isinstance(data, dict):
        raise WeightsError(f"The card of {directory.name} is no object.")
    return data


def _exceeds(network: NetworkSettings, numbers: int) -> bool:
    """Whether a network has more weights than that; a card may ask for more than any memory has."""
    if network.levels > MOST_LEVELS:
        return True
    deepest = network.width * 2 ** (network.levels - 1)
    # One 3x3 convolution of the deepest level, and the classifier.
    return 9 * deepest**2 > numbers or network.width * network.classes > numbers


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is no text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.50} is no list")
    return value


def _figures(values: Any) -> dict[str, Any]:
    """Numbers by name; raises TypeError for anything else."""
    found = dict(values)
    for value in found.values():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{value!r:.50} is no number")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(draft: Path, directory: Path) -> None:
    """Move `draft` to `directory`; a version that is there is moved aside first and deleted last."""
    if directory.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
        directory.replace(aside)
        draft.replace(directory)
        shutil.rmtree(aside)
    else:
        draft.replace(directory)
