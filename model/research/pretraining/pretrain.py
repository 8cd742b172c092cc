"""Pre-training: a network trained from random weights on phantoms only, resumable at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from model.imaging.preprocessing import PreprocessingSettings
from model.loss import LossWeights
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
    """Settings of a pre-training.

    Attributes:
        steps, seconds: budget; at least one is required, and the run ends when the first is reached.
        size: longer side of the canvas in use, in pixels; training uses canvases of 0.68 to 1.18 times that.
        width: channels of the network's first level.
        seed: of initial weights and phantoms.
        batch: phantoms per step.
        learning_rate: peak of the learning rate.
        checkpoint_every: steps between checkpoints.
        window, uses: see `PhantomSource`.
        settling: batches over which the statistics of the batch norms are averaged at the end, at most as
            many as the run had steps.
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
        """The settings of the training run."""
        return TrainingSettings(
            steps=self.steps,
            seconds=self.seconds,
            batch=self.batch,
            learning_rate=self.learning_rate,
            seed=self.seed,
            augment=False,
            loss=LossWeights(),
            checkpoint_every=self.checkpoint_every,
        )

    @property
    def source(self) -> PhantomSource:
        """The source of the examples."""
        sizes = (round(0.68 * self.size), round(1.18 * self.size))
        return PhantomSource(self.seed, sizes=sizes, window=self.window, uses=self.uses)


def pretrain(
    out: Path,
    settings: PretrainingSettings,
    *,
    start: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Card:
    """Train a network with one label, "bone", on phantoms only, and write it as a version in float16.

    If the run is killed, calling it again with the same arguments resumes it from its last checkpoint; with a
    budget in steps, the final weights are the same. Checkpoints are kept in the folder `<out>.checkpoints`
    beside `out` and are not deleted.

    Args:
        out: folder of the version; replaced if it exists.
        settings: how to train.
        start: folder of a version with one label to start from; its network settings replace
            `settings.width`.
        progress: called after each step.

    Returns:
        The version's card. Its metric `phantom_dsc` is the mean Dice of the 7 `unseen_phantoms`.

    Raises:
        TrainingError: the settings are invalid, the start weights have other classes, or the loss was not
            finite in too many steps in a row.
        model.weights.WeightsError: the start weights cannot be read.
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
    training = {**asdict(settings), "steps": result.steps, "seconds": round(result.seconds, 1)}
    # The card has it in the network settings, where start weights may have replaced it.
    del training["width"]
    card = Card(
        out.name,
        (LABEL,),
        shape,
        preprocessing,
        metrics={"phantom_dsc": dsc, "loss": result.metrics["loss"]},
        parent=None if parent is None else parent.name,
        training=training,
        stored="float16",
    )
    save_version(out, network.eval(), card)
    return card


def unseen_phantoms(preprocessing: PreprocessingSettings) -> list[Example]:
    """Phantoms for evaluation, which are not in the training data.

    There is one for every third year of age, drawn as in the demo, and at most twice as large as the canvas.
    """
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
    """Replace the running statistics of the batch norms by means over further batches of the source.

    Networks without batch norm are not changed.

    Args:
        network: modified in place, and left in evaluation mode if it has batch norms.
        source: of the batches.
        step: number of the first batch.
        batch: examples per batch.
        steps: number of batches.
    """
    # Those of the prompts see windows and not whole images.
    own = () if network.prompts is None else set(network.prompts.modules())
    batches = Batches(source, batch, seed=0, augment=False)
    settle(
        network,
        [module for module in network.modules() if module not in own],
        (partial(network, batches.batch(later).images) for later in range(step, step + steps)),
    )


def settle(
    network: nn.Module, modules: Iterable[nn.Module], forwards: Iterable[Callable[[], object]]
) -> None:
    """Replace the running statistics of those modules that are batch norms by means over forwards.

    Running statistics follow about the last ten batches, and a few unusual phantoms among those bias every
    prediction.

    Args:
        network: that `forwards` run; left in evaluation mode if any of `modules` is a batch norm.
        modules: of the network.
        forwards: each runs the network once, in training mode.
    """
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.inference_mode():
        for forward in forwards:
            forward()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
