"""Query strategies by name."""

from __future__ import annotations

from model.strategies.coverage import CoreSet, Random, StratifiedRandom, Suggestive
from model.strategies.mc_dropout import McDropout
from model.strategies.strategy import Strategy, StrategyError
from model.strategies.uncertainty import Aift, BoundaryEntropy, ConsistencyStrategy, Disagreement, Entropy
from model.strategies.variation import Variation

_STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (
        Random,
        StratifiedRandom,
        ConsistencyStrategy,
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
"""Names without suffixes."""

POWER, CLUSTERS = "power", "clusters"
"""Suffixes; `Variation` explains them."""

DEFAULT = "disagreement+clusters"
"""The strategy of every path into the service; docs/strategies.md says why."""

PAPER = "consistency"
"""The strategy of Zhao et al. (2020)."""

VARIED: tuple[str, ...] = tuple(
    name for name, strategy in _STRATEGIES.items() if strategy.reads_mask and not strategy.batch_aware
)
"""Names that take suffixes: strategies that score images one by one, and not at random."""


def parse(name: str) -> Strategy:
    """The strategy of a name: one of `NAMES`, where `VARIED` take "+power", "+clusters" or both.

    Raises:
        StrategyError: there is no such strategy; the message lists the valid names.
    """
    base, *suffixes = name.split("+")
    if base not in _STRATEGIES:
        raise StrategyError(f"{name!r} is not a query strategy; use one of {', '.join(NAMES)}.")
    strategy = _STRATEGIES[base]()
    if not suffixes:
        return strategy
    if base not in VARIED or set(suffixes) - {POWER, CLUSTERS} or len(set(suffixes)) < len(suffixes):
        raise StrategyError(
            f"{name!r} is not a query strategy; only {', '.join(VARIED)} may be followed by "
            f"+{POWER}, +{CLUSTERS} or both."
        )
    return Variation(strategy, power=POWER in suffixes, clustered=CLUSTERS in suffixes)
