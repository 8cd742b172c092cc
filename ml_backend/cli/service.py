"""Commands that run the service: `serve`, `worker`, and `demo`, which runs all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_backend.settings import Settings


def serve() -> None:
    """Serve Label Studio's calls: /health, /setup, /predict, /webhook, /versions, /metrics.

    Listens on HOST and PORT with WORKERS × THREADS. Needs at least one `dsal worker` beside it for training
    and scoring. Without REDIS_URL a Redis is started in MODEL_DIR.
    """
    from ml_backend.gunicorn import serve as run_server

    run_server(Settings())


def worker() -> None:
    """Work through the jobs: training, scoring, publishing. Run as many as there are machines to use.

    A worker that is killed loses nothing: the next one carries its jobs on.
    """
    from ml_backend.worker import run_worker

    run_worker(Settings())


def demo(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds of annotate and retrain.")] = 2,
    per_round: Annotated[int, typer.Option("--per-round", min=1, help="Annotations a round.")] = 10,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of your own images instead of phantoms.")
    ] = None,
    masks: Annotated[Path | None, typer.Option("--masks", help="Folder of their masks, same stems.")] = None,
    tasks: Annotated[int, typer.Option("--tasks", min=2, help="Images put into Label Studio.")] = 60,
    test: Annotated[int, typer.Option("--test", min=1, help="Images kept aside for the test DSC.")] = 15,
    report: Annotated[
        Path | None, typer.Option("--report", help="File for all figures, as JSON.", dir_okay=False)
    ] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the last round instead of staying up.")
    ] = False,
    width: Annotated[int, typer.Option("--width", min=1, help="Channels of the network's first level.")] = 16,
    size: Annotated[int, typer.Option("--size", min=64, help="Longer side in pixels.")] = 384,
    seconds: Annotated[float, typer.Option("--seconds", help="Seconds of one training.")] = 120.0,
    steps: Annotated[int | None, typer.Option("--steps", help="Most steps of one training.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of images, order and training.")] = 0,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo keeps its data; emptied at the start.")
    ] = Path(".dsal/demo"),
    label_studio: Annotated[
        Path, typer.Option("--label-studio", help="The label-studio command to start.")
    ] = Path(".venv-label-studio/bin/label-studio"),
) -> None:
    """Play the paper's loop in a real Label Studio on this machine, and show what happens each round.

    Starts Label Studio, the service and a worker, and fills a project with synthetic hand radiographs. A
    simulated annotator asks Label Studio for the next task, submits the true mask, and the webhook does the
    rest. Then it says where to log in and stays up until Ctrl-C.
    """
    from ml_backend.demo.run import DemoOptions, run_demo

    if (images is None) != (masks is None):
        raise typer.BadParameter("Give --images and --masks together.")
    run_demo(
        DemoOptions(
            rounds=rounds,
            per_round=per_round,
            images=images,
            masks=masks,
            tasks=tasks,
            test=test,
            report=report,
            leave=leave,
            width=width,
            size=size,
            seconds=seconds,
            steps=steps,
            seed=seed,
            folder=folder,
            label_studio=label_studio,
        )
    )
