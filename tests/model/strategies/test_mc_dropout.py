"""The only strategy that needs networks of its own and a probe."""

from __future__ import annotations

import pytest

from model.network import NetworkSettings
from model.strategies import NAMES, StrategyError, parse
from tests.model.strategies.conftest import Measured


@pytest.mark.parametrize("name", [*NAMES, "mc-dropout+clusters", "mc-dropout+power", "entropy+clusters"])
def test_only_mc_dropout_needs_a_probe_and_a_network_with_dropout(name: str) -> None:
    strategy, needs = parse(name), name.startswith("mc-dropout")
    assert (strategy.probe() is not None) == (strategy.dropout > 0) == needs
    assert strategy.can_probe(NetworkSettings(classes=2)) != needs
    assert strategy.can_probe(NetworkSettings(classes=2, dropout=0.1))


def test_without_a_probe_the_error_says_how_to_measure(measure: Measured) -> None:
    with pytest.raises(StrategyError, match="probe="):
        parse("mc-dropout").batch([measure("a", information=None)], [], 1, 0)
