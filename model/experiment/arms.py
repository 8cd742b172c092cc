"""What the arms of an experiment are called."""

from __future__ import annotations

from model.strategies import Strategy, StrategyError, parse

FULL = "full"
"""The arm that learns from all labels from the start: the bound."""
REFERENCE = "random"
"""The arm that the others are compared with."""
PSEUDO = "+pseudo"
"""Suffix of arms that also learn from pseudo-labels, one for each label (`model.pseudo_labels`)."""


def strategy_of(arm: str) -> Strategy:
    """The strategy by which an arm other than the bound chooses.

    Raises:
        StrategyError: there is none of this name.
    """
    return parse(arm.removesuffix(PSEUDO))


def check_arm(arm: str, dropout: float) -> str | None:
    """What is wrong with an arm under networks of this dropout, in one sentence; None if nothing is."""
    if arm == FULL:
        return None
    try:
        strategy = strategy_of(arm)
    except StrategyError as error:
        return f"{str(error).rstrip('.')}, a suffix {PSEUDO} for pseudo-labels, or {FULL} for the bound."
    if strategy.dropout_passes and not dropout:
        return f"{arm} needs a network with dropout; give --dropout 0.2, which all arms get."
    return None
