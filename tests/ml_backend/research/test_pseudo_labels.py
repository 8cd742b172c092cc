"""Which unlabelled images are good enough to be learned from with the network's own masks."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ml_backend.research.pseudo_labels import pick
from ml_backend.store.models import Score

DSC = st.none() | st.floats(0, 1)
ROWS = st.lists(
    st.builds(
        lambda task, lower, middle, blank, error: Score(
            task_id=task, l_dsc=lower, m_dsc=middle, blank=blank, error=error
        ),
        st.integers(1, 30),
        DSC,
        DSC,
        st.booleans(),
        st.none() | st.just("The image is away."),
    ),
    unique_by=lambda row: row.task_id,
)


@given(ROWS, st.sets(st.integers(1, 30)), st.integers(0, 10), st.randoms(use_true_random=False))
def test_only_masks_that_agree_most_are_picked(
    rows: list[Score], free: set[int], count: int, lots: Random
) -> None:
    usable = {
        row.task_id: (row.l_dsc + row.m_dsc) / 2
        for row in rows
        if row.l_dsc is not None and row.m_dsc is not None and not row.blank and row.error is None
        if row.task_id in free
    }
    picked = pick(rows, free, count)
    assert picked == sorted(usable, key=lambda task: (-usable[task], task))[:count]
    lots.shuffle(rows)
    assert pick(rows, free, count) == picked
