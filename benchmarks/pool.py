"""How long a new order of a large pool takes, next to the least that it can take.

Usage: python benchmarks/pool.py [N] [--workers 1 2] [--candidates C] [--size PIXELS] [--width W]
                                 [--image-size PIXELS]

A project of N phantoms in a real Label Studio is labelled for two rounds, once with each number of workers.
Its first version with a network reads every image for the first time (cold), the second one finds them in
the cache (warm). With --candidates, the second one scores only C tasks before its order is shown, and the
others in the background (rest), with two requests each. Measured from the end of a training until the new
order is shown. Then the labeling config chooses another strategy, which orders the pool by the same weights
(strategy). The floor is measured in the same run: the network's forward passes alone, from files that were
read before, and one import of all predictions into the same project. With small images nearly all of the rest
is overhead.

Target: at most twice the floor, and less than 300 MB for the web service.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from support.service import ConnectedProject, connected, started_label_studio

from ml_backend.demo.images import DemoImages
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.regions.masks import results
from ml_backend.queue.clients import client_of, socket_url
from ml_backend.queue.embedded_redis import running_socket
from ml_backend.queue.queues import JobQueues
from ml_backend.score.prediction import load_segmenter
from ml_backend.store import scores
from ml_backend.store.models import Version, now
from ml_backend.store.weights import WeightStore
from model.imaging.decoding import decode_image
from model.research.phantom import write_phantoms
from model.training.dataset import FolderSample, read_folder, read_mask

LABELS = 6
"""Labels of a round."""

DRAWN = 95
"""Most phantoms that are drawn; further images are some of these, moved."""

SMALLEST = 200
"""Pixels of the longer side of the smallest phantom that can be drawn, more or less."""

OTHER_STRATEGY = "entropy+clusters"
PATIENCE = 7200.0
AFTERWARDS = 15.0


@dataclass
class Round:
    """A new version: seconds from its training to its order, and memory.

    Attributes:
        scoring, publishing: seconds.
        web_mb: resident memory of the web service when the order is shown.
        job_mb: the most that a quick job of a worker had until then, as those that score are.
    """

    scoring: float
    publishing: float
    web_mb: int
    job_mb: int

    @property
    def seconds(self) -> float:
        """From the end of the training to the published order."""
        return self.scoring + self.publishing


def main() -> None:
    """Run each number of workers, and print the table."""
    arguments = parse()
    with started_label_studio(arguments.label_studio) as (server, folder):
        images = pool(folder / "phantoms", arguments.tasks, arguments.size)
        print(
            f"{'':<28}{'scored s':>10}{'published s':>13}{'all s':>8}{'× floor':>9}{'web MB':>8}{'job MB':>8}"
        )
        for workers in arguments.workers:
            run(arguments, images, server, folder / f"workers-{workers}", workers)


def run(
    arguments: argparse.Namespace, images: DemoImages, server: LabelStudioServer, folder: Path, workers: int
) -> None:
    """Two rounds of one project, an order by another strategy, and the floor."""
    environment = {
        "NETWORK_WIDTH": str(arguments.width),
        "IMAGE_SIZE": str(arguments.image_size),
        "INITIAL_WEIGHTS": "none",
        "LEARN_FROM": "0",
        "TRAIN_STEPS": "20",
        "MASK_FLOOR": "0",
        "RETRAIN_EVERY": str(LABELS),
        "RECONCILE_SECONDS": "0",
        "CANDIDATES": str(arguments.candidates),
    }
    second = "candidates" if arguments.candidates else "warm"
    with connected(server, images, folder, f"{workers} workers", environment, workers=workers) as project:
        await_version(project, 0)
        tasks = sorted(project.truth)
        rounds = {}
        for number, name in enumerate(("cold", second), start=1):
            for task in tasks[LABELS * (number - 1) : LABELS * number]:
                mask = read_mask(project.truth[task].mask_path)
                project.client.submit_annotation(task, results(mask, project.config), lead_time=1.0)
            rounds[name] = measured(project, *await_version(project, number))
            if number == 1:
                # What follows a publication, such as the deletion of predictions, must not count later.
                time.sleep(AFTERWARDS)
        left = tasks[LABELS * len(rounds) :]
        rest = await_rest(project) if arguments.candidates else None
        time.sleep(AFTERWARDS)
        choose(project, OTHER_STRATEGY)
        made, most = await_version(project, 3)
        rounds["strategy"] = measured(project, made, most)
        forwards, imported = floor(project, made, left)
    floor_seconds = forwards / workers + imported
    for name, one in rounds.items():
        line = f"{workers} workers, {name}" if workers > 1 else f"1 worker, {name}"
        print(
            f"{line:<28}{one.scoring:>10.1f}{one.publishing:>13.1f}{one.seconds:>8.1f}"
            f"{one.seconds / floor_seconds:>9.2f}{one.web_mb:>8}{one.job_mb:>8}",
            flush=True,
        )
    if rest is not None:
        print(f"{'  rest, from the order on':<28}{'':>23}{rest:>8.1f}", flush=True)
    print(f"{'  floor':<28}{forwards / workers:>10.1f}{imported:>13.1f}{floor_seconds:>8.1f}", flush=True)


def measured(project: ConnectedProject, version: Version, job_mb: int) -> Round:
    """What a version took that has just been published."""
    scoring, publishing = version.seconds_scoring or 0.0, version.seconds_publishing or 0.0
    return Round(scoring, publishing, project.web_rss(), job_mb)


def choose(project: ConnectedProject, strategy: str) -> None:
    """Choose a strategy in the labeling config, and have it read at once."""
    xml = project.client.project(project.project)["label_config"]
    knob = f'<BrushLabels model_strategy="{strategy}" '
    project.client.patch_project(project.project, label_config=xml.replace("<BrushLabels ", knob))
    socket = running_socket(project.settings.redis_dir)
    assert socket is not None  # The service is running.
    JobQueues(client_of(socket_url(socket))).request_order(project.project)


def await_version(project: ConnectedProject, number: int) -> tuple[Version, int]:
    """Wait for the version of a round; with it comes the most memory of a quick job meanwhile, in MB."""
    ends, most = time.monotonic() + PATIENCE, 0
    while time.monotonic() < ends:
        project.processes.check()
        most = max(most, project.quick_rss())
        version = project.published()
        if version is not None and version.round >= number:
            return version, most
        time.sleep(0.5)
    raise SystemExit(f"No version of round {number} after {PATIENCE:.0f} s.")


def await_rest(project: ConnectedProject) -> float:
    """Wait until no task has a former version's score; returns the seconds since the order was shown."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        project.processes.check()
        version = project.published()
        assert version is not None
        with project.database.read() as session:
            if not scores.due(session, version.id):
                assert version.published_at is not None
                return (now() - version.published_at).total_seconds()
        time.sleep(0.5)
    raise SystemExit(f"Tasks have former scores after {PATIENCE:.0f} s.")


