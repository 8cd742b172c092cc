"""Checks of what a training is given: examples, labels and network must belong together."""

from __future__ import annotations

from collections.abc import Sequence

from model.loss import IGNORE_INDEX
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.batches import ExampleSource
from model.training.dataset import Example
from model.training.settings import TrainingError


def check_examples(
    training: Sequence[Example] | ExampleSource, validation: Sequence[Example], labels: tuple[str, ...]
) -> None:
    """Look at all examples that are known before the training; a source draws its own only when needed.

    Raises:
        TrainingError: there is nothing to train on, training and validation share a key, or a mask holds a
            class index beyond the labels.
    """
    if isinstance(training, ExampleSource):
        training = ()
    elif not training:
        raise TrainingError("There is nothing to train on; annotate at least one image.")
    shared = sorted({example.key for example in training} & {example.key for example in validation})
    if shared:
        raise TrainingError(
            f"{shared[0]} and {len(shared) - 1} other images are in both training and validation; "
            "give each image to one side only."
        )
    for example in (*training, *validation):
        known = example.mask[example.mask != IGNORE_INDEX]
        if known.max(initial=0) > len(labels):
            raise TrainingError(
                f"The mask of {example.key} holds class index {known.max()}, but labels are only "
                f"{len(labels)}; name all labels or correct the mask."
            )


def check_network(
    labels: tuple[str, ...], network: NetworkSettings, start: DeeplySupervisedUNet | None
) -> None:
    """Compare the network's shape with the labels and with the start weights, if any.

    Raises:
        TrainingError: it has not one class more than there are labels, or the weights are of another shape.
    """
    if network.classes != len(labels) + 1:
        raise TrainingError(
            f"The network has {network.classes} classes but {len(labels)} labels need {len(labels) + 1}; "
            "make a network for these labels."
        )
    if start is not None and not start.settings.fits(network):
        raise TrainingError(f"The start weights are of {start.settings}, not {network}; train from scratch.")
