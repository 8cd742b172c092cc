"""Query strategies: which unlabelled images to label next.

`parse` turns a name into a `Strategy`, `published` gives the scores in [0, 1] that Label Studio shows, and
`outside_batch` the score of an image that comes later. What a strategy knows of an image is a `Measurement`.
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
