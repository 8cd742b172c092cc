"""The layers by which the U-Net reads prompts: maps of marks in, "belongs to what is marked" out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

CHANNELS = 4
"""Maps beside the image: the present mask, positive marks, negative marks, boxes; each 0 or 1."""
PRESENT, POSITIVE, NEGATIVE, BOX = range(CHANNELS)


class PromptLayers(nn.Module):
    """What a U-Net needs for prompts beside its own encoder.

    The maps enter at the first convolution, as in RITM (Sofiiuk et al. 2022) and DeepEdit (Diaz-Pinto et al.
    2022): `maps` holds the weights by which that convolution grows. The prompts have their own norms of the
    encoder, since the statistics of an enlarged part of an image differ from those of a whole one (separate
    norms: Xie et al. 2020), their own decoder, and a classifier. So a mask without prompts uses nothing of
    this, and a training that changes only these layers by prompts changes no mask.

    Args:
        widths: channels of each norm of the encoder, in the order of computation.
        norm: makes a norm of so many channels.
        decoder: of the same shape as the network's own, its blocks with their norms; becomes part of this.
        features: channels of its last block.
    """

    def __init__(
        self,
        widths: Sequence[int],
        norm: Callable[[int], nn.Module],
        decoder: nn.ModuleList,
        features: int,
    ) -> None:
        super().__init__()
        self.maps = nn.Conv2d(CHANNELS, widths[0], 3, padding=1, bias=False)
        nn.init.zeros_(self.maps.weight)
        self.norms = nn.ModuleList(norm(width) for width in widths)
        self.decoder = decoder
        self.classifier = nn.Conv2d(features, 2, 1)

    def in_turn(self) -> Iterator[nn.Module]:
        """The norms of the encoder, in the order of computation."""
        return iter(self.norms)

    @torch.no_grad()
    def begin_with(self, norms: Sequence[nn.Module], final: nn.Conv2d) -> None:
        """Compute the probability of any foreground, whatever the maps are: what is known before a training.

        Args:
            norms: those of the network's encoder, in the order of computation.
            final: its final classifier.
        """
        nn.init.zeros_(self.maps.weight)
        for mine, theirs in zip(self.norms, norms, strict=True):
            mine.load_state_dict(theirs.state_dict())
        for name, values in final.named_parameters():
            grown: Tensor = torch.stack([values[0], values[1:].mean(0)])
            self.classifier.get_parameter(name).copy_(grown)


def with_own_decoder(tensors: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """The weights of a network whose prompts have a decoder; earlier ones shared all but the decoder's norms.

    Args:
        tensors: by name; returned as they are if they have no layers for prompts, or these have a decoder.
        levels: of the encoder.
    """
    result = dict(tensors)
    if "prompts.maps.weight" not in tensors or any(name.startswith("prompts.decoder.") for name in tensors):
        return result
    for name, values in tensors.items():
        if name.startswith("decoder.") and "norm" not in name:
            result[f"prompts.{name}"] = values.clone()
        elif name.startswith("prompts.norms."):
            place, _, rest = name.removeprefix("prompts.norms.").partition(".")
            block, which = divmod(int(place) - 2 * levels, 2)
            if block >= 0:
                own = f"prompts.decoder.{block}.block.{('first_norm', 'second_norm')[which]}.{rest}"
                result[own] = result.pop(name)
    return result
