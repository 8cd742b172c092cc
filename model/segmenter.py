"""Image in; three masks, probabilities and their consistency out, at the image's own resolution."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency, consistency
from model.engines import EngineName, Output, Precision, Probe, create_engine
from model.imaging.preprocessing import Frame, preprocess, to_network
from model.strategies.measurement import Measurement
from model.strategies.uncertainty import boundary_band, entropy_map
from model.weights import Card, load_version

CUDA_WORKERS = 4
ROUNDING = 1e-4
"""Relative error allowed for probabilities that should sum to 1."""


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
            threshold: see `hard_mask`.
        """
        lower, middle, final = (hard_mask(head, frame, threshold) for head in output.probabilities)
        agreement = consistency(lower, middle, final, labels)
        return cls(lower, middle, final, agreement, output.features, output, frame)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Final classifier's probabilities (C, H, W) in [0, 1]; computed on first use, as they are large."""
        return self._frame.back(self._output.probabilities[2])

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

    A single worker thread does the work for all callers. Images are processed one after another, which costs
    no time since a forward takes all cores, and memory does not grow with the number of callers (glibc keeps
    freed memory for each thread that works). With CUDA a few threads prepare and interpret while the device
    computes. Do not fork a process that has used its segmenter: threads do not survive a fork.

    Args:
        directory: a version's folder (see `model.weights`).
        engine: "torch", "openvino", or "auto" (see `model.engines.create_engine`).
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA if available.
        precision: "fp32", "bf16", or "auto": bf16 if the processor computes it natively.
        threads: processor threads of one forward; None leaves the library's choice.

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
    ) -> None:
        network, self._card = load_version(directory)
        self.engine = create_engine(
            network, directory, engine=engine, device=device, precision=precision, threads=threads
        )
        self._workers = 1 if self.engine.device == "cpu" else CUDA_WORKERS
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="segmenter")

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

        The next image is processed while the caller uses the last result.
        """
        ahead: deque[Future[Segmentation]] = deque()
        try:
            for image in images:
                ahead.append(self._pool.submit(self._segment, image, threshold, probe))
                if len(ahead) > self._workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for waiting in ahead:
                waiting.cancel()

    def _segment(
        self, image: NDArray[np.uint8 | np.uint16], threshold: float | None, probe: Probe | None
    ) -> Segmentation:
        canvas, frame = preprocess(image, self.card.preprocessing)
        return self.interpret(self.engine.run(to_network(canvas), probe), frame, threshold)

    def interpret(self, output: Output, frame: Frame, threshold: float | None = None) -> Segmentation:
        """The segmentation of an image, from an engine's output for its canvas."""
        return Segmentation.of(output, frame, len(self.labels), threshold)


def hard_mask(
    probabilities: NDArray[np.float32], frame: Frame, threshold: float | None = None
) -> NDArray[np.uint8]:
    """The most probable class of every pixel of the original image; equal probabilities: the lower index.

    Args:
        probabilities: (C, h, w) on the canvas.
        frame: the canvas's position on the image.
        threshold: in (0, 1); if given, a pixel gets its most probable label if 1 − the background's
            probability is at least this, even if the background is more probable.

    Returns:
        A label map (H, W). Without a threshold it equals `frame.back(probabilities).argmax(0)` up to
        rounding, but needs less memory than C float32 planes of the image's size.
    """
    if len(probabilities) == 2:
        foreground = frame.back_channel(probabilities[1])
        drawn = foreground > 0.5 if threshold is None else foreground >= threshold
        return drawn.view(np.uint8)
    background = frame.back_channel(probabilities[0], outside=1.0)
    best = background if threshold is None else np.zeros_like(background)
    labels = np.zeros(frame.original, np.uint8)
    # Where a label is drawn it is the most probable one, and has at least its share of what is distributed.
    least = 1 / len(probabilities) if threshold is None else threshold / (len(probabilities) - 1)
    for index, channel in enumerate(probabilities[1:], start=1):
        window, plane = frame.back_part(channel, least * (1 - ROUNDING))
        labels[window][plane > best[window]] = index
        np.maximum(best[window], plane, out=best[window])
    if threshold is not None:
        labels[background > 1 - threshold] = 0
    return labels
