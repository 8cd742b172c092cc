"""Summary of many messages about tasks: an unavailable bucket is one problem, not ten thousand."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARTICULARS = re.compile(r'"[^"]*"|\S+://\S+|\d+')
_TASK = re.compile(r"\btask (\d+)", re.IGNORECASE)
MOST = 3
"""Up to this many similar sentences are listed in full."""
NAMED = 10
"""Number of further tasks that are named."""


def summed_up(sentences: Iterable[str]) -> list[str]:
    """The sentences in their order, with similar ones summarized.

    Sentences are similar if they differ only in tasks, addresses and numbers. Of more than `MOST` similar
    sentences only the first is listed, followed by the number of the others and the first of their tasks.
    """
    similar: dict[str, list[str]] = {}
    for sentence in sentences:
        similar.setdefault(_PARTICULARS.sub("…", sentence), []).append(sentence)
    summary: list[str] = []
    for found in similar.values():
        summary += found if len(found) <= MOST else [f"{found[0].removesuffix('.')}. {_others(found[1:])}"]
    return summary


def _others(sentences: list[str]) -> str:
    tasks = [match.group(1) for sentence in sentences if (match := _TASK.search(sentence))]
    listed = ", ".join(tasks[:NAMED]) + (", …" if len(tasks) > NAMED else "")
    return f"The same applies to {len(sentences)} others" + (f": tasks {listed}." if tasks else ".")
