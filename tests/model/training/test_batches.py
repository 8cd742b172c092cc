"""Batches: each example once per epoch, and canvases of unequal size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.training.batches import Batches, collate
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
    images, targets, _ = collate([(small, small // 255), (wide, wide // 51)])
    assert images.shape == (2, 1, 48, 32)
    assert images[0, 0, :16].eq(1).all()
    assert images[0, 0, 16:].eq(0).all()
    assert targets[0, :16].eq(1).all()
    assert targets[0, 16:].eq(255).all()
    assert targets[1, :, 16:].eq(255).all()
    mixed = [square("a"), square("b", 32, 64), square("c", 96, 48)]
    assert run(training=mixed).steps == 6
