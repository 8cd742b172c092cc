"""Image in; three masks, probabilities and their consistency out, at the image's own resolution."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency, consistency
from model.engines import EngineName, Output, Precision, Probe, create_engine
from model.engines.device_masks import draw_masks
from model.engines.interface import Draw
from model.engines.torch_engine import CUDA_STREAMS
from model.imaging.masks import hard_mask
from model.imaging.preprocessing import Frame, preprocess, to_network
from model.interaction.corrector import Corrector, OpenImage, begins_with_mask
from model.interaction.prompts import PromptError, Prompts
from model.interaction.refinement import Refinement
from model.pipeline import Pipeline, Prepared, Stages, Threads
from model.strategies.measurement import Measurement
from model.strategies.uncertainty import boundary_band, entropy_map
from model.weights import Card, load_version

TOGETHER = 8
"""Canvases that a CUDA device computes together: 1.08 ms each of 608×608 at width 32 on an H100, while one
alone takes 1.84 ms, and of 32 each 1.00 ms."""
MOST_THREADS = 16
"""Most threads that prepare and interpret for a CUDA device."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segmentation of one image of H × W pixels.

    Attributes:
        lower, middle, final: label maps (H, W) uint8 of the three classifiers; 0 is background,
            label i has index i + 1.
        consistency: agreement of these masks.
        features: see `model.engines.interface.Output`.
    """

    lower: NDArray[np.uint8] = field(repr=False)
    middle: NDArray[np.uint8] = field(repr=False)
    final: NDArray[np.uint8] = field(repr=False)
    consistency: Consistency
    features: NDArray[np.float32] = field(repr=False)
    _output: Output = field(repr=False)
    _frame: Frame = field(repr=False)

    @classmethod
    def of(cls, output: Output, frame: Frame, labels: int, threshold: float | None = None) -> Segmentation:
        """The segmentation of an image, from an engine's output for its canvas.

        Args:
            output: for the canvas.
            frame: the canvas's position on the image.
            labels: number of labels.
            threshold: see `hard_mask`; the one with which the output's masks were drawn, if it has any.
        """
        lower, middle, final = (
            output.masks
            if output.masks is not None
            else (hard_mask(head, frame, threshold) for head in output.probabilities)
        )
        agreement = consistency(lower, middle, final, labels)
        return cls(lower, middle, final, agreement, output.features, output, frame)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Final classifier's probabilities (C, H, W) in [0, 1]; computed on first use, as they are large."""
        return self._frame.back(self._output.probabilities[2])

    def part_probabilities(self, classes: Sequence[int], parts: NDArray[np.uint8]) -> list[float]:
        """Mean final probability of a label over each of several parts of the image.

        Computed on the canvas, where a pixel stands for those of the image around it, so that it costs about
        a millisecond for a label, however large the image.

        Args:
            classes: class indices that mean the label; their probabilities are added.
            parts: (H, W), 1 to n for the pixels of n parts, 0 beside them.

        Returns:
            n means in [0, 1]; 0 for a number that no pixel has.
        """
        likely = self._output.probabilities[2, list(classes)].sum(axis=0)
        return self._frame.part_means(likely, parts)

    def measurement(self, key: str) -> Measurement:
        """What query strategies know of this image, computed on demand; see `Measurement`.

        Entropies are means over the content of the canvas without its padding. The band follows the final
        mask at its threshold; without a boundary the entropy of the whole image is used.
        """
        height, width = self._frame.scaled
        entropies = entropy_map(self._output.probabilities[2, :, :height, :width])
        entropy = float(entropies.mean())
        band = boundary_band(self._frame.forward_mask(self.final)[:height, :width])
        probed = self._output.probed
        return Measurement(
            key,
            self.consistency,
            entropy=entropy,
            boundary_entropy=float(entropies[band].mean()) if band.any() else entropy,
            features=self.features,
            probed=None if probed is None else float(probed[:height, :width].mean()),
        )


