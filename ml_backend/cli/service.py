"""Commands that run the service: `serve`, `worker`, and `demo`, which runs all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_backend.cli.exits import WrongUseError
from ml_backend.settings import Settings


def serve() -> None:
    """Answer Label Studio's calls, and note what annotators submit.

    Keep it running, with at least one `dsal worker` beside it: that one trains and scores. It listens on HOST
    and PORT (9090) with WORKERS × THREADS, and asks for BASIC_AUTH_USER and BASIC_AUTH_PASS where they are
    set. Without REDIS_URL it starts a Redis of its own in MODEL_DIR. /metrics is for Prometheus.

    Example: `LABEL_STUDIO_API_KEY=TOKEN dsal serve`
    """
    from ml_backend.web.gunicorn import serve as run_server

    run_server(Settings())


def worker() -> None:
    """Train, score and publish: do the jobs that `dsal serve` takes in.

    Keep one running on each machine that shall compute; they share the work by REDIS_URL, DATABASE_URL and
    STORE_URL, or by MODEL_DIR on a single machine. One that is killed loses nothing: the next one carries its
    jobs on, a training from its last checkpoint.

    Example: `LABEL_STUDIO_API_KEY=TOKEN DEVICE=cuda dsal worker`
    """
    from ml_backend.work.worker import run_worker

    run_worker(Settings())


def demo(
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Rounds of annotate and retrain.")
    ] = 2,
    per_round: Annotated[
        int, typer.Option("--per-round", metavar="N", min=1, help="Annotations a round.")
    ] = 10,
    images: Annotated[
        Path | None, typer.Option("--images", help="Your own images, instead of phantoms.", metavar="DIR")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks", help="Their masks, of the same stems: 0/255, or class indices.", metavar="DIR"
        ),
    ] = None,
    tasks: Annotated[
        int, typer.Option("--tasks", metavar="N", min=2, help="Most images put into Label Studio.")
    ] = 60,
    test: Annotated[
        int, typer.Option("--test", metavar="N", min=1, help="Images kept aside for the test DSC.")
    ] = 15,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write all figures there, as JSON.", dir_okay=False),
    ] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the last round instead of staying up.")
    ] = False,
    width: Annotated[
        int, typer.Option("--width", metavar="N", min=1, help="Channels of the network's first level.")
    ] = 16,
    size: Annotated[
        int,
        typer.Option("--size", metavar="N", min=64, help="Longer side, in pixels, that the network sees."),
    ] = 384,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=1, help="Most seconds of one training.")
    ] = 120.0,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Most steps of one training.")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="Query strategy; docs/strategies.md lists them.")
    ] = "consistency",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of images, order and training.")] = 0,
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", help="Its data and logs; a former demo there is deleted first.", metavar="DIR"
        ),
    ] = Path(".dsal/demo"),
    label_studio: Annotated[
        Path, typer.Option("--label-studio", help="The label-studio command to start.", metavar="FILE")
    ] = Path(".venv-label-studio/bin/label-studio"),
) -> None:
    """Play the whole loop in a real Label Studio on this machine: annotate, retrain, rescore, reorder.

    It starts Label Studio, the service and a worker, and fills a project with synthetic hand radiographs or
    with your own images. A simulated annotator then asks Label Studio for the next task and submits the true
    mask, as a person would; the webhook does the rest. After each round you see the new order. At the end it
    says where to log in, and stays up until Ctrl-C, which stops all that it started.

    `make demo` installs Label Studio first and then runs this; it takes options as `ARGS="…"`.

    Examples: `dsal demo --rounds 3 --exit --report r.json`, `dsal demo --images DIR --masks DIR`
    """
    from ml_backend.demo.demo import DemoOptions, run_demo
    from ml_backend.demo.processes import Interrupted

    if (images is None) != (masks is None):
        raise WrongUseError("Give --images and --masks together.")
    options = DemoOptions(
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
        strategy=strategy,
        seed=seed,
        folder=folder,
        label_studio=label_studio,
    )
    try:
        run_demo(options)
    except Interrupted as interruption:
        raise typer.Exit(128 + interruption.number) from interruption
