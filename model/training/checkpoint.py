"""Checkpoints of a training run: one safetensors file, replaced atomically and read without pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.durability import sync
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.tensor_files import write_tensors
from model.training.batches import ExampleSource
from model.training.dataset import Example
from model.training.settings import TrainingSettings

FILE = "checkpoint.safetensors"
FORMAT = 1


@dataclass
class Checkpoint:
    """The state of a run.

    Attributes:
        tensors: named tensors of the network, the optimiser and the best weights so far.
        state: everything else, as JSON-serialisable values.
    """

    tensors: dict[str, Tensor]
    state: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(directory: Path, checkpoint: Checkpoint, *, fingerprint: str) -> None:
    """Write the checkpoint to the directory, in place of the previous one.

    A run that is killed at any moment leaves either the old file or the new one.

    Args:
        directory: created if missing.
        checkpoint: the state to save; tensors may be on any device.
        fingerprint: identity of the run, such as its `run_fingerprint`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = {"format": FORMAT, "fingerprint": fingerprint, "state": checkpoint.state}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    unfinished = directory / f"{FILE}.{os.getpid()}.part"
    try:
        write_tensors(tensors, unfinished, {"dsal": json.dumps(note)})
        unfinished.replace(directory / FILE)
        sync(directory)
    finally:
        unfinished.unlink(missing_ok=True)


def load_checkpoint(directory: Path, *, fingerprint: str) -> Checkpoint | None:
    """The checkpoint of the run with this fingerprint; None if it is missing, damaged or of another run."""
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {}).get("dsal", "{}"))
            if note.get("format") != FORMAT or note.get("fingerprint") != fingerprint:
                return None
            return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, note["state"])  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError):
        return None


def shape(network: NetworkSettings) -> dict[str, Any]:
    """A network's settings as part of a configuration; they differ where checkpoints hold other tensors."""
    # In earlier releases prompts shared the network's decoder.
    return network.to_dict() | ({"prompts": "decoder"} if network.prompts else {})


def run_fingerprint(
    configuration: Mapping[str, Any], examples: Iterable[Example], start: Mapping[str, Tensor] | None
) -> str:
    """The identity of a run: SHA-256 of its configuration (JSON), examples and start weights."""
    digest = hashlib.sha256(json.dumps(configuration, sort_keys=True).encode())
    for example in examples:
        digest.update(f"\0{example.key}\0{example.image.shape}\0".encode())
        digest.update(example.image.tobytes())
        digest.update(example.mask.tobytes())
        if example.weight != 1:
            digest.update(f"\0{example.weight!r}".encode())
    for name, tensor in sorted((start or {}).items()):
        digest.update(f"\0{name}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint_of(
    training: Sequence[Example] | ExampleSource,
    validation: Sequence[Example],
    labels: tuple[str, ...],
    network: NetworkSettings,
    settings: TrainingSettings,
    start: DeeplySupervisedUNet | None,
) -> str:
    """The `run_fingerprint` of what `model.training.run.train` is given."""
    # `until_plateau` does not affect individual steps, so a run can resume under either value.
    steps = {name: value for name, value in settings.to_dict().items() if name != "until_plateau"}
    configuration = {
        "labels": labels,
        "network": shape(network),
        "settings": steps,
        "training": training.description if isinstance(training, ExampleSource) else len(training),
    }
    weights = None if start is None else start.state_dict()
    examples = () if isinstance(training, ExampleSource) else training
    return run_fingerprint(configuration, [*examples, *validation], weights)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, with `prefix.` added to each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, with it removed; the inverse of `prefixed`."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, such as its moments, as named tensors, e.g. `3.exp_avg`."""
    states = optimiser.state_dict()["state"]
    return {f"{index}.{name}": value for index, state in states.items() for name, value in state.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`; learning rates and weight decay are not changed."""
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        states.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, state in optimiser.state.items():
        for key, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                # Checkpoints lose the memory format, in which a fused optimiser expects all of a weight.
                state[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)
