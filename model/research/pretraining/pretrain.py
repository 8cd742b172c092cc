"""The recipe: from nothing to weights that have seen phantoms alone, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from model.imaging.preprocessing import PreprocessingSettings
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.phantom import draw_phantom, natural_size
from model.research.phantom.growth import AGES
from model.research.pretraining.stream import PhantomSource
from model.training.batches import Batches, ExampleSource
from model.training.dataset import Example, make_example
from model.training.device import TrainingDevice
from model.training.run import Progress, TrainingSettings, train
from model.training.validation import validation_dsc
from model.weights import Card, load_version, save_version

LABEL = "bone"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class PretrainingSettings:
    """How to pre-train.

    Attributes:
        steps, seconds: the budget; whichever ends first, at least one is needed.
        size: longer side that the version's card asks for in use; the network learns from canvases of 0.68 to
            1.18 times that.
        width: channels of the network's first level.
        seed: of weights and phantoms.
        batch: phantoms in a step.
        learning_rate: full height of the schedule.
        checkpoint_every: steps from one checkpoint to the next.
        window, uses: see `PhantomSource`.
        settling: batches over which the batch norms' statistics are averaged at the end; never more than
            steps were done.
    """

    steps: int | None = None
    seconds: float | None = None
    size: int = 384
    width: int = 16
    seed: int = 0
    batch: int = 4
    learning_rate: float = 3e-3
    checkpoint_every: int = 50
    window: int = 192
    uses: int = 12
    settling: int = 64

    @property
    def training(self) -> TrainingSettings:
        """What the training loop is told."""
        return TrainingSettings(
            steps=self.steps,
            seconds=self.seconds,
            batch=self.batch,
            learning_rate=self.learning_rate,
            seed=self.seed,
            augment=False,
            checkpoint_every=self.checkpoint_every,
        )

    @property
    def source(self) -> PhantomSource:
        """Where the examples come from."""
        sizes = (round(0.68 * self.size), round(1.18 * self.size))
        return PhantomSource(self.seed, sizes=sizes, window=self.window, uses=self.uses)


def pretrain(
    out: Path,
    settings: PretrainingSettings,
    *,
    start: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Card:
    """Train a network of one label, "bone", on phantoms alone and write it as a version of float16.

    A killed run goes on where its last checkpoint stood when it is called again with the same arguments, and
    ends with the same weights if its budget is in steps; checkpoints lie in `out`'s neighbour
    `<out>.checkpoints` and stay there.

    Args:
        out: folder of the version, replaced if it is there.
        settings: how to train.
        start: folder of a version of one label to go on from; its network's shape replaces `settings.width`.
        progress: called after each step.

    Returns:
        The version's card; `phantom_dsc` is the mean Dice of 7 phantoms that were not learned from, as the
        demo draws them.

    Raises:
        TrainingError: the settings make no sense, the start has other classes, or the loss was not finite
            time and again.
        model.weights.WeightsError: the start cannot be read.
    """
    network, parent = (None, None) if start is None else load_version(start)
    shape = NetworkSettings(classes=2, width=settings.width) if parent is None else parent.network
    source = settings.source
    result = train(
        source,
        (),
        labels=(LABEL,),
        network=shape,
        settings=settings.training,
        start=network,
        checkpoints=out.with_name(f"{out.name}.{CHECKPOINTS}"),
        progress=progress,
    )
    network = result.network
    settling = min(settings.settling, result.steps)
    settle_statistics(network, source, result.steps, settings.batch, settling)
    preprocessing = PreprocessingSettings(size=settings.size)
    device = TrainingDevice.find("cpu", "fp32")
    dsc = validation_dsc(network, unseen_phantoms(preprocessing), device)
    told = {**asdict(settings), "steps": result.steps, "seconds": round(result.seconds, 1)}
    # The network's settings say it, and a start may have had another.
    del told["width"]
    card = Card(
        out.name,
        (LABEL,),
        shape,
        preprocessing,
        metrics={"phantom_dsc": dsc, "loss": result.metrics["loss"]},
        parent=None if parent is None else parent.name,
        training=told,
        stored="float16",
    )
    save_version(out, network.eval(), card)
    return card


def unseen_phantoms(preprocessing: PreprocessingSettings) -> list[Example]:
    """Phantoms of every third year of age, as the demo draws them, at most twice as large as the canvas."""
    examples = []
    for age in AGES[::3]:
        natural = natural_size(age, age)
        shrink = min(1.0, 2 * preprocessing.size / max(natural))
        phantom = draw_phantom(age, age, size=(round(natural[0] * shrink), round(natural[1] * shrink)))
        examples.append(make_example(f"unseen {age}", phantom.image, phantom.mask // 255, preprocessing))
    return examples


def settle_statistics(
    network: DeeplySupervisedUNet, source: ExampleSource, step: int, batch: int, steps: int
) -> None:
    """Give the batch norms plain means over `steps` further batches, from `step` on, for the running ones.

    Running statistics follow the last ten batches, and a few odd phantoms among those tilt every prediction.
    Other norms have none: such a network is left as it is.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    batches = Batches(source, batch, seed=0, augment=False)
    network.train()
    with torch.inference_mode():
        for later in range(step, step + steps):
            network(batches.batch(later).images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
