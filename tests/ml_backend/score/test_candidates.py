"""Which tasks are scored before an order is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ml_backend.score.candidates import choose

TASKS = st.lists(st.integers(1, 500), unique=True, min_size=1, max_size=60)


@given(tasks=TASKS, data=st.data(), seed=st.integers(0, 2**31))
def test_half_are_the_next_ones_and_the_others_random(
    tasks: list[int], data: st.DataObject, seed: int
) -> None:
    size = data.draw(st.integers(0, len(tasks)))
    pending = data.draw(st.lists(st.sampled_from(tasks), unique=True, min_size=size))
    chosen = choose(tasks, pending, size, seed)
    assert len(chosen) == size
    assert chosen <= set(pending)
    assert chosen.issuperset([task for task in tasks if task in pending][: size // 2])
    assert chosen == choose(tasks, sorted(pending), size, seed)


def test_the_random_half_differs_by_the_seed() -> None:
    tasks = list(range(1000))
    first, second = (choose(tasks, tasks, 100, seed) for seed in (1, 2))
    assert first & second >= set(range(50))
    assert len(first & second) < 65


def test_tasks_without_a_former_order_are_drawn_too() -> None:
    assert choose([], [3, 1, 2], 2, 0) < {1, 2, 3}
