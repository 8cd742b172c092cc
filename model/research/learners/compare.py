"""One training of one arm, and many in parallel processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from model.classes import Classes
from model.consistency import consistency
from model.imaging.preprocessing import to_network
from model.metrics import dice_per_label
from model.network import DeeplySupervisedUNet
from model.pretrained import pretrained_start
from model.research.learners.arms import REFERENCE, Arm, arms
from model.research.learners.sets import Prepared, plan, prepare, sides
from model.segmenter import hard_mask
from model.training.batches import Batches
from model.training.dataset import Example
from model.training.device import TrainingDevice
from model.training.run import train
from model.training.settings import TrainingSettings

SAMPLED_STEPS = 24
"""Batches from which the pixels of a step are estimated."""
CHECKPOINT_STEPS = 100
"""Steps between checkpoints: the most that a training loses when it is interrupted."""


@dataclass(frozen=True)
class Job:
    """One training: an arm on a set with a seed.

    Attributes:
        scale: factor of all steps.
        checkpoints: folder of this job alone, from which an interrupted training continues; None for none.
    """

    arm: str
    set: str
    seed: int
    part: str
    data: Path
    device: str
    scale: float = 1.0
    checkpoints: Path | None = None

    @property
    def name(self) -> str:
        """Unlike that of any other job of a comparison; also the name of its folder of checkpoints."""
        return f"{self.set}-{self.part}-{self.arm}-{self.seed}-{self.scale:g}"


def run_job(job: Job) -> dict[str, Any]:
    """Train from the shipped weights and measure on the test images; the result is a JSON object."""
    arm, wanted = arms()[job.arm], plan(job.data, job.set)
    training, tested = sides(wanted, job.part, job.seed)
    reference = _examples(_prepared(job.data, job.set, arms()[REFERENCE]), training)
    prepared = _prepared(job.data, job.set, arm)
    examples = _examples(prepared, training)
    budget = wanted.steps * job.scale * pixels(arms()[REFERENCE].settings(job.seed, job.device), reference)
    settings = settings_for(arm, examples, budget, job)
    labels = tuple(f"label {index}" for index in range(1, prepared.labels + 1))
    start, _ = pretrained_start(Classes.of(labels))
    result = train(
        examples,
        [],
        labels=labels,
        network=start.settings,
        settings=settings,
        start=start,
        checkpoints=job.checkpoints,
    )
    return {
        "job": job.name,
        "arm": job.arm,
        "set": job.set,
        "part": job.part,
        "seed": job.seed,
        "labels": len(training),
        "steps": result.steps,
        "loss": result.metrics["loss"],
        "train_s": round(result.seconds, 1),
        "images": measure(result.network, prepared, tested, job.device),
    }


def settings_for(arm: Arm, examples: Sequence[Example], budget: float, job: Job) -> TrainingSettings:
    """The arm's settings, with enough steps to process `budget` pixels times the arm's own factor."""
    settings = arm.settings(job.seed, job.device)
    steps = max(1, round(budget * arm.budget / pixels(settings, examples)))
    return replace(settings, steps=steps, validate_every=steps, checkpoint_every=CHECKPOINT_STEPS)


def pixels(settings: TrainingSettings, examples: Sequence[Example]) -> float:
    """Mean number of pixels of a step's batch, padding included: what a step costs."""
    batches = Batches(
        examples, settings.batch, seed=0, augment=False, balanced=settings.balanced, crop=settings.crop
    )
    return float(np.mean([batches.batch(step).images.numel() for step in range(SAMPLED_STEPS)]))


@torch.inference_mode()
def measure(
    network: DeeplySupervisedUNet, prepared: Prepared, tested: Iterable[int], device: str
) -> list[dict[str, Any]]:
    """Dice of each label at original resolution, and the consistency score on the canvas, of each image."""
    target = TrainingDevice.find(device, "fp32")
    network = network.to(target.device)
    result = []
    for index in tested:
        image = torch.from_numpy(to_network(prepared.examples[index].image))[None]
        heads = network(target.images(image))
        final = hard_mask(heads.final[0].softmax(0).cpu().numpy(), prepared.frames[index])
        lower, middle, small = (head[0].argmax(0).cpu().numpy().astype(np.uint8) for head in heads)
        dice = dice_per_label(final, prepared.truths[index], prepared.labels)
        score = consistency(lower, middle, small, prepared.labels).score
        by_label = {str(label): value for label, value in dice.items()}
        result.append({"image": prepared.examples[index].key, "dsc": by_label, "score": score})
    return result


def run_jobs(jobs: Sequence[Job], out: Path, processes: int, told: Callable[[dict[str, Any]], None]) -> None:
    """Run jobs in parallel processes of one thread each; each result is a line of the file.

    Jobs that the file has are left out, and trainings that were interrupted continue.

    Args:
        jobs: in the order in which they are started.
        out: gets a line for each result, after those that it has.
        processes: number of processes.
        told: called with each result.
    """
    unfinished = out.parent / f"{out.name}.unfinished"
    jobs = [replace(job, checkpoints=unfinished / job.name) for job in jobs if job.name not in _done(out)]
    # Before the fork, which copies no threads. Forked, so that images are read and augmented once.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for job in jobs:
        for name in (job.arm, REFERENCE):
            _prepared(job.data, job.set, arms()[name])
    with (
        out.open("a", encoding="utf-8") as file,
        multiprocessing.get_context("fork").Pool(processes) as pool,
    ):
        for found in pool.imap_unordered(run_job, jobs):
            file.write(json.dumps(found) + "\n")
            file.flush()
            shutil.rmtree(unfinished / found["job"], ignore_errors=True)
            told(found)


def _done(out: Path) -> set[str]:
    """Names of the jobs whose results are in a file; files of earlier releases have no names."""
    if not out.exists():
        return set()
    rows = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    return {row["job"] for row in rows if "job" in row}


def _prepared(data: Path, name: str, arm: Arm) -> Prepared:
    return _cached(data, name, arm.size, arm.mirrored)


@cache
def _cached(data: Path, name: str, size: int, mirrored: bool) -> Prepared:
    return prepare(plan(data, name).samples(), size, mirrored=mirrored)


def _examples(prepared: Prepared, indices: Sequence[int]) -> list[Example]:
    """The variants of the images, one of each after the other."""
    rounds = zip(*(prepared.variants[index] for index in indices), strict=True)
    return [example for one_of_each in rounds for example in one_of_each]
