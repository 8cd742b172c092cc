"""Query strategies: which unlabelled images to label next.

`parse` returns the `Strategy` of a name. `published` computes the scores in [0, 1] that Label Studio shows
for a pool, and `outside_batch` the score of an image that is scored later. A strategy sees an image only
through its `Measurement`.
"""

from __future__ import annotations

from model.strategies.measurement import Measurement
from model.strategies.registry import NAMES, RECOMMENDED, parse
from model.strategies.scores import outside_batch, published
from model.strategies.strategy import Strategy, StrategyError

__all__ = [
    "NAMES",
    "RECOMMENDED",
    "Measurement",
    "Strategy",
    "StrategyError",
    "outside_batch",
    "parse",
    "published",
]
