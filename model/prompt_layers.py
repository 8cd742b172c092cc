"""The layers by which the U-Net reads prompts: maps of marks in, "belongs to what is marked" out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

CHANNELS = 4
"""Maps beside the image: the present mask, positive marks, negative marks, boxes; each 0 or 1."""
PRESENT, POSITIVE, NEGATIVE, BOX = range(CHANNELS)


class PromptLayers(nn.Module):
    """What a U-Net needs for prompts beside its own encoder and decoder.

    The maps enter at the first convolution, as in RITM (Sofiiuk et al. 2022) and DeepEdit (Diaz-Pinto et al.
    2022): `maps` holds the weights by which that convolution grows. Two more parts are the prompts' own: the
    norms, since the statistics of an enlarged part of an image differ from those of a whole one (separate
    norms: Xie et al. 2020), and a classifier. So a mask without prompts uses nothing of this and stays as it
    was.

    Args:
        widths: channels of each norm, in the order of computation.
        norm: makes a norm of so many channels.
    """

    def __init__(self, widths: Sequence[int], norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.maps = nn.Conv2d(CHANNELS, widths[0], 3, padding=1, bias=False)
        nn.init.zeros_(self.maps.weight)
        self.norms = nn.ModuleList(norm(width) for width in widths)
        self.classifier = nn.Conv2d(widths[-1], 2, 1)

    def in_turn(self) -> Iterator[nn.Module]:
        """The norms, in the order of computation."""
        return iter(self.norms)

    @torch.no_grad()
    def begin_with(self, norms: Sequence[nn.Module], final: nn.Conv2d) -> None:
        """Compute the probability of any foreground, whatever the maps are: what is known before a training.

        Args:
            norms: the network's own, in the order of computation.
            final: its final classifier.
        """
        nn.init.zeros_(self.maps.weight)
        for mine, theirs in zip(self.norms, norms, strict=True):
            mine.load_state_dict(theirs.state_dict())
        for name, values in final.named_parameters():
            grown: Tensor = torch.stack([values[0], values[1:].mean(0)])
            self.classifier.get_parameter(name).copy_(grown)
