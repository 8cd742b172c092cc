"""Batches that are not the plain top: spread over groups of near-duplicates, and varied by noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.strategies import Measurement, parse
from model.strategies.coverage import StratifiedRandom
from model.strategies.diversity import best_cover, clusters, farthest_first, round_robin

Measured = Callable[..., Measurement]

GROUPS, GROUP_SIZE = 5, 8


def near_duplicates(measure: Measured, groups: int = GROUPS) -> list[Measurement]:
    """Groups of images whose features hardly differ; the most uncertain ones are all of one group."""
    rng = np.random.default_rng(0)
    pool = []
    for group in range(groups):
        for number in range(GROUP_SIZE):
            features = np.eye(12)[group] + 0.3 + rng.normal(0, 0.01, 12)
            uncertainty = 0.9 if group == 0 and number < GROUPS else 0.5 + 0.01 * number
            pool.append(
                measure(
                    f"{group}/{number}",
                    entropy=uncertainty,
                    agreement=1 - uncertainty,
                    information=uncertainty,
                    features=features,
                )
            )
    return pool


def groups_of(pool: list[Measurement], batch: list[int]) -> set[str]:
    return {pool[index].key.split("/")[0] for index in batch}


@pytest.mark.parametrize("name", ["disagreement", "entropy", "mc-dropout", "aift"])
def test_the_plain_top_contains_duplicates_and_clusters_do_not(measure: Measured, name: str) -> None:
    pool = near_duplicates(measure)
    assert groups_of(pool, parse(name).batch(pool, [], GROUPS, 0)) == {"0"}
    for seed in range(5):
        batch = parse(f"{name}+clusters").batch(pool, [], GROUPS, seed)
        assert len(groups_of(pool, batch)) == GROUPS
        best = [parse(name).score(m) for m in (pool[index] for index in batch)]
        assert best == sorted(best), "the best of all clusters comes first"
    twice = parse(f"{name}+clusters").batch(pool, [], 2 * GROUPS, 0)
    assert len(groups_of(pool, twice)) == GROUPS


@pytest.mark.parametrize("name", ["stratified-random", "core-set", "suggestive"])
def test_strategies_that_read_features_choose_from_every_group(measure: Measured, name: str) -> None:
    pool = near_duplicates(measure)
    for seed in range(5):
        assert len(groups_of(pool, parse(name).batch(pool, [], GROUPS, seed))) == GROUPS


def test_core_set_chooses_where_nothing_is_labelled(measure: Measured) -> None:
    pool = near_duplicates(measure)
    labelled = [m.features for m in pool if m.key[0] in "013"]
    rest = [m for m in pool if m.key[1:] != "/0"]
    assert groups_of(rest, parse("core-set").batch(rest, labelled, 2, 0)) == {"2", "4"}


def test_suggestive_chooses_no_certain_image_however_typical(measure: Measured) -> None:
    pool = near_duplicates(measure)
    order = parse("entropy").batch(pool, [], 6, 0)
    assert set(parse("suggestive").batch(pool, [], 3, 0)) <= set(order)


def test_given_groups_are_strata(measure: Measured) -> None:
    pool = [measure(f"{number}") for number in range(30)]
    groups = {f"{number}": "rare" if number < 2 else "frequent" for number in range(30)}
    strategy = StratifiedRandom(groups)
    batches = [strategy.batch(pool, [], 4, seed) for seed in range(20)]
    for batch in batches:
        assert Counter(groups[pool[index].key] for index in batch) == {"rare": 2, "frequent": 2}
    assert len({frozenset(batch) for batch in batches}) > 5, "the choice within a stratum is random"


def test_power_prefers_the_top_more_strictly_with_more_labels(measure: Measured) -> None:
    pool = [measure(f"{number}", entropy=number / 100) for number in range(100)]
    top = set(parse("entropy").batch(pool, [], 10, 0))
    strategy = parse("entropy+power")

    def kept(labels: int) -> float:
        labelled = [pool[0].features] * labels
        return float(
            np.mean([len(top & set(strategy.batch(pool, labelled, 10, seed))) for seed in range(30)])
        )

    early, late, last = kept(0), kept(80), kept(400)
    assert 2 < early < 7
    assert early < late < last <= 10
    assert last > 9


def test_power_draws_new_noise_in_each_round(measure: Measured) -> None:
    pool = [measure(f"{number}", entropy=number / 100) for number in range(100)]
    strategy = parse("entropy+power")
    rounds = [strategy.batch(pool, [pool[0].features] * labels, 10, 0) for labels in (10, 11)]
    assert rounds[0] != rounds[1]
    assert rounds[0] == strategy.batch(pool, [pool[0].features] * 10, 10, 0)


@given(
    strata=st.lists(st.integers(0, 4), min_size=1, max_size=20),
    seed=st.integers(0, 100),
)
@settings(deadline=None)
def test_strata_alternate(strata: list[int], seed: int) -> None:
    ranking = np.random.default_rng(seed).permutation(len(strata)).tolist()
    order = round_robin(ranking, strata)
    assert sorted(order) == list(range(len(strata)))
    kinds = len(set(strata))
    assert {strata[index] for index in order[:kinds]} == set(strata)
    for stratum in set(strata):
        assert [i for i in order if strata[i] == stratum] == [i for i in ranking if strata[i] == stratum]


@given(count=st.integers(1, 12), size=st.integers(1, 12), seed=st.integers(0, 20), same=st.booleans())
@settings(deadline=None)
def test_equal_features_are_handled(count: int, size: int, seed: int, same: bool) -> None:
    rng = np.random.default_rng(seed)
    features = np.ones((count, 3), np.float32) if same else rng.random((count, 3), dtype=np.float32)
    labels = clusters(features, size, seed)
    assert len(labels) == count
    assert labels == clusters(features, size, seed)
    size = min(size, count)
    for chosen in (
        farthest_first(features, [], size),
        farthest_first(features, list(features[:2]), size),
        best_cover(features, list(range(count)), size),
    ):
        assert len(set(chosen)) == size


def test_the_greedy_centres_are_at_most_twice_as_far_as_the_best() -> None:
    features = np.random.default_rng(3).random((9, 2)).astype(np.float32)

    def radius(centres: list[int]) -> float:
        gaps = np.linalg.norm(features[:, None] - features[None, centres], axis=2)
        return float(gaps.min(axis=1).max())

    best = min(radius([a, b, c]) for a in range(9) for b in range(a) for c in range(b))
    assert radius(farthest_first(features, [], 3)) <= 2 * best + 1e-6
