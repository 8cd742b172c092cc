"""A challenger is rejected only if it is clearly worse."""

from __future__ import annotations

import pytest

from model.metrics import clearly_worse


def test_only_a_mean_loss_beyond_the_margin_counts() -> None:
    champion = [0.9, 0.8, 0.5]
    assert clearly_worse(champion, [0.86, 0.77, 0.44], margin=0.02)
    assert not clearly_worse(champion, [0.89, 0.79, 0.49], margin=0.02)
    assert not clearly_worse(champion, [0.95, 0.85, 0.52], margin=0.0)
    assert not clearly_worse(champion, [0.3, 1.0, 0.95], margin=0.02), "one lost image may be made up for"


def test_without_images_there_is_no_evidence() -> None:
    assert not clearly_worse([], [], margin=0.0)


def test_unpaired_scores_and_negative_margins_are_refused() -> None:
    with pytest.raises(ValueError, match="same images"):
        clearly_worse([0.5], [0.5, 0.6], margin=0.02)
    with pytest.raises(ValueError, match="margin"):
        clearly_worse([0.5], [0.5], margin=-0.1)