class Segmenter:
    """A version ready to segment; threads may share it.

    One thread runs the network for all callers, one image after another on a processor, since a forward takes
    all cores. The images before and after are interpreted and prepared beside it (`model.pipeline`). Memory
    does not grow with the number of callers. With CUDA canvases of one size are computed together, and a
    thread for each core prepares and interprets. Do not fork a process that has used its segmenter: threads
    do not survive a fork.

    Args:
        directory: a version's folder (see `model.weights`).
        engine: "torch", "openvino", or "auto" (see `model.engines.create_engine`).
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA if available.
        precision: "fp32", "bf16", or "auto": bf16 if the processor computes it natively.
        threads: processor threads of one forward; None leaves the library's choice.
        together: most canvases of one size that are computed together; None for `TOGETHER` with CUDA and 1
            on a processor, which gains nothing from more.

    Raises:
        model.weights.WeightsError: if the version cannot be read.
        model.engines.interface.EngineError: if the engine is not available.
    """

    def __init__(
        self,
        directory: Path,
        *,
        engine: EngineName = "auto",
        device: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        together: int | None = None,
    ) -> None:
        network, self._card = load_version(directory)
        # Kept only where it is needed once more, as it takes as much memory as the engine's own weights.
        self._network = network if network.prompts is not None else None
        self._precision: Precision = precision
        self.engine = create_engine(
            network, directory, engine=engine, device=device, precision=precision, threads=threads
        )
        cuda = self.engine.device == "cuda"
        self._together = together or (TOGETHER if cuda else 1)
        cores = len(os.sched_getaffinity(0))
        self._threads = Threads(CUDA_STREAMS if cuda else 1, min(cores, MOST_THREADS) if cuda else 1)

    @property
    def card(self) -> Card:
        """The version's card."""
        return self._card

    @property
    def labels(self) -> tuple[str, ...]:
        """Foreground labels, in the order of the class indices."""
        return self.card.labels

    def segment(
        self,
        images: Sequence[NDArray[np.uint8 | np.uint16]],
        *,
        threshold: float | None = None,
        probe: Probe | None = None,
    ) -> list[Segmentation]:
        """Segment grey images (H, W), each of its own size; results in the same order.

        Args:
            images: grey, 8 or 16 bits.
            threshold: for all three masks, see `hard_mask`.
            probe: that of the query strategy that will read the measurements (`Strategy.probe`).

        Raises:
            model.engines.interface.EngineError: the probe cannot be computed with this network.
        """
        return list(self.stream(images, threshold=threshold, probe=probe))

    def stream(
        self,
        images: Iterable[NDArray[np.uint8 | np.uint16]],
        *,
        threshold: float | None = None,
        probe: Probe | None = None,
    ) -> Generator[Segmentation, None, None]:
        """`segment` one by one, so that hundreds of results need not fit into memory at once.

        The network works while the caller uses a result, and while `images` reads the next image. A result
        comes as soon as it is there and the caller asks; at most `Pipeline.most` images are on their way.
        """
        stages = Stages(
            prepare=self._prepare,
            compute=partial(self._compute, threshold=threshold, probe=probe),
            interpret=partial(self.interpret, threshold=threshold),
        )
        return Pipeline(stages, self._threads, together=self._together).run(images)

    @cached_property
    def corrector(self) -> Corrector:
        """Corrects masks by prompts; made on first use, as it holds the network once more."""
        device, precision = self.engine.device, self._precision
        return Corrector(
            self._network,
            self.engine,
            device=device,
            precision=precision,
            begins_with_mask=begins_with_mask(self.card.metrics),
        )

    def open(self, image: NDArray[np.uint8 | np.uint16]) -> OpenImage:
        """Prepare a grey image (H, W) for several corrections, which are then quicker."""
        return OpenImage(image, self.card.preprocessing)

    def refine(
        self,
        image: NDArray[np.uint8 | np.uint16] | OpenImage,
        mask: NDArray[np.bool_],
        prompts: Prompts,
        *,
        label: str | None = None,
    ) -> Refinement:
        """Correct the mask of one label by the newest of several marks.

        Args:
            image: grey (H, W), 8 or 16 bits, or what `open` returned for it.
            mask: (H, W), the label's mask so far; all False to begin with nothing.
            prompts: `Click`, `Box` and `Scribble` in pixels of the image, the newest last. What the earlier
                ones have changed must be in `mask`.
            label: its name; may be left out if the version has only one.

        Returns:
            The mask after the newest mark, and which pixels changed.

        Raises:
            PromptError: there is no mark, one lies beside the image, the mask has another size than the
                image, or the label is missing or unknown.
        """
        if label is None and len(self.labels) == 1:
            label = self.labels[0]
        if label not in self.labels:
            known = ", ".join(self.labels)
            raise PromptError(f"The version does not know the label {label}; give one of {known}.")
        opened = image if isinstance(image, OpenImage) else self.open(image)
        return self.corrector.refine(opened, mask, prompts, self.labels.index(label) + 1)

    def interpret(self, output: Output, frame: Frame, threshold: float | None = None) -> Segmentation:
        """The segmentation of an image, from an engine's output for its canvas."""
        return Segmentation.of(output, frame, len(self.labels), threshold)

    def _prepare(self, image: NDArray[np.uint8 | np.uint16]) -> Prepared:
        canvas, frame = preprocess(image, self.card.preprocessing)
        return Prepared(to_network(canvas), frame)

    def _compute(
        self, canvases: list[Prepared], threshold: float | None, probe: Probe | None
    ) -> list[Output]:
        draws: list[Draw] | None = None
        if self.engine.device == "cuda":
            draws = [partial(draw_masks, frame=one.frame, threshold=threshold) for one in canvases]
        return self.engine.run_together([one.x for one in canvases], probe, draws)
