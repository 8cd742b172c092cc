"""MC-dropout: what the weights disagree about."""

from __future__ import annotations

from model.strategies.base import Strategy, StrategyError
from model.strategies.measurement import Measurement


class McDropout(Strategy):
    """Images for which passes with dropout disagree most come first; the score is 1 − mutual information.

    Mutual information leaves out what every pass finds equally doubtful, such as a blurred edge: labels
    would not settle that.
    """

    name = "mc-dropout"
    source = "Gal & Ghahramani 2016; mutual information: Houlsby et al. 2011 (BALD), equation 2"
    forwards = 7.1
    dropout_passes = 10

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        if m.mutual_information is None:
            raise StrategyError(
                f"mc-dropout needs measurements with {self.dropout_passes} passes of dropout, "
                f"but {m.key} was measured without; segment it with passes={self.dropout_passes}."
            )
        return 1 - m.mutual_information
