"""Strategies by name."""

from __future__ import annotations

from model.strategies.coverage import CoreSet, Random, StratifiedRandom, Suggestive
from model.strategies.mc_dropout import McDropout
from model.strategies.strategy import Strategy, StrategyError
from model.strategies.uncertainty import Aift, BoundaryEntropy, Consistency, Disagreement, Entropy
from model.strategies.variation import Variation

_STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (
        Random,
        StratifiedRandom,
        Consistency,
        Disagreement,
        Entropy,
        BoundaryEntropy,
        McDropout,
        Aift,
        Suggestive,
        CoreSet,
    )
}

NAMES: tuple[str, ...] = tuple(_STRATEGIES)
"""Base names."""

POWER, CLUSTERS = "power", "clusters"

RECOMMENDED = "entropy+power+clusters"
"""Clearly below drawing lots on no data set of docs/science.md; the default, the paper's, was on all."""

VARIED: tuple[str, ...] = tuple(
    name for name, strategy in _STRATEGIES.items() if strategy.reads_mask and not strategy.batch_aware
)
"""Base names that take suffixes: those whose images are scored one by one, and not by lot."""


def parse(name: str) -> Strategy:
    """The strategy of a name: a base name, for some followed by "+power", "+clusters" or both.

    Raises:
        StrategyError: if there is none; the sentence names those there are.
    """
    base, *suffixes = name.split("+")
    if base not in _STRATEGIES:
        raise StrategyError(f"{name!r} is no query strategy; use one of {', '.join(NAMES)}.")
    strategy = _STRATEGIES[base]()
    if not suffixes:
        return strategy
    if base not in VARIED or set(suffixes) - {POWER, CLUSTERS} or len(set(suffixes)) < len(suffixes):
        raise StrategyError(
            f"{name!r} is no query strategy; only {', '.join(VARIED)} may be followed by "
            f"+{POWER}, +{CLUSTERS} or both."
        )
    return Variation(strategy, power=POWER in suffixes, spread=CLUSTERS in suffixes)
