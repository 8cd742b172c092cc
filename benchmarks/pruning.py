"""What an annotator notices while a former version's predictions are deleted.

Usage: python benchmarks/pruning.py [N] [--numbers R] [--every SECONDS]

A project of N tasks in a real Label Studio has predictions of several versions, masks of R run-length
numbers. One version is deleted as a prune does it (one by one), and one in one transaction, as Label Studio
offers it (together), while somebody submits an annotation every 0.3 s. Shown are the seconds of the deletion,
the submits that failed, and how long submits took; first of all without any deletion, and at the end while as
many predictions are imported.

Target: no failed submit, and none that takes a second longer than without a deletion.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from support.service import started_label_studio

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.errors import LabelStudioError

IDLE_SECONDS = 20.0


@dataclass
class Annotator:
    """Submits an annotation every so often, and notes how long that takes.

    Attributes:
        waits: seconds of each submit.
        failures: why submits failed.
    """

    client: LabelStudio
    tasks: Iterator[int]
    every: float
    waits: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Submit for the duration of the block."""
        ends = threading.Event()
        thread = threading.Thread(target=self._work, args=(ends,))
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def _work(self, ends: threading.Event) -> None:
        while not ends.is_set():
            began = time.monotonic()
            try:
                self.client.submit_annotation(next(self.tasks), [], lead_time=1.0)
            except LabelStudioError as error:
                self.failures.append(str(error))
            self.waits.append(time.monotonic() - began)
            ends.wait(max(0.0, self.every - self.waits[-1]))


def main() -> None:
    """Measure, and print the table."""
    arguments = parse()
    with started_label_studio(arguments.label_studio) as (server, _):
        client = LabelStudio(server.url, server.token)
        project, tasks = made(client, arguments.tasks, arguments.numbers)
        print(f"{'':<22}{'seconds':>9}{'submits':>9}{'failed':>8}{'median s':>10}{'longest s':>11}")
        submitted = iter(tasks * 1000)
        measure("no deletion", client, submitted, arguments.every, lambda: time.sleep(IDLE_SECONDS))
        for name, delete in (
            ("one by one", client.delete_model_version),
            ("together", client.delete_together),
        ):
            measure(name, client, submitted, arguments.every, partial(delete, project, name))
        predictions = [prediction(task, arguments.numbers, "imported") for task in tasks]
        store = partial(client.import_predictions, project, predictions)
        measure("import of as many", client, submitted, arguments.every, store)


def measure(
    name: str, client: LabelStudio, tasks: Iterator[int], every: float, work: Callable[[], Any]
) -> None:
    """Print a line: what an annotator notices of `work`."""
    annotator = Annotator(client, tasks, every)
    began = time.monotonic()
    with annotator.at_work():
        work()
        seconds = time.monotonic() - began
    waits = annotator.waits
    print(
        f"{name:<22}{seconds:>9.1f}{len(waits):>9}{len(annotator.failures):>8}"
        f"{statistics.median(waits):>10.2f}{max(waits):>11.2f}",
        flush=True,
    )
    for failure in sorted(set(annotator.failures)):
        print(f"    {failure[:160]}")


def made(client: LabelStudio, count: int, numbers: int) -> tuple[int, list[int]]:
    """A project with predictions of three versions on each task, the current one included."""
    project = int(client.create_project("Pruning", default_config(["Bone"]))["id"])
    data: list[dict[str, Any]] = [{"image": f"http://localhost:1/{number}.png"} for number in range(count)]
    tasks = client.create_tasks(project, data)
    for version in ("together", "one by one", "current"):
        client.import_predictions(project, [prediction(task, numbers, version) for task in tasks])
    client.patch_project(project, model_version="current")
    return project, tasks


def prediction(task: int, numbers: int, version: str) -> dict[str, Any]:
    """A prediction whose mask has so many run-length numbers."""
    value = {"format": "rle", "rle": [number % 256 for number in range(numbers)], "brushlabels": ["Bone"]}
    mask = {
        "id": "mask",
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": 600,
        "original_height": 400,
        "image_rotation": 0,
        "value": value,
    }
    return {"task": task, "result": [mask], "score": 0.5, "model_version": version}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="?", type=int, default=3000, metavar="N")
    parser.add_argument("--numbers", type=int, default=5000, metavar="R")
    parser.add_argument("--every", type=float, default=0.3, metavar="SECONDS")
    parser.add_argument("--label-studio", type=Path, default=Path(".venv-label-studio/bin/label-studio"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
