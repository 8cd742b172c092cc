"""Pre-training on prompts: shipped weights learn from phantoms what clicks and boxes mean."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from model.imaging.fine import fine_grey
from model.imaging.preprocessing import PreprocessingSettings, preprocess
from model.loss import DeepSupervisionLoss
from model.network import DeeplySupervisedUNet, with_prompts
from model.research.phantom import draw_phantom, natural_size
from model.research.phantom.growth import AGES
from model.research.pretraining.pretrain import settle, settle_statistics, unseen_phantoms
from model.research.pretraining.stream import PhantomSource
from model.training.batches import Batch, Batches
from model.training.dataset import Example
from model.training.device import TrainingDevice
from model.training.optimisation import optimiser, rate_factor
from model.training.prompting import Episodes, PromptBatch, answered, is_answered_first, prompt_loss
from model.training.settings import TrainingError
from model.training.stepping import GRADIENT_NORM
from model.training.validation import validation_dsc
from model.weights import Card, library_versions, load_version, now, save_version

SIDES = (560, 860)
"""Smallest and largest longer side of a phantom for episodes: enough for windows that enlarge its canvas."""
SETTLING, SETTLING_BATCH = 64, 4
"""Batches over which the statistics of the norms are averaged at the end, and phantoms in each."""
ANSWERED_FROM = 50
"""Steps after which episodes are answered by the network, which knows nothing of prompts before."""


@dataclass(frozen=True)
class PromptSettings:
    """Settings of a pre-training on prompts.

    Attributes:
        steps: of the training; each learns from episodes and from ordinary phantoms.
        episodes: in each step.
        batch: ordinary phantoms in each step, so that masks without prompts stay as good as they were.
        phantoms: drawn for episodes.
        learning_rate: its peak.
        seed: of everything.
    """

    steps: int = 1600
    episodes: int = 6
    batch: int = 2
    phantoms: int = 300
    learning_rate: float = 2e-3
    seed: int = 0


def learn_prompts(
    start: DeeplySupervisedUNet,
    preprocessing: PreprocessingSettings,
    settings: PromptSettings,
    progress: Callable[[int, float, float], None] | None = None,
) -> DeeplySupervisedUNet:
    """Teach a network of one label, "bone", what prompts mean, on phantoms alone.

    Args:
        start: the network; not changed.
        preprocessing: of its canvas.
        settings: how to train.
        progress: called after each step with (steps, loss of the masks, loss of the prompts).

    Returns:
        A network with layers for prompts, in training mode: its statistics are still to be settled.
    """
    network = with_prompts(start).train()
    device = TrainingDevice.find("cpu", "auto")
    examples = bone_examples(settings.phantoms, preprocessing, settings.seed)
    source = Batches(PhantomSource(settings.seed + 1), settings.batch, seed=settings.seed, augment=False)
    episodes = Episodes(examples, settings.episodes, settings.seed)
    adam = optimiser(network, settings.learning_rate, 1e-2)
    criterion = DeepSupervisionLoss()

    def prepared(step: int) -> tuple[Batch, PromptBatch | None]:
        return source.batch(step), episodes.batch(step)

    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(prepared, 0)
        for step in range(settings.steps):
            ordinary, marked = pending.result()
            assert marked is not None  # phantoms have bones
            pending = thread.submit(prepared, step + 1)
            for group in adam.param_groups:
                group["lr"] = settings.learning_rate * rate_factor(step / settings.steps)
            with device.autocast():
                if step >= ANSWERED_FROM and is_answered_first(settings.seed, step):
                    marked = answered(marked, network, settings.seed, step)
                masks = criterion(network(ordinary.images), ordinary.targets)
                prompts = prompt_loss(network.prompted(marked.images, marked.maps), marked.targets)
            adam.zero_grad(set_to_none=False)
            (masks + prompts).backward()
            nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
            adam.step()
            if progress is not None:
                progress(step + 1, masks.item(), prompts.item())
    return network


def bone_examples(count: int, preprocessing: PreprocessingSettings, seed: int) -> list[Example]:
    """Phantoms with the grey values of their canvas; in every second one all bones are one label."""
    draws = np.random.default_rng([seed, 4])
    examples = []
    for index in range(count):
        age, own = int(draws.integers(AGES[0], AGES[-1] + 1)), int(draws.integers(2**30))
        width, height = natural_size(age, own)
        factor = draws.integers(*SIDES) / max(width, height)
        phantom = draw_phantom(age, own, size=(max(128, round(width * factor)), round(height * factor)))
        _, frame = preprocess(phantom.image, preprocessing)
        bones = phantom.bones if index % 2 else (phantom.bones > 0).astype(np.uint8)
        examples.append(Example(f"bones {index}", fine_grey(phantom.image, frame, preprocessing), bones))
    return examples


def settle_prompt_statistics(
    network: DeeplySupervisedUNet, episodes: Episodes, step: int, batches: int
) -> None:
    """Replace the running statistics of the prompts' norms by means over further episodes.

    Args:
        network: with layers for prompts; modified in place.
        episodes: where they are drawn from.
        step: of the first batch.
        batches: how many.
    """
    assert network.prompts is not None  # required
    drawn = (episodes.batch(later) for later in range(step, step + batches))
    forwards = (partial(network.prompted, batch.images, batch.maps) for batch in drawn if batch is not None)
    settle(network, network.prompts.modules(), forwards)


def pretrain_prompts(
    out: Path,
    start: Path,
    settings: PromptSettings,
    progress: Callable[[int, float, float], None] | None = None,
) -> Card:
    """Teach a version of one label what prompts mean, and write the result as a version in float16.

    Args:
        out: folder of the version; replaced if it exists.
        start: folder of the version to start from.
        settings: how to train.
        progress: as in `learn_prompts`.

    Returns:
        The version's card. Its metric `phantom_dsc` is the mean Dice, without prompts, of `unseen_phantoms`.

    Raises:
        TrainingError: the version has several labels.
        model.weights.WeightsError: the version cannot be read.
    """
    former, card = load_version(start)
    if len(card.labels) != 1:
        raise TrainingError(f"{card.name} has {len(card.labels)} labels; start from a version with one.")
    began = time.monotonic()
    network = learn_prompts(former, card.preprocessing, settings, progress)
    settling = min(SETTLING, settings.steps)
    settle_statistics(network, PhantomSource(settings.seed + 1), settings.steps, SETTLING_BATCH, settling)
    examples = bone_examples(max(1, settings.phantoms // 2), card.preprocessing, settings.seed)
    episodes = Episodes(examples, settings.episodes, settings.seed + 1)
    settle_prompt_statistics(network, episodes, settings.steps, settling)
    dsc = validation_dsc(network, unseen_phantoms(card.preprocessing), TrainingDevice.find("cpu", "fp32"))
    seconds = round(time.monotonic() - began, 1)
    result = replace(
        card,
        name=out.name,
        parent=card.name,
        network=network.settings,
        metrics=card.metrics | {"phantom_dsc": dsc},
        training=card.training | {"prompts": {**asdict(settings), "seconds": seconds}},
        libraries=library_versions(),
        created=now(),
        stored="float16",
    )
    save_version(out, network, result)
    return result
