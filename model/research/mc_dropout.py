"""Monte Carlo dropout (Gal & Ghahramani 2016): mutual information from passes that share one encoder run."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from model.engines.decoder_rewrite import RewrittenUNet
from model.engines.interface import EngineError

NO_DROPOUT = (
    "This version's network was trained without dropout, so passes of MC-dropout would all be equal; "
    "train one with dropout, or choose another query strategy."
)


def mutual_information(network: RewrittenUNet, skips: list[Tensor], *, passes: int) -> Tensor:
    """Mutual information of each pixel's class and dropout's weights (BALD, Houlsby et al. 2011).

    The entropy of the mean prediction minus the mean entropy of the predictions, of the final classifier.
    Each pass runs the decoder again with feature maps dropped at random, the same ones for every image, so
    that differences between images are not due to chance. With `passes` bound it is a
    `model.engines.interface.Probe`.

    Args:
        network: rewritten, in the dtype of `skips`.
        skips: of its encoder, for one image.
        passes: at least 1; a single pass gives 0 everywhere.

    Returns:
        float32 (h, w) in [0, 1], as a share of log C.

    Raises:
        EngineError: the network was trained without dropout.
    """
    dropout = network.settings.dropout
    if not dropout:
        raise EngineError(NO_DROPOUT)
    mean, expected = torch.zeros(()), torch.zeros(())
    for index in range(passes):
        decoded = decode(network, skips, _kept(skips, dropout, index))
        probabilities = torch.softmax(network.final(decoded[-1]).float(), dim=1)[0]
        mean = probabilities / passes + mean.to(probabilities.device)
        expected = _entropy(probabilities) / passes + expected.to(probabilities.device)
    return ((_entropy(mean) - expected) / math.log(len(mean))).clamp(0, 1)


def decode(network: RewrittenUNet, skips: list[Tensor], kept: tuple[Tensor, Tensor]) -> list[Tensor]:
    """`RewrittenUNet.decode` with dropout.

    Args:
        network: rewritten.
        skips: of its encoder.
        kept: factors (1, channels, 1, 1) of the bottleneck and of the decoder's deepest block.
    """
    deepest, *others = network.decoder
    decoded = [skips[-1] * kept[0]]
    decoded.append(deepest(decoded[0], skips[-2]) * kept[1])
    for block, skip in zip(others, skips[-3::-1], strict=True):
        decoded.append(block(decoded[-1], skip))
    return decoded


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
