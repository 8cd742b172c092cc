"""The split does not change while labels arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training.splitting import extend_split, placement, split

KEYS = st.lists(st.text(min_size=1), unique=True, max_size=60)
FRACTIONS = st.floats(0, 0.99)


@given(keys=KEYS, more=KEYS, fraction=FRACTIONS, seed=st.integers(0, 99))
def test_no_key_changes_side_when_others_are_added(
    keys: list[str], more: list[str], fraction: float, seed: int
) -> None:
    training, validation = split(keys, fraction, seed)
    later_training, later_validation = split([*more, *keys], fraction, seed)
    assert set(training) <= set(later_training)
    assert set(validation) <= set(later_validation)
    assert sorted(training + validation) == sorted(keys)


def test_the_share_is_the_fraction_and_the_seed_matters() -> None:
    keys = [str(index) for index in range(5000)]
    _, validation = split(keys, 0.2, seed=1)
    assert len(validation) == pytest.approx(1000, rel=0.1)
    assert validation != split(keys, 0.2, seed=2)[1]
    assert all(0 <= placement(key) < 1 for key in keys)


@given(
    new=KEYS,
    fraction=FRACTIONS,
    training=st.integers(0, 50),
    validation=st.integers(0, 50),
    seed=st.integers(),
)
def test_new_keys_bring_the_share_closest_to_the_fraction(
    new: list[str], fraction: float, training: int, validation: int, seed: int
) -> None:
    more_training, more_validation = extend_split(
        new, fraction, seed, training=training, validation=validation
    )
    assert sorted(more_training + more_validation) == sorted(new)
    assert more_training == [key for key in new if key in set(more_training)]
    total = training + validation + len(new)
    if new and total > 1 and fraction:
        assert validation + len(more_validation) >= 1
    if new:
        assert training + len(more_training) >= 1
    wanted = max(round(total * fraction), 1 if fraction else 0)
    assert validation + len(more_validation) <= max(wanted, validation)


def test_ten_labels_a_round_keep_a_fifth_for_validation() -> None:
    training: list[str] = []
    validation: list[str] = []
    for number in range(3):
        new = [f"{number}-{index}" for index in range(10)]
        more = extend_split(new, 0.2, training=len(training), validation=len(validation))
        training += more[0]
        validation += more[1]
        assert len(validation) == 2 * (number + 1)


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_invalid_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        split(["a"], fraction)
    with pytest.raises(ValueError, match="fraction"):
        extend_split(["a"], fraction)
