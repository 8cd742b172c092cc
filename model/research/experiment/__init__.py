"""Experiments: the active learning loop of the paper for several query strategies, paired by seed.

The results are a table, a summary and figures. docs/experiments.md explains how to run an experiment and its
results. The packages in requirements-experiment.txt must be installed.
"""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("matplotlib", "scipy")
"""Packages that requirements-experiment.txt adds to those of the service."""


def missing_packages() -> list[str]:
    """The packages of `NEEDED` that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]
