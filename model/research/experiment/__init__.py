"""Experiments: the paper's loop for many query strategies, paired by seed, with table, summary and figures.

Needs what requirements-experiment.txt lists; docs/experiments.md says how to run one and what comes out.
"""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("matplotlib", "scipy")
"""What requirements-experiment.txt adds to the run time."""


def missing_packages() -> list[str]:
    """Those of `NEEDED` that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]
