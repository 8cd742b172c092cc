"""Properties of all strategies, and what each of them ranks first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.consistency import Consistency
from model.strategies import (
    NAMES,
    Measurement,
    Strategy,
    StrategyError,
    last,
    parse,
    priorities,
    priority,
    published,
)

Measured = Callable[..., Measurement]

unit = st.floats(0, 1)

EVERY = (*NAMES, "consistency+power", "disagreement+clusters", "entropy+power+clusters")


@st.composite
def measurements(draw: st.DrawFn) -> list[Measurement]:
    """A pool of distinct images, some blank, some similar."""
    names = draw(st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=12, unique=True))
    pool = []
    for name in names:
        blank, agreement = draw(st.booleans()), draw(unit)
        score = 0.0 if blank else agreement
        features = np.array(draw(st.tuples(unit, unit, unit)), np.float32) + np.float32(0.01)
        features /= np.linalg.norm(features)
        pool.append(
            Measurement(
                name, Consistency(score, score, score, blank), draw(unit), draw(unit), features, draw(unit)
            )
        )
    return pool


def first_to_last(strategy: Strategy, scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores if strategy.highest_first else scores, kind="stable")


@pytest.mark.parametrize("name", EVERY)
@given(pool=measurements(), size=st.integers(0, 15), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_priorities_begin_with_the_batch(name: str, pool: list[Measurement], size: int, seed: int) -> None:
    strategy = parse(name)
    labelled = [m.features for m in pool[:2]]
    batch = strategy.batch(pool, labelled, size, seed)
    assert len(batch) == len(set(batch)) == min(size, len(pool))
    scores = priorities(strategy, pool, labelled, size, seed)
    assert scores.shape == (len(pool),)
    assert all(0 <= score <= 1 for score in scores)
    ordered = scores[first_to_last(strategy, scores)]
    assert scores[batch].tolist() == ordered[: len(batch)].tolist()
    if strategy.reads_mask:
        blank = [pool[index].consistency.blank for index in batch]
        assert blank == sorted(blank), "blank masks only fill places that nothing else fills"


@pytest.mark.parametrize("name", EVERY)
@given(pool=measurements(), size=st.integers(0, 15), seed=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_pool_does_not_matter(
    name: str, pool: list[Measurement], size: int, seed: int
) -> None:
    strategy, turned = parse(name), pool[::-1]
    there = [pool[index].key for index in strategy.batch(pool, [], size, seed)]
    back = [turned[index].key for index in strategy.batch(turned, [], size, seed)]
    assert there == back
    assert np.array_equal(
        priorities(strategy, turned, [], size, seed)[::-1], priorities(strategy, pool, [], size, seed)
    )


@pytest.mark.parametrize("name", [name for name in EVERY if parse(name).reads_mask])
@given(pool=measurements(), seed=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_a_blank_mask_never_ranks_above_one_that_is_not(
    name: str, pool: list[Measurement], seed: int
) -> None:
    strategy = parse(name)
    scores = np.array([strategy.score(m, seed) for m in pool])
    blank = np.array([m.consistency.blank for m in pool], bool)
    if blank.any() and not blank.all():
        last, others = scores[blank], scores[~blank]
        assert last.max() <= others.min() if strategy.highest_first else last.min() >= others.max()


@pytest.mark.parametrize("name", [name for name in EVERY if parse(name).batch_aware])
@given(pool=measurements(), later=measurements(), size=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_an_image_scored_later_never_ranks_above_a_chosen_batch(
    name: str, pool: list[Measurement], later: list[Measurement], size: int
) -> None:
    strategy = parse(name)
    chosen = priorities(strategy, pool, [], size, 0)[strategy.batch(pool, [], size, 0)]
    for m in later:
        score = priority(strategy, m)
        assert 0 <= score <= 1
        assert all(score < value if strategy.highest_first else score > value for value in chosen)


@pytest.mark.parametrize("name", EVERY)
def test_each_strategy_states_its_cost_and_source(name: str) -> None:
    strategy = parse(name)
    assert strategy.name == name
    assert strategy.source
    assert strategy.forwards >= 0
    assert strategy.highest_first == name.startswith("consistency")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("consistency", "agrees"),
        ("disagreement", "differs"),
        ("entropy", "vague"),
        ("boundary-entropy", "edgy"),
    ],
)
def test_each_strategy_ranks_by_its_own_number(measure: Measured, name: str, first: str) -> None:
    pool = [
        measure("agrees", agreement=0.9, entropy=0.1),
        measure("differs", agreement=0.2, entropy=0.1),
        measure("vague", entropy=0.8, boundary=0.1),
        measure("edgy", entropy=0.2, boundary=0.9),
        measure("unsettled", entropy=0.2, information=0.4),
        measure("blank", blank=True, entropy=1.0, information=1.0),
    ]
    batch = parse(name).batch(pool, [], 6, 0)
    assert pool[batch[0]].key == first
    assert pool[batch[-1]].key == "blank"


@pytest.mark.parametrize("name", EVERY)
@given(pool=measurements())
@settings(max_examples=20, deadline=None)
def test_the_published_score_is_the_mean_dsc_under_every_strategy(name: str, pool: list[Measurement]) -> None:
    strategy = parse(name)
    for m in pool:
        score = published(strategy, m.consistency)
        if m.consistency.blank:
            assert score == last(strategy)
        else:
            assert score == (m.consistency.l_dsc + m.consistency.m_dsc) / 2


@pytest.mark.parametrize("name", [name for name in EVERY if parse(name).follows_score])
@given(pool=measurements())
@settings(max_examples=20, deadline=None)
def test_a_strategy_that_follows_the_score_needs_nothing_else(name: str, pool: list[Measurement]) -> None:
    strategy = parse(name)
    shown = [published(strategy, m.consistency) for m in pool]
    assert priorities(strategy, pool, [], 3, 0).tolist() == shown


def test_only_the_papers_score_gives_an_order_alone() -> None:
    assert [name for name in EVERY if parse(name).follows_score] == ["consistency", "disagreement"]


def test_random_depends_only_on_key_and_seed(measure: Measured) -> None:
    strategy = parse("random")
    pool = [measure(f"{number}", blank=number % 2 == 0) for number in range(400)]
    scores = priorities(strategy, pool, [], 10, seed=1)
    assert np.array_equal(scores, [strategy.score(m, 1) for m in pool])
    assert np.array_equal(scores[5:7], priorities(strategy, pool[5:7], [], 10, seed=1))
    assert abs(scores.mean() - 0.5) < 0.05
    assert scores.std() == pytest.approx(12**-0.5, abs=0.03)
    other = priorities(strategy, pool, [], 10, seed=2)
    assert abs(np.corrcoef(scores, other)[0, 1]) < 0.15


UNKNOWN = [
    "",
    "certainty",
    "Consistency",
    "consistency ",
    "entropy+",
    "+power",
    "entropy+noise",
    "entropy+power+power",
    "random+clusters",
    "core-set+power",
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_error_for_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(StrategyError) as error:
        parse(name)
    assert "\n" not in str(error.value)
    assert "disagreement" in str(error.value)


def test_suffixes_in_any_order_have_one_name() -> None:
    assert parse("consistency+clusters+power").name == parse("consistency+power+clusters").name


@pytest.mark.parametrize("name", [name for name in EVERY if not parse(name).reads_labelled])
@given(pool=measurements(), others=measurements(), size=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_only_the_number_of_labelled_images_matters_to_most_strategies(
    name: str, pool: list[Measurement], others: list[Measurement], size: int
) -> None:
    strategy = parse(name)
    empty = [np.empty(0, np.float32)] * len(others)
    assert strategy.batch(pool, [m.features for m in others], size, 0) == strategy.batch(pool, empty, size, 0)


def _reads_nothing(name: str) -> bool:
    return not (parse(name).reads_labelled or parse(name).counts_labelled)


@pytest.mark.parametrize("name", [name for name in EVERY if _reads_nothing(name)])
@given(pool=measurements(), others=measurements(), size=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_strategies_that_do_not_read_labelled_images_choose_equally_without_them(
    name: str, pool: list[Measurement], others: list[Measurement], size: int
) -> None:
    strategy = parse(name)
    labelled = [m.features for m in others]
    assert strategy.batch(pool, labelled, size, 0) == strategy.batch(pool, [], size, 0)
