"""Dealing: how tasks in the order of their scores are spread over several annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def deal(
    ranking: Sequence[int], held: Mapping[int, str], annotators: Sequence[str], size: int
) -> dict[int, str]:
    """Deal the first `size` tasks for each annotator, the best ones first; returns {task: annotator}.

    Each run of as many tasks as there are annotators goes one to each, as far as what they hold allows; who
    has had fewer so far comes first. Thus all who have labelled k tasks each have labelled the best ones
    together. A task that is held stays where it is.

    Args:
        ranking: the tasks that may be dealt or are held by one of `annotators`, the best first.
        held: {task: annotator} of those of them that are held.
        annotators: who is dealt to.
        size: tasks for each annotator.
    """
    window = ranking[: len(annotators) * size]
    counted: Counter[str] = Counter()
    given: dict[int, str] = {}
    for start in range(0, len(window), max(len(annotators), 1)):
        run = window[start : start + len(annotators)]
        counted.update(held[task] for task in run if task in held)
        for task in run:
            if task not in held:
                given[task] = min(annotators, key=lambda email: counted[email])
                counted[given[task]] += 1
    return given


def surplus(hands: Mapping[str, Sequence[int]], spare: Mapping[str, Sequence[int]]) -> tuple[str, list[int]]:
    """Choose what to take back for those who hold nothing, when nothing is left to be dealt.

    It is the worse half of what the fullest hand can spare; that hand keeps one task at least. Returns whose
    it is and the tasks, none where nobody can spare any.

    Args:
        hands: all tasks of each hand.
        spare: those of them that nobody has opened, the best first.
    """
    email = max(hands, key=lambda each: (len(hands[each]), each))
    most = min((len(hands[email]) + 1) // 2, len(hands[email]) - 1, len(spare[email]))
    return email, list(spare[email][len(spare[email]) - most :]) if most > 0 else []