def floor(project: ConnectedProject, version: Version, tasks: list[int]) -> tuple[float, float]:
    """Seconds of the forward passes alone, and of one import of what the version predicted."""
    assert version.weights_hash is not None
    store = WeightStore(project.settings.effective_store_url, project.settings.weights_cache_dir)
    segmenter = load_segmenter(project.settings, store.get(version.weights_hash))
    decoded = [decode_image(project.truth[task].image_path.read_bytes()) for task in tasks]
    began = time.monotonic()
    for _ in segmenter.stream(decoded):
        pass
    forwards = time.monotonic() - began
    predictions = [
        {"task": one["task"], "result": one["result"], "score": one["score"], "model_version": "floor"}
        for task in tasks
        for one in project.client.predictions(task)
        if one["model_version"] == version.name
    ]
    began = time.monotonic()
    project.client.import_predictions(project.project, predictions)
    return forwards, time.monotonic() - began


def pool(folder: Path, tasks: int, size: int) -> DemoImages:
    """`tasks` phantoms whose longer side has `size` pixels, in other places of at most `DRAWN` images."""
    drawn = min(DRAWN, tasks)
    groups = min(19, drawn)
    write_phantoms(folder, groups=groups, per_group=-(-drawn // groups), max_side=max(size, SMALLEST))
    samples = read_folder(folder / "images", folder / "masks")
    made = [
        _shifted(samples[number % len(samples)], folder, number, number // len(samples), size)
        for number in range(tasks)
    ]
    return DemoImages(tuple(made), (), ("bone",))


def _shifted(sample: FolderSample, folder: Path, number: int, turn: int, size: int) -> FolderSample:
    """A phantom at `size` pixels, moved by 3 pixels for each turn."""
    paths = [folder / f"{kind}-{number:05d}.png" for kind in ("image", "mask")]
    for source, target in zip((sample.image_path, sample.mask_path), paths, strict=True):
        pixels = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
        assert pixels is not None  # It has just been written.
        scale = min(1.0, size / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(target), np.roll(small, 3 * turn, axis=1))
    return FolderSample(f"{number:05d}", *paths)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="?", type=int, default=500, metavar="N")
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--candidates", type=int, default=0, metavar="C")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--label-studio", type=Path, default=Path(".venv-label-studio/bin/label-studio"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
