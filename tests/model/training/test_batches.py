"""Batches: each example once per epoch, and canvases of unequal size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.imaging.preprocessing import to_network
from model.training.batches import Batches
from model.training.dataset import Example
from tests.model.squares import TRAINING, run, square

pytestmark = pytest.mark.usefixtures("one_thread")


def test_batches_contain_every_example_once_per_epoch() -> None:
    batches = Batches(TRAINING, 2, seed=1, augment=False)
    drawn = [example.key for step in range(10) for example in batches.examples(step)]
    epochs = [drawn[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == sorted(example.key for example in TRAINING) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_stream_equals_the_batches_of_single_steps() -> None:
    batches = Batches(TRAINING, 2, seed=1, augment=True)
    stream = batches.stream(3)
    streamed = [next(stream) for _ in range(3)]
    stream.close()
    for step, batch in enumerate(streamed, start=3):
        alone = Batches(TRAINING, 2, seed=1, augment=True).batch(step)
        assert torch.equal(batch.images, alone.images)
        assert torch.equal(batch.targets, alone.targets)


def test_unequal_canvases_are_padded_with_pixels_that_do_not_count() -> None:
    small, wide = np.full((16, 32), 255, np.uint8), np.full((48, 16), 51, np.uint8)
    mixed = [Example("small", small, small // 255), Example("wide", wide, wide // 51)]
    batches = Batches(mixed, 2, seed=0, augment=False)
    images, targets, *_ = batches.batch(0)
    if batches.examples(0)[0].key == "wide":
        images, targets = images.flip(0), targets.flip(0)
    assert images.shape == (2, 1, 48, 32)
    assert images[0, 0, :16].eq(1).all()
    assert np.array_equal(images[1, :, :, :16].numpy(), to_network(wide))
    assert images[0, 0, 16:].eq(0).all()
    assert targets[0, :16].eq(1).all()
    assert targets[0, 16:].eq(255).all()
    assert targets[1, :, 16:].eq(255).all()
    mixed = [square("a"), square("b", 32, 64), square("c", 96, 48)]
    assert run(training=mixed).steps == 6


def test_what_happens_to_an_example_does_not_depend_on_its_neighbours() -> None:
    unknown = square("a", 40, 24)
    unknown.mask[:8] = 255
    alone = Batches([unknown], 1, seed=3, augment=True)
    taller = np.full((96, 80), 200, np.uint8)
    beside = Batches([unknown, Example("b", taller, taller // 200)], 2, seed=3, augment=True)
    compared = 0
    for step in range(40):
        if beside.examples(step)[0].key != "a":
            continue
        image, target, *_ = alone.batch(step)
        images, targets, *_ = beside.batch(step)
        assert images.shape[2:] == (96, 80)
        # Noise is added to equal numbers; only their rounding may differ by a grey level at a few pixels.
        assert (images[0, :, :40, :24] - image[0, :, :40, :24]).abs().max() < 1.5 / 255
        assert (targets[0, :40, :24] != target[0, :40, :24]).float().mean() < 0.01
        assert images[0, :, 40:].eq(0).all()
        assert images[0, :, :, 24:].eq(0).all()
        assert targets[0, 40:].eq(255).all()
        assert targets[0, :, 24:].eq(255).all()
        assert set(targets[0].unique().tolist()) <= {0, 1, 255}
        compared += 1
    assert compared > 10
