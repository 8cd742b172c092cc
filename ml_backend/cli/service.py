"""The commands `serve`, `worker` and `demo`."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ml_backend.cli.exits import WrongUseError
from ml_backend.cli.options import Labels, Size, Width, names_of
from ml_backend.queue.kinds import Lane
from ml_backend.settings import Settings
from model.strategies import DEFAULT, PAPER


def serve() -> None:
    """Run the web service that Label Studio calls.

    Keep it running, with at least one `dsal worker`, which trains and scores. It listens on HOST and PORT
    (9090) with WORKERS × THREADS, and requires BASIC_AUTH_USER and BASIC_AUTH_PASS. Without these it serves
    this machine only. Without REDIS_URL it starts its own Redis in MODEL_DIR. /metrics is for Prometheus.

    Example: `LABEL_STUDIO_API_KEY=TOKEN dsal serve`
    """
    from ml_backend.web.gunicorn import serve as run_server

    run_server(Settings())


def _end(status: int) -> NoReturn:
    """End the process without dismantling the interpreter.

    With torch loaded, interpreter shutdown takes seconds per lane, and `docker stop` waits only 10 s.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def worker(
    lane: Annotated[
        Lane | None,
        typer.Option("--lane", help="Work on this lane only, to run the lanes apart.", show_default=False),
    ] = None,
) -> None:
    """Run a worker, which trains, scores and publishes.

    It has three lanes, processes that work side by side: one for all that people wait for, such as scores,
    assignments and publications, one for trainings, and one for upkeep. The last two give way to the first.

    Run at least one; more share the work. Workers on several machines need the same REDIS_URL, DATABASE_URL
    and STORE_URL; on a single machine the same MODEL_DIR is enough. If a worker is killed, the next one
    resumes its jobs, a training from its last checkpoint.

    Examples: `LABEL_STUDIO_API_KEY=TOKEN DEVICE=cuda dsal worker`, `dsal worker --lane training`
    """
    from ml_backend.work.lanes import run_lanes

    _end(run_lanes(Settings(), tuple(Lane) if lane is None else (lane,)))


def _label_studio() -> Path:
    """The label-studio command that `make demo` installs; without it, the one on the PATH if there is one."""
    installed = Path(".venv-label-studio/bin/label-studio")
    found = None if installed.is_file() else shutil.which("label-studio")
    return Path(found) if found else installed


def demo(
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Rounds of annotating and retraining.")
    ] = 2,
    per_round: Annotated[
        int, typer.Option("--per-round", metavar="N", min=1, help="Annotations per round.")
    ] = 10,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of your own images, instead of phantoms.", metavar="DIR"),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks", help="Folder of masks with the same stems: 0/255, or class indices.", metavar="DIR"
        ),
    ] = None,
    labels: Labels = None,
    tasks: Annotated[int, typer.Option("--tasks", metavar="N", min=2, help="Maximum number of tasks.")] = 60,
    test: Annotated[
        int, typer.Option("--test", metavar="N", min=1, help="Images reserved for the test DSC.")
    ] = 15,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="JSON file for all figures.", dir_okay=False),
    ] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="Exit after the last round instead of staying up.")
    ] = False,
    width: Width = 16,
    size: Size = 384,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=1, help="Maximum seconds of one training.")
    ] = 120.0,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Maximum steps of one training.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            metavar="NAME",
            help=f"Query strategy, by default {DEFAULT}; docs/strategies.md lists them.",
        ),
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help=f"Use the paper's query strategy, {PAPER}.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of images, order and training.")] = 0,
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", help="Folder for data and logs; a previous demo there is deleted.", metavar="DIR"
        ),
    ] = Path(".dsal/demo"),
    label_studio: Annotated[
        Path | None,
        typer.Option(
            "--label-studio",
            help="The label-studio command, by default that of `make demo`, or the one on the PATH.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Run the whole loop in a real Label Studio on this machine: annotate, retrain, rescore, reorder.

    The demo starts Label Studio, the service and a worker, and creates a project with synthetic hand
    radiographs or your own images. A simulated annotator gets the next task from Label Studio and submits the
    true mask; the webhook triggers the trainings. After each round the demo prints the new order. At the end
    it prints where to log in, and stays up until Ctrl-C, which stops everything that it started.

    `make demo` installs Label Studio and then runs this; pass options in `ARGS="…"`.

    Examples: `dsal demo --rounds 3 --exit --report r.json`, `dsal demo --images DIR --masks DIR`
    """
    from ml_backend.demo.demo import DemoOptions, run_demo
    from ml_backend.demo.processes import Interrupted

    if paper and strategy is not None:
        raise WrongUseError("Give either --paper or --strategy, not both.")
    if (images is None) != (masks is None):
        raise WrongUseError("Give --images and --masks together.")
    options = DemoOptions(
        rounds=rounds,
        per_round=per_round,
        images=images,
        masks=masks,
        labels=names_of(labels),
        tasks=tasks,
        test=test,
        report=report,
        leave=leave,
        width=width,
        size=size,
        seconds=seconds,
        steps=steps,
        strategy=strategy or (PAPER if paper else DEFAULT),
        seed=seed,
        folder=folder,
        label_studio=label_studio or _label_studio(),
    )
    try:
        run_demo(options)
    except Interrupted as interruption:
        raise typer.Exit(128 + interruption.number) from interruption
