"""Query strategies: which unlabelled images to label next.

`parse` returns the `Strategy` of a name. `priorities` orders a pool, and `priority` places an image that is
scored later; `published` is the score that Label Studio shows, the same under every strategy. A strategy sees
an image only through its `Measurement`.
"""

from __future__ import annotations

from model.strategies.measurement import Measurement
from model.strategies.registry import DEFAULT, NAMES, PAPER, parse
from model.strategies.scores import last, priorities, priority, published
from model.strategies.strategy import Strategy, StrategyError

__all__ = [
    "DEFAULT",
    "NAMES",
    "PAPER",
    "Measurement",
    "Strategy",
    "StrategyError",
    "last",
    "parse",
    "priorities",
    "priority",
    "published",
]
