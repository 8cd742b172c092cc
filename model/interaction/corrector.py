"""The corrector: a version's network answers marks, from an image that stays open between clicks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.engines.interface import Engine, Precision
from model.engines.prompt_engine import PromptEngine
from model.imaging.fine import fine_grey
from model.imaging.preprocessing import PreprocessingSettings, preprocess, to_network
from model.interaction.adoption import adopt, footprint, touched
from model.interaction.prompts import Box, Extent, PromptError, Prompts, extent, is_positive
from model.interaction.refinement import Refinement, first_window, refine
from model.interaction.window import Window
from model.network import DeeplySupervisedUNet

ALONE, FROM_MASK = "click_dsc", "click_from_mask_dsc"
"""Figures of a card: mean Dice after one click in the middle of an object that is not drawn, by the prompts
alone, and beginning with what the network draws there without a mark (`model.training.first_click`)."""
MARGIN = 0.02
"""How much better the beginning with the mask must be."""
LIKELY = 0.5
"""Probability above which a pixel is taken for the label's."""


class OpenImage:
    """An image that is being corrected; what a further click needs again is computed once.

    Args:
        image: grey (H, W), 8 or 16 bits.
        preprocessing: of the version that corrects it.

    Raises:
        model.imaging.preprocessing.PreprocessingError: as `preprocess`.
    """

    def __init__(self, image: NDArray[np.uint8 | np.uint16], preprocessing: PreprocessingSettings) -> None:
        self._canvas, self._frame = preprocess(image, preprocessing)
        self.grey = fine_grey(image, self._frame, preprocessing)
        self._found: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._frame.original

    @property
    def bytes(self) -> int:
        """Memory that it holds, approximately."""
        found = 0 if self._found is None else self._found.nbytes
        return self.grey.nbytes + self._canvas.nbytes + found

    def probability(self, engine: Engine, label: int) -> NDArray[np.float32]:
        """The final classifier's probability (H, W) of a class, without any prompt."""
        if self._found is None:
            self._found = engine.run(to_network(self._canvas)).probabilities[2]
        return self._frame.back_channel(self._found[label])


class Corrector:
    """Corrects masks by a version's network; threads may share it.

    A version that has learned what prompts mean looks at a window around the mark. If its card says that this
    is better (`begins_with_mask`), a positive mark on nothing drawn begins with what the version draws there
    without any mark. For others, such as
    those of earlier releases, a simple rule holds: a positive click adds the component of the label's
    probability under it, a negative one removes it, and a box gets what the network finds in it.

    Args:
        network: with layers for prompts, on the CPU, not changed; None if the version has none.
        engine: that runs the version without prompts.
        device, precision: of the engine for prompts, see `PromptEngine`.
        begins_with_mask: whether a mark on nothing drawn begins with the mask without marks.
    """

    def __init__(
        self,
        network: DeeplySupervisedUNet | None,
        engine: Engine,
        *,
        device: str = "cpu",
        precision: Precision = "auto",
        begins_with_mask: bool = False,
    ) -> None:
        self._network, self._engine = network, engine
        self._device, self._precision = device, precision
        self._begins_with_mask = begins_with_mask

    @property
    def knows_prompts(self) -> bool:
        """Whether the version has learned what prompts mean."""
        return self._network is not None

    @cached_property
    def _prompted(self) -> PromptEngine:
        assert self._network is not None  # knows_prompts
        return PromptEngine(self._network, device=self._device, precision=self._precision)

    def refine(
        self, opened: OpenImage, present: NDArray[np.bool_], prompts: Prompts, label: int
    ) -> Refinement:
        """Correct the mask of one label by the newest mark.

        Args:
            opened: the image.
            present: (H, W), the label's mask so far.
            prompts: all marks for this object, the newest last.
            label: the label's class index, from 1.

        Raises:
            PromptError: there is no mark, one lies beside the image, or the mask has another size.
        """
        if present.shape != opened.shape:
            raise PromptError(
                f"The mask has {present.shape[1]}×{present.shape[0]} pixels, but the image has "
                f"{opened.shape[1]}×{opened.shape[0]}; give a mask of the same size as the image."
            )
        if not self.knows_prompts:
            return self._by_components(opened, present, prompts, label)
        begun = self._begun(opened, present, prompts, label)
        after = refine(opened.grey, begun, prompts, self._prompted).mask
        return Refinement(after, Extent.of(after ^ present))

    def _begun(
        self, opened: OpenImage, present: NDArray[np.bool_], prompts: Prompts, label: int
    ) -> NDArray[np.bool_]:
        """The mask to begin with: with the label's component under a positive mark on nothing drawn."""
        if not self._begins_with_mask or not prompts or not is_positive(prompts[-1]):
            return present
        extent(prompts[-1], opened.shape)
        about = footprint(prompts[-1], opened.shape)
        if isinstance(prompts[-1], Box) or present[about].any():
            return present
        return present | touched(opened.probability(self._engine, label) > LIKELY, about)

    def _by_components(
        self, opened: OpenImage, present: NDArray[np.bool_], prompts: Prompts, label: int
    ) -> Refinement:
        if not prompts:
            raise PromptError("There is nothing to correct a mask by; give a click, a box or a scribble.")
        for mark in prompts:
            extent(mark, opened.shape)
        newest = prompts[-1]
        if isinstance(newest, Box):
            window = first_window(present, newest)
            found, where = window.back(self._in_window(opened, window, label), opened.shape)
        else:
            found, where = (
                opened.probability(self._engine, label),
                Extent(0, opened.shape[0], 0, opened.shape[1]),
            )
        after = adopt(present, found, where, newest)
        return Refinement(after, Extent.of(after ^ present))

    def _in_window(self, opened: OpenImage, window: Window, label: int) -> NDArray[np.float32]:
        """The probability of a class in a window, as the network sees it without prompts."""
        found: NDArray[np.float32] = self._engine.run(window.image(opened.grey)).probabilities[2, label]
        return found


def begins_with_mask(figures: Mapping[str, float]) -> bool:
    """Whether answers to a mark on nothing drawn should begin with the mask, by the figures of a card."""
    return figures.get(FROM_MASK, 0.0) > figures.get(ALONE, 1.0) + MARGIN
