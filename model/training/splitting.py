"""The fixed split into training and validation images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def split(keys: Iterable[str], fraction: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Divide keys into (training, validation), each in the order given.

    The side of a key depends on the key, the seed and the fraction alone (`placement` < fraction), so a key
    never changes side when others are added or removed. The price: the validation share of a few keys is
    only `fraction` on average, and may be empty. Whoever remembers earlier sides uses `extend_split`.

    Raises:
        ValueError: the fraction is not in [0, 1).
    """
    _check(fraction)
    training: list[str] = []
    validation: list[str] = []
    for key in keys:
        (validation if placement(key, seed) < fraction else training).append(key)
    return training, validation


def extend_split(
    new: Iterable[str], fraction: float, seed: int = 0, *, training: int = 0, validation: int = 0
) -> tuple[list[str], list[str]]:
    """Divide only the new keys, beside `training` and `validation` keys whose side is settled already.

    As many new keys go to validation as bring its share of all keys nearest to `fraction` — those with the
    smallest `placement`. Settled keys never move; the first key of all goes to training, and two or more
    keys with a positive fraction always leave at least one for validation.

    Returns:
        (training, validation) of the new keys, each in the order given.

    Raises:
        ValueError: the fraction is not in [0, 1).
    """
    _check(fraction)
    keys = list(new)
    total = training + validation + len(keys)
    wanted = round(total * fraction)
    if fraction > 0 and total > 1:
        wanted = max(wanted, 1)
    room = len(keys) if training else max(len(keys) - 1, 0)
    take = min(max(wanted - validation, 0), room)
    chosen = set(sorted(keys, key=lambda key: (placement(key, seed), key))[:take])
    return [key for key in keys if key not in chosen], [key for key in keys if key in chosen]


def placement(key: str, seed: int = 0) -> float:
    """A number in [0, 1) that only the key and the seed decide; uniform over keys."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _check(fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise ValueError(f"The validation fraction is {fraction}; give a number from 0 to below 1.")
