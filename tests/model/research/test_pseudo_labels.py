from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.consistency import Consistency
from model.research.pseudo_labels import WEIGHT, most_consistent, pseudo_labelled
from model.training.batches import Batches
from model.training.dataset import Example

AGREEMENTS = st.lists(
    st.builds(lambda dsc, blank: Consistency(dsc, dsc, dsc, blank), st.floats(0, 1), st.booleans())
)


@given(AGREEMENTS, st.integers(-1, 20))
def test_the_most_consistent_come_first_and_blank_masks_never(found: list[Consistency], count: int) -> None:
    picked = most_consistent(found, count)
    assert len(set(picked)) == len(picked) == min(max(count, 0), sum(not one.blank for one in found))
    assert not any(found[index].blank for index in picked)
    scores = [found[index].score for index in picked]
    assert scores == sorted(scores, reverse=True)
    left = [one.score for index, one in enumerate(found) if index not in picked and not one.blank]
    assert not scores or max(left, default=0.0) <= scores[-1]


def test_a_batch_marks_the_masks_that_count_less() -> None:
    image = np.zeros((16, 16), np.uint8)
    drawn = Example("drawn", image, image)
    believed = pseudo_labelled(Example("believed", image, image), image + 1)
    assert believed.mask.all()
    batch = Batches([drawn, believed], 2, seed=0, augment=False).batch(0)
    assert batch.weights is not None
    assert sorted(batch.weights.tolist()) == [np.float32(WEIGHT), 1.0]
    assert batch.targets[batch.weights < 1].all()
    assert Batches([drawn], 2, seed=0, augment=False).batch(0).weights is None
