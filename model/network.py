"""The deeply supervised U-Net: one encoder, one decoder, three classifiers of growing resolution."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.prompt_layers import PromptLayers


def transposed_weight(weight: Tensor) -> Tensor:
    """Weight (I, O, 4, 4) of the stride-2 transposed convolution that equals a 3×3 one after enlarging.

    Args:
        weight: (O, I, 3, 3), of a convolution with one pixel of zero padding; gradients flow back to it.
    """
    # Sums of two or four weights would lose half their bits in a half-precision training.
    with torch.autocast(weight.device.type, enabled=False):
        # Tap s of the 4 is the sum of those of the 3 whose number k makes s + k either 2 or 3. Counted on the
        # device: a table would be copied to a GPU in each step, and the processor would wait for it.
        total = torch.arange(4, device=weight.device)[:, None] + torch.arange(3, device=weight.device)
        taps = ((total == 2) | (total == 3)).to(weight.dtype)
        return torch.einsum("sk,oikl,tl->iost", taps, weight, taps)


def upsampled_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Equals `conv2d(interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)`.

    Args:
        x: (N, I, h, w).
        weight: (O, I, 3, 3).

    Returns:
        (N, O, 2h, 2w).
    """
    return F.conv_transpose2d(x, transposed_weight(weight), stride=2, padding=1)


MINIMUM_LEVELS = 3
"""The lower classifier reads the quarter-resolution decoder block, so three resolutions must exist."""

Norm = Literal["batch", "instance", "group"]

NormFactory = Callable[[int], nn.Module]
"""Makes the layer that normalises (N, channels, H, W)."""


class NetworkError(ValueError):
    """Settings or an input from which no network can be built or run; the message names them."""


