"""Compare ways to train: `python -m model.research.learners --help`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from model.research.learners.arms import arms
from model.research.learners.compare import Job, run_jobs
from model.research.learners.sets import PLANS
from model.research.learners.table import table


def main() -> None:
    """Run the jobs that the options ask for, then print the tables of all results in the file."""
    parser = argparse.ArgumentParser(prog="python -m model.research.learners", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of sets, each with images/ and masks/")
    parser.add_argument("--out", type=Path, required=True, help="file of results, one JSON object a line")
    parser.add_argument("--part", choices=("pilot", "final"), default="pilot", help="which test images")
    parser.add_argument("--sets", default=",".join(PLANS), help="folders in --data")
    parser.add_argument("--arms", default="base,dice80+balanced", help=f"of {', '.join(arms())}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all steps")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    if options.data is not None:
        # Seed by seed, so that a run that is cut short has complete seeds.
        jobs = [
            Job(arm, name, seed, options.part, options.data, options.device, options.scale)
            for seed in range(options.seeds)
            for name in options.sets.split(",")
            for arm in options.arms.split(",")
        ]
        run_jobs(
            jobs,
            options.out,
            options.processes,
            lambda found: say(
                f"{found['set']}, {found['arm']}, seed {found['seed']}: {found['steps']} steps"
            ),
        )
    say(table(options.out))


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
