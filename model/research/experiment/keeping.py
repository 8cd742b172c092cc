"""Which weights of a round's training are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import load_file

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.checkpoint import FILE, unprefixed
from model.training.dataset import Example
from model.training.device import TrainingDevice
from model.training.run import train
from model.training.settings import Progress, TrainingSettings
from model.training.validation import validation_dsc


@dataclass(frozen=True, eq=False)
class Kept:
    """The weights that a training keeps, in evaluation mode, and the step after which it had them."""

    network: DeeplySupervisedUNet
    step: int


def train_and_keep(
    training: Sequence[Example],
    validation: Sequence[Example],
    *,
    labels: tuple[str, ...],
    network: NetworkSettings,
    settings: TrainingSettings,
    start: DeeplySupervisedUNet | None,
    keep_start: bool = True,
) -> Kept:
    """Train as `model.training.run.train` does, and keep the best weights.

    Args:
        training, validation, labels, network, settings, start: as in `train`; without validation examples the
            last weights are kept.
        keep_start: whether the weights of `start` are kept if they are the best.
    """
    if keep_start or not validation:
        result = train(training, validation, labels=labels, network=network, settings=settings, start=start)
        return Kept(result.network, int(result.metrics["kept_step"]))
    best = _BestCheckpoint(validation, network, settings)
    with TemporaryDirectory(prefix="dsal-experiment-") as folder:
        train(
            training,
            [],
            labels=labels,
            network=network,
            settings=replace(settings, checkpoint_every=settings.validate_every),
            start=start,
            checkpoints=Path(folder),
            progress=lambda now: best.look(now, Path(folder)),
        )
    return best.kept()


class _BestCheckpoint:
    """Validates the checkpoints of a run that does not validate itself, and keeps the best weights."""

    def __init__(
        self, validation: Sequence[Example], network: NetworkSettings, settings: TrainingSettings
    ) -> None:
        self._validation, self._shape, self._settings = validation, network, settings
        self._device = TrainingDevice.find("cpu", settings.precision)
        self._best: tuple[float, Kept] | None = None

    def look(self, now: Progress, folder: Path) -> None:
        if now.step % self._settings.validate_every and now.step != self._settings.steps:
            return
        network = DeeplySupervisedUNet(self._shape)
        network.load_state_dict(unprefixed("network", load_file(folder / FILE)))
        dsc = validation_dsc(network, self._validation, self._device)
        if self._best is None or dsc > self._best[0]:
            self._best = dsc, Kept(network.eval(), now.step)

    def kept(self) -> Kept:
        assert self._best is not None, "the last step is always validated"
        return self._best[1]
