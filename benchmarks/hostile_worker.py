"""How much memory images that are made to harm take in a worker, which scores them one after the other.

Usage: python benchmarks/hostile_worker.py [--only TEXT]

Each line is a process of its own that scores ten such tasks as a worker's job does, with the shipped weights:
the number of tasks with a mask and with a reason why there is none, seconds, the peak of its resident memory,
and the peak of the helper process that decodes large images.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import multiprocessing.connection
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from hostile import MB, XML, png, prepare

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.context import Context, image_reader
from ml_backend.queue.queues import JobQueues
from ml_backend.score.scorers import scorer_for
from ml_backend.settings import Settings
from ml_backend.store import versions
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore

TASKS = 10
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Work:
    """What came of the tasks of one line; peaks in MB."""

    masks: int
    reasons: int
    seconds: float
    worker: int
    helper: int


def images() -> dict[str, Callable[[], bytes]]:
    """What makes each file, by what the file is."""
    return {
        "an ordinary radiograph, 2000×1500": lambda: png(1500, 2000, 1, 8),
        "16-bit grey, 5000×4000": lambda: png(5000, 4000, 1, 16),
        "RGBA, 8 bits, 10 000×9 999": lambda: png(9999, 10000, 4, 8),
        "RGBA, 16 bits, 10 000×9 999": lambda: png(9999, 10000, 4, 16),
        "grey, 30 000×30 000, above the limit of pixels": lambda: png(30000, 30000, 1, 8),
        "8 MB of noise": lambda: np.random.default_rng(0).bytes(8 * MB),
        "one row of 1 000 000 pixels": lambda: png(1, 1000000, 1, 8),
        "the first half of a file": lambda: png(4000, 4000, 1, 16)[:4000],
    }


def main() -> None:
    """Score each kind in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="score only what has this text in its name")
    options = parser.parse_args()
    head = f"{TASKS} tasks with this image"
    print(f"{head:50}{'masks':>7}{'reasons':>9}{'s':>8}{'worker':>8}{'helper':>8}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Settings(model_dir=Path(folder)))
        for name, image in images().items():
            if options.only in name:
                found = watched(Path(folder), image())
                print(
                    f"{name:50}{found.masks:7}{found.reasons:9}{found.seconds:8.1f}{found.worker:8}"
                    f"{found.helper:8}",
                    flush=True,
                )


def watched(folder: Path, image: bytes) -> Work:
    """Score the tasks in a process of its own, whose helpers are watched."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(folder, image, there))
    process.start()
    helper, done = 0, threading.Event()

    def watch() -> None:
        nonlocal helper
        parent = psutil.Process(process.pid)
        while not done.wait(LOOK_SECONDS):
            for child in parent.children():
                try:
                    if "isolated" in " ".join(child.cmdline()):
                        helper = max(helper, child.memory_info().rss // MB)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        masks, reasons, seconds, worker = here.recv()
    finally:
        done.set()
        watcher.join()
        process.join()
    return Work(masks, reasons, seconds, worker, helper)


def work(folder: Path, image: bytes, answer: multiprocessing.connection.Connection) -> None:
    """What a worker's job does with a chunk of tasks, before it sends their predictions."""
    settings = Settings(
        model_dir=folder,
        label_studio_url="http://127.0.0.1:9",
        label_studio_api_key="0" * 40,
    )
    studio = LabelStudio(settings.label_studio_url, "0" * 40)
    context = Context(
        settings,
        studio,
        Database(settings.effective_database_url),
        WeightStore(settings.effective_store_url, settings.weights_cache_dir),
        JobQueues(connect_redis(settings)),
        image_reader(settings, studio),
    )
    with context.database.read() as session:
        version = versions.published(session, 1)
    assert version is not None
    score = scorer_for(context, version, config=parse(XML))
    address = "data:image/png;base64," + base64.b64encode(image).decode()
    began = time.monotonic()
    found = list(score({number: {"image": address} for number in range(1, TASKS + 1)}))
    seconds = time.monotonic() - began
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
    reasons = [one for one in found if one.error]
    answer.send((len(found) - len(reasons), len(reasons), seconds, peak))


if __name__ == "__main__":
    main()
