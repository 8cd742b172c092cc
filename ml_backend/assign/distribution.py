"""Distribution of ranked tasks among several annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def distribute(
    ranking: Sequence[int], assigned: Mapping[int, str], annotators: Sequence[str], size: int
) -> dict[int, str]:
    """Distribute the best `size` tasks per annotator; returns the new assignments {task: annotator}.

    With n annotators, each run of n tasks gives one task to each of them, as far as existing assignments
    allow; annotators with fewer tasks so far come first. So when everybody has labelled k tasks, together
    they have labelled the best ones. An assigned task stays with its annotator.

    Args:
        ranking: tasks that are free or assigned to one of `annotators`, the best first.
        assigned: {task: annotator} of the tasks already assigned.
        annotators: the annotators to assign tasks to.
        size: number of tasks for each annotator.
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
    """Choose tasks to take back for annotators who have none, when no free task is left.

    The annotator with the most tasks gives up to half of them (rounded up), the worst of the unopened ones,
    and keeps at least one. Returns that annotator and the tasks; the list is empty if none can be spared.

    Args:
        assignments: all tasks of each annotator.
        spare: the unopened tasks of each annotator, the best first.
    """
    email = max(assignments, key=lambda each: (len(assignments[each]), each))
    most = min((len(assignments[email]) + 1) // 2, len(assignments[email]) - 1, len(spare[email]))
    return email, list(spare[email][len(spare[email]) - most :]) if most > 0 else []
