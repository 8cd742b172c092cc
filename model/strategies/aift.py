"""AIFT's criterion: entropy plus diversity of predictions that should agree."""

from __future__ import annotations

from model.strategies.base import Strategy
from model.strategies.measurement import Measurement


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
