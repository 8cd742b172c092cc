"""The fixed split of images into training and validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

MOST_VALIDATION = 20
"""Largest useful number of validation images: the paper has 20, and more would only make every round slower.

`split` and `extend_split` do not know it; callers leave further keys to training.
"""


def split(keys: Iterable[str], fraction: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Divide keys into (training, validation), each in the given order.

    A key goes to validation if `placement` < `fraction`. This depends only on the key, the seed and the
    fraction, so adding or removing keys never moves another key. On the other hand, the share of validation
    keys is only `fraction` on average, and validation may be empty for few keys. Use `extend_split` to divide
    new keys when the sides of earlier ones are stored.

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
    """Divide new keys, given the number of keys that are already in training and validation.

    The new keys with the smallest `placement` go to validation, as many as bring its share of all keys
    closest to `fraction`. Keys that are already divided never move. At least one key of all goes to training;
    with a positive fraction and two or more keys, at least one goes to validation.

    Args:
        new: the keys to divide.
        fraction: share of validation keys, in [0, 1).
        seed: seed of the placement.
        training, validation: numbers of keys that are already divided.

    Returns:
        (training, validation) of the new keys, each in the given order.

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
    """A pseudo-random number in [0, 1) that depends only on the key and the seed; uniform over keys."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _check(fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise ValueError(f"The validation fraction is {fraction}; give a number from 0 to below 1.")
