"""Predictive entropy, over the image or along the boundary."""

from __future__ import annotations

from model.strategies.base import Strategy
from model.strategies.measurement import Measurement


class Entropy(Strategy):
    """Images on which the final classifier is least certain come first; the score is 1 − entropy."""

    name = "entropy"
    source = "entropy as in Settles 2009, section 3.1, mean over pixels; best overall in nnActive (TMLR 2025)"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return 1 - m.entropy


class BoundaryEntropy(Strategy):
    """The same, of the pixels around the drawn boundary only, where a large ground does not thin it out."""

    name = "boundary-entropy"
    source = "entropy restricted to a band around the predicted boundary, as the errors of masks lie there"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return 1 - m.boundary_entropy
