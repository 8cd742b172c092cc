"""Many sentences about tasks, told briefly: a bucket that is shut has one reason, not ten thousand."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARTICULARS = re.compile(r'"[^"]*"|\S+://\S+|\d+')
_TASK = re.compile(r"\btask (\d+)", re.IGNORECASE)
MOST = 3
"""Sentences of one reason that are told in full."""
NAMED = 10
"""Further tasks that are named."""


def summed_up(sentences: Iterable[str]) -> list[str]:
    """The sentences in their order; of those that differ only in tasks, addresses and numbers, the first.

    Where there are more than `MOST` of a kind, the first is followed by the number of the others and by
    the tasks that the next ones are about.
    """
    alike: dict[str, list[str]] = {}
    for sentence in sentences:
        alike.setdefault(_PARTICULARS.sub("…", sentence), []).append(sentence)
    told: list[str] = []
    for found in alike.values():
        told += found if len(found) <= MOST else [f"{found[0].removesuffix('.')}. {_others(found[1:])}"]
    return told


def _others(sentences: list[str]) -> str:
    tasks = [match.group(1) for sentence in sentences if (match := _TASK.search(sentence))]
    listed = ", ".join(tasks[:NAMED]) + (", …" if len(tasks) > NAMED else "")
    return f"The same holds for {len(sentences)} others" + (f": tasks {listed}." if tasks else ".")
