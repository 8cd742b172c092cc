"""Strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from model.strategies.base import Strategy, StrategyError
from model.strategies.consistency import Consistency
from model.strategies.disagreement import Disagreement
from model.strategies.entropy import BoundaryEntropy, Entropy
from model.strategies.random_choice import Random

_STRATEGIES: dict[str, Callable[[], Strategy]] = {
    strategy.name: strategy for strategy in (Random, Consistency, Disagreement, Entropy, BoundaryEntropy)
}

NAMES: tuple[str, ...] = tuple(_STRATEGIES)
"""Base names."""


def parse(name: str) -> Strategy:
    """The strategy of a name.

    Raises:
        StrategyError: if there is none; the sentence names those there are.
    """
    if name not in _STRATEGIES:
        raise StrategyError(f"{name!r} is no query strategy; use one of {', '.join(NAMES)}.")
    return _STRATEGIES[name]()