@dataclass(frozen=True)
class NetworkSettings:
    """The shape of a network.

    Args:
        classes: number of classes, background included (at least 2).
        width: channels of the first level; every level below has twice as many.
        levels: resolutions, full resolution included (at least 3).
        dropout: probability in [0, 1) of dropping a feature map of the deepest encoder and decoder block in
            training.
        norm: what follows each 3×3 convolution: "batch" norm (Ioffe & Szegedy 2015), or one of
            `model.research.norms`.
        prompts: whether the network has layers for prompts (`model.prompt_layers`).

    Raises:
        NetworkError: if a number is out of its range or the norm is unknown.
    """

    classes: int
    width: int = 32
    levels: int = 5
    dropout: float = 0.0
    norm: Norm = "batch"
    prompts: bool = False

    def __post_init__(self) -> None:
        for name, least in (("classes", 2), ("width", 1), ("levels", MINIMUM_LEVELS)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise NetworkError(f"{name} must be a whole number of at least {least}, not {value!r}.")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise NetworkError(f"dropout must be at least 0 and below 1, not {self.dropout!r}.")
        if self.norm not in get_args(Norm):
            raise NetworkError(f"norm must be one of {', '.join(get_args(Norm))}, not {self.norm!r}.")
        if not isinstance(self.prompts, bool):
            raise NetworkError(f"prompts must be true or false, not {self.prompts!r}.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, full resolution first."""
        return tuple(self.width * 2**level for level in range(self.levels))

    @property
    def norm_factory(self) -> NormFactory:
        """Makes the norm's layers."""
        if self.norm == "batch":
            return nn.BatchNorm2d
        # Research is above this module; only networks that use its norms import it.
        from model.research.norms import NORMS

        return NORMS[self.norm]

    @property
    def stride(self) -> int:
        """Input heights and widths are padded to a multiple of this (16 for five levels)."""
        return int(2 ** (self.levels - 1))

    def fits(self, other: NetworkSettings) -> bool:
        """Whether both networks have the same weights; they may differ in dropout."""
        return replace(self, dropout=other.dropout) == other

    def to_dict(self) -> dict[str, int | float | str]:
        """The settings as JSON values; those in `LATER` only if they differ from it, for older readers."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name not in LATER or value != LATER[name]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NetworkSettings:
        """The inverse of `to_dict`; raises NetworkError for unknown or missing names."""
        try:
            return cls(**data)
        except TypeError as error:
            raise NetworkError(f"These are not network settings: {data!r}.") from error


LATER = {
    "dropout": NetworkSettings.dropout,
    "norm": NetworkSettings.norm,
    "prompts": NetworkSettings.prompts,
}
"""Settings that older cards lack, with their values there."""


class Heads(NamedTuple):
    """Logits of the three classifiers, each (N, C, H, W) at the resolution of the input."""

    lower: Tensor
    middle: Tensor
    final: Tensor


class ConvolutionBlock(nn.Module):
    """Two 3×3 convolutions, each with norm and ReLU: (N, inputs, H, W) → (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, norm: NormFactory = nn.BatchNorm2d) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.first_norm = norm(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same height and width."""
        return self.finish(self.first(x))

    def finish(
        self, x: Tensor, first_norm: nn.Module | None = None, second_norm: nn.Module | None = None
    ) -> Tensor:
        """Everything after the first convolution, with other norms than the block's own if given."""
        x = F.relu((first_norm or self.first_norm)(x), inplace=True)
        return F.relu((second_norm or self.second_norm)(self.second(x)), inplace=True)


class DecoderBlock(nn.Module):
    """Nearest upsampling, concatenation with the encoder's features (deep ones first), a block.

    The first convolution is computed as the sum of its two parts, without making the enlarged map or the
    concatenation: equal up to rounding, and a training step takes 0.7 of the time.
    """

    def __init__(self, deep: int, skip: int, norm: NormFactory = nn.BatchNorm2d) -> None:
        super().__init__()
        self.block = ConvolutionBlock(deep + skip, skip, norm)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, deep, H/2, W/2) and (N, skip, H, W) → (N, skip, H, W)."""
        return self.block.finish(self.first(deep, skip))

    def first(self, deep: Tensor, skip: Tensor) -> Tensor:
        """The block's first convolution, without the norm after it."""
        weight = self.block.first.weight
        channels = deep.shape[1]
        x = upsampled_convolution(deep, weight[:, :channels])
        return x + F.conv2d(skip, weight[:, channels:], padding=1)


class DeeplySupervisedUNet(nn.Module):
    """The network of Zhao et al. (2020), Fig. 1: a U-Net whose decoder is supervised at three depths.

    The lower classifier reads the quarter-resolution decoder block, the middle one the
    half-resolution block, the final one full resolution. Auxiliary heads classify with a 1×1
    convolution *before* their logits are upsampled (bilinearly): equal to upsampling features first,
    because the interpolation weights sum to one, and far cheaper.

    Any input size is accepted: the image is padded at the right and the bottom to a multiple of
    `settings.stride` by repeating its edge pixels (zeros would add an edge that no radiograph has),
    and the logits are cropped back.

    Dropout, if any, is where Bayesian SegNet (Kendall et al. 2015) found it to work best: around the
    bottleneck, here after the deepest block of the encoder and the deepest of the decoder. Whole feature maps
    are dropped (Tompson et al. 2015), because neighbouring values in a map are strongly correlated.

    Weights are drawn from torch's generator, so `torch.manual_seed` before construction fixes them.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, norm = settings.widths, settings.norm_factory
        self.encoder = nn.ModuleList(
            ConvolutionBlock(inputs, outputs, norm)
            for inputs, outputs in zip((1, *widths), widths, strict=False)
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(deep, skip, norm) for skip, deep in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.lower = nn.Conv2d(widths[2], settings.classes, 1)
        self.middle = nn.Conv2d(widths[1], settings.classes, 1)
        self.final = nn.Conv2d(widths[0], settings.classes, 1)
        self._initialise()
        self.prompts: PromptLayers | None = None
        if settings.prompts:
            # Last, so that the same seed gives the other weights of a network without prompts.
            self.prompts = self._prompt_layers()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Heads:
        """Classify every pixel three times.

        Args:
            x: (N, 1, H, W) images as `model.imaging.preprocessing.to_network` scales them.

        Returns:
            Logits, each (N, C, H, W); softmax over C gives probabilities, class 0 is background.
        """
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.settings.stride, 0, -height % self.settings.stride), "replicate")
        lower, middle, final = self.logits(padded)
        size = (padded.shape[-2], padded.shape[-1])
        return Heads(*(enlarge(head, size)[..., :height, :width] for head in (lower, middle, final)))

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at their own resolutions: (N, C, H/4, W/4), (N, C, H/2, W/2), (N, C, H, W).

        Args:
            x: (N, 1, H, W) with H and W multiples of `settings.stride`.
        """
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        # The bottleneck comes first, since with three levels it is the quarter resolution.
        decoded = [self._dropped(x)]
        for level, (block, skip) in enumerate(zip(self.decoder, skips[-2::-1], strict=True)):
            features = block(decoded[-1], skip)
            decoded.append(features if level else self._dropped(features))
        return self.lower(decoded[-3]), self.middle(decoded[-2]), self.final(decoded[-1])

    def prompted(self, image: Tensor, maps: Tensor) -> Tensor:
        """Which pixels belong to what is marked.

        Args:
            image: (N, 1, H, W) in [0, 1], with H and W multiples of `settings.stride`.
            maps: (N, CHANNELS, H, W) of 0 and 1, see `model.prompt_layers`.

        Returns:
            Logits (N, 2, H, W) of "does not belong" and "belongs".

        Raises:
            NetworkError: the network has no layers for prompts.
        """
        if self.prompts is None:
            raise NetworkError("This network has no layers for prompts; `with_prompts` adds them.")
        norms = self.prompts.in_turn()
        skips: list[Tensor] = []
        x = image
        for level, block in enumerate(self.encoder):
            block = cast(ConvolutionBlock, block)
            x = block.first(F.max_pool2d(x, 2) if level else x)
            if not level:
                x = x + self.prompts.maps(maps)
            x = block.finish(x, next(norms), next(norms))
            skips.append(x)
        for decoder, skip in zip(self.prompts.decoder, skips[-2::-1], strict=True):
            x = decoder(x, skip)
        logits: Tensor = self.prompts.classifier(x)
        return logits

    def _prompt_layers(self) -> PromptLayers:
        blocks = [cast(ConvolutionBlock, each) for each in self.encoder]
        norms = [norm for block in blocks for norm in (block.first_norm, block.second_norm)]
        widths = [convolution.out_channels for block in blocks for convolution in (block.first, block.second)]
        decoder = copy.deepcopy(self.decoder)
        layers = PromptLayers(widths, self.settings.norm_factory, decoder, self.settings.widths[0])
        layers.begin_with(norms, self.final)
        return layers

    def _dropped(self, x: Tensor) -> Tensor:
        # Without dropout torch's generator must not be used: a seed would give other weights.
        return F.dropout2d(x, self.settings.dropout, self.training) if self.settings.dropout else x


def with_prompts(network: DeeplySupervisedUNet) -> DeeplySupervisedUNet:
    """The same network with layers for prompts; itself if it has them.

    Its masks are the same to the bit. Until it is trained on prompts, `prompted` gives the probability of any
    foreground, whatever is marked.

    Returns:
        A network that shares no tensor with `network`, in its mode (training or evaluation).
    """
    if network.prompts is not None:
        return network
    with torch.random.fork_rng(devices=[]):
        result = DeeplySupervisedUNet(replace(network.settings, prompts=True))
    result.load_state_dict(network.state_dict(), strict=False)
    result.prompts = result._prompt_layers()
    return result.train(network.training)


def enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear upsampling of logits (N, C, h, w) to (N, C, *size); the identity at equal size."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
