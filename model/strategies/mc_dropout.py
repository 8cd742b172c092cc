"""MC-dropout: a strategy that needs networks of its own and a probe of each image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from model.strategies.measurement import Measurement
from model.strategies.strategy import Probe, Strategy, StrategyError

if TYPE_CHECKING:
    from model.network import NetworkSettings

DROPOUT = 0.2
"""Dropout of the networks that are trained for this strategy."""
PASSES = 10


class McDropout(Strategy):
    """Images for which passes with dropout disagree most come first; the score is 1 − mutual information.

    Mutual information leaves out what is equally uncertain in every pass, such as a blurred edge: labels
    would not resolve that.
    """

    name = "mc-dropout"
    source = "Gal & Ghahramani 2016; mutual information: Houlsby et al. 2011 (BALD), equation 2"
    forwards = 7.1
    dropout = DROPOUT

    def probe(self) -> Probe:
        """Mutual information from `PASSES` passes."""
        # Here and not above: whoever only parses a strategy's name need not wait for torch.
        from model.research.mc_dropout import mutual_information

        return partial(mutual_information, passes=PASSES)

    def can_probe(self, network: NetworkSettings) -> bool:
        """Whether the network was trained with dropout."""
        return network.dropout > 0

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        if m.probed is None:
            raise StrategyError(
                f"mc-dropout needs mutual information, but {m.key} was measured without it; "
                "segment it with probe=strategy.probe()."
            )
        return 1 - m.probed
