"""Passes of Monte Carlo dropout (Gal & Ghahramani 2016) that share one run of the encoder."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from model.engines.decoder_rewrite import RewrittenUNet


def mutual_information(network: RewrittenUNet, skips: list[Tensor], dropout: float, passes: int) -> Tensor:
    """Mutual information of each pixel's class and the weights that dropout leaves (Houlsby et al. 2011).

    Entropy of the mean prediction less the mean of the predictions' entropies. The auxiliary classifiers
    are left out.

    Args:
        network: rewritten, in the type of number of `skips`.
        skips: of its encoder, for one image.
        dropout: probability of a feature map to be left out, above 0.
        passes: at least 1; with a single one nothing is learned.

    Returns:
        float32 (h, w) in [0, 1], as a share of log C.
    """
    mean, expected = torch.zeros(()), torch.zeros(())
    for index in range(passes):
        decoded = network.decode(skips, _kept(skips, dropout, index))
        probabilities = torch.softmax(network.final(decoded[-1]).float(), dim=1)[0]
        mean = probabilities / passes + mean.to(probabilities.device)
        expected = _entropy(probabilities) / passes + expected.to(probabilities.device)
    return ((_entropy(mean) - expected) / math.log(len(mean))).clamp(0, 1)


def _entropy(probabilities: Tensor) -> Tensor:
    terms: Tensor = torch.special.entr(probabilities)
    return terms.sum(0)


def _kept(skips: list[Tensor], dropout: float, index: int) -> tuple[Tensor, Tensor]:
    # From numpy: the same maps are dropped on every device.
    rng = np.random.default_rng(index)
    bottleneck, block = (
        torch.from_numpy((rng.random(features.shape[1]) >= dropout) / (1 - dropout)).to(features)
        for features in (skips[-1], skips[-2])
    )
    return bottleneck[:, None, None], block[:, None, None]
