"""Strategies that score each image by itself, from what one forward pass says about it."""

from __future__ import annotations

from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy


class Consistency(Strategy):
    """Images whose hidden classifiers agree most with the final one come first: mean of L-DSC and M-DSC."""

    name = "consistency"
    source = "Zhao et al. 2020, equation 3, highest first"
    highest_first = True

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score


class Disagreement(Strategy):
    """Images whose hidden classifiers agree least with the final one come first; the number is the same."""

    name = "disagreement"
    source = "Zhao et al. 2021 (DSAL, IEEE J-BHI): hard samples to the annotator; score of equation 3, 2020"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score


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


class Aift(Strategy):
    """Uncertain images come first whose predictions contradict each other; the score is 1 − their mean.

    Zhou et al. (2017) sum, for each candidate, the entropies of the predictions for its augmented patches and
    the symmetric divergences between them. Adapted to segmentation with deep supervision: the three
    classifiers take the place of the patches, one minus the consistency score that of the divergence, so
    nothing costs a forward more; and entropy is taken along the boundary, because over a whole image it is so
    much smaller that diversity would decide alone. Both have equal weight.
    """

    name = "aift"
    source = "Zhou et al. 2017 (CVPR; reference 10 of Zhao et al. 2020), entropy and diversity, adapted"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return 1 - (m.boundary_entropy + 1 - m.consistency.score) / 2
