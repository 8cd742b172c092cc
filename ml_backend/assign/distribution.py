"""How tasks in the order of their scores are distributed over several annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def distribute(
    ranking: Sequence[int], assigned: Mapping[int, str], annotators: Sequence[str], size: int
) -> dict[int, str]:
    """Distribute `size` tasks to each annotator, the best ones first; returns {task: annotator}.

    With n annotators, each run of n tasks gives one task to each of them, as far as existing assignments
    allow; whoever got fewer so far comes first. So when everybody has labelled k tasks, together they have
    labelled the best ones. An assigned task stays with its annotator.

    Args:
        ranking: the tasks that are free or assigned to one of `annotators`, the best first.
        assigned: {task: annotator} of those that are assigned.
        annotators: who gets tasks.
        size: tasks for each annotator.
    """
    window = ranking[: len(annotators) * size]
    counted: Counter[str] = Counter()
    given: dict[int, str] = {}
    for start in range(0, len(window), max(len(annotators), 1)):
        run = window[start : start + len(annotators)]
        counted.update(assigned[task] for task in run if task in assigned)
        for task in run:
            if task not in assigned:
                given[task] = min(annotators, key=lambda email: counted[email])
                counted[given[task]] += 1
    return given


def surplus(
    assignments: Mapping[str, Sequence[int]], spare: Mapping[str, Sequence[int]]
) -> tuple[str, list[int]]:
    """Choose the tasks to take back for annotators who have none, when no free task is left.

    They are the worse half of what the annotator with the most tasks can spare; one task stays. Returns that
    annotator and the tasks, none where nobody can spare any.

    Args:
        assignments: all tasks of each annotator.
        spare: those of them that nobody has opened, the best first.
    """
    email = max(assignments, key=lambda each: (len(assignments[each]), each))
    most = min((len(assignments[email]) + 1) // 2, len(assignments[email]) - 1, len(spare[email]))
    return email, list(spare[email][len(spare[email]) - most :]) if most > 0 else []
