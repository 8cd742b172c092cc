"""How long a click takes over HTTP, with and without a training beside it.

Usage: python benchmarks/click_latency.py [--tasks N] [--clicks N]

A project of phantoms (500×625 to 1600×2080 pixels) in a real Label Studio, with a service and a worker. Cold:
the first click on an image, which is fetched, decoded and prepared. Warm: further clicks on the same image.
The training is a real one of the project. Targets on two cores, beside it: 95 % of clicks within 300 ms
warm and 900 ms cold. Label Studio adds about 100 ms on the way (docs/label-studio-behaviour.md).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from support.service import PASSWORD, ConnectedProject, connected, started_label_studio

from ml_backend.demo.images import draw_phantoms
from ml_backend.label_studio.config.smart_tags import POINTS, add_smart_tags
from ml_backend.label_studio.regions.masks import results
from ml_backend.store import runs
from model.training.dataset import read_mask


@dataclass
class Times:
    """Seconds of single clicks."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


def main() -> None:
    """Measure both ways, idle and beside a training, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--clicks", type=int, default=5, help="warm clicks on each image")
    parser.add_argument("--label-studio", type=Path, default=Path(".venv-label-studio/bin/label-studio"))
    options = parser.parse_args()
    with started_label_studio(options.label_studio) as (server, folder):
        images = draw_phantoms(folder / "phantoms", options.tasks, 1, 0, lambda *_: None)
        environment = {
            "TRAIN_SECONDS": "600",
            "TRAIN_STEPS": "100000",
            "LEARN_FROM": "2",
            "PREDICT_SECONDS": "5",
        }
        with connected(server, images, folder / "service", "Clicks", environment) as project:
            while project.published() is None:
                project.processes.check()
                time.sleep(0.5)
            make_interactive(project)
            order = sorted(project.truth)
            half = (len(order) - 6) // 2
            click(project, order[0], 50, 50)  # loads torch and the weights
            idle = measure(project, order[1 : 1 + half], options.clicks)
            for task in order[-6:]:
                mask = read_mask(project.truth[task].mask_path)
                project.client.submit_annotation(task, results(mask, project.config), lead_time=1)
            wait_for_training(project)
            busy = measure(project, order[1 + half : 1 + 2 * half], options.clicks)
            is_training = running(project)
    print(f"{'':24}{'clicks':>8}{'p50 ms':>9}{'p95 ms':>9}{'most ms':>9}")
    for name, times in (("idle", idle), ("beside a training", busy)):
        show(f"{name}, cold", times.cold)
        show(f"{name}, warm", times.warm)
    if not is_training:
        print("The training ended before the clicks did: figures beside it are too good.")


def make_interactive(project: ConnectedProject) -> None:
    """Add smart tags to the labeling config; the service is told by the webhook."""
    xml = add_smart_tags(project.client.project(project.project)["label_config"])
    project.client.patch_project(project.project, label_config=xml)
    time.sleep(3)


def wait_for_training(project: ConnectedProject) -> None:
    """Wait until the project trains, and a moment longer."""
    deadline = time.monotonic() + 120
    while not running(project):
        if time.monotonic() > deadline:
            raise SystemExit("No training began within two minutes: see the worker's log.")
        time.sleep(0.5)
    time.sleep(5)


def running(project: ConnectedProject) -> bool:
    """Whether a training of the project is running."""
    with project.database.read() as session:
        return runs.running(session, project.project) is not None


def measure(project: ConnectedProject, tasks: Sequence[int], clicks: int) -> Times:
    """Click on objects of each task, once cold and then warm."""
    times, draws = Times(), np.random.default_rng(0)
    for task in tasks:
        mask = read_mask(project.truth[task].mask_path)
        rows, columns = np.nonzero(mask)
        for number in range(1 + clicks):
            index = draws.integers(len(rows))
            x, y = columns[index] / mask.shape[1] * 100, rows[index] / mask.shape[0] * 100
            (times.warm if number else times.cold).append(click(project, task, float(x), float(y)))
    return times


def click(project: ConnectedProject, task: int, x: float, y: float) -> float:
    """Seconds of one click, posted to the service as Label Studio posts it."""
    mask = read_mask(project.truth[task].mask_path)
    (data,) = project.client.task_data(project.project, [task]).values()
    point: dict[str, Any] = {
        "id": f"p{time.monotonic_ns()}",
        "from_name": POINTS,
        "to_name": project.config.image_tag,
        "type": "keypointlabels",
        "is_positive": True,
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "value": {"x": x, "y": y, "width": 0.2, "keypointlabels": [project.config.labels[0]]},
    }
    body = {
        "tasks": [{"id": task, "data": data, "predictions": project.client.predictions(task)}],
        "project": f"{project.project}.1",
        "params": {"context": {"result": [point]}},
    }
    began = time.perf_counter()
    answer = requests.post(
        f"http://127.0.0.1:{project.settings.port}/predict",
        json=body,
        auth=("label-studio", PASSWORD),
        timeout=30,
    )
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    (found,) = answer.json()["results"]
    told = [region["meta"]["text"] for region in found["result"] if "meta" in region]
    if told:
        raise SystemExit(f"A click was not answered: {told[0]}")
    return seconds


def show(name: str, seconds: Sequence[float]) -> None:
    """One line of the table."""
    p50, p95 = np.percentile(np.array(seconds) * 1e3, (50, 95))
    print(f"{name:24}{len(seconds):8}{p50:9.0f}{p95:9.0f}{max(seconds) * 1e3:9.0f}")


if __name__ == "__main__":
    main()
