"""The output of `dsal status` stays readable, however many images are unavailable."""

from __future__ import annotations

from ml_backend.learn.problems import summed_up


def unavailable(task: int) -> str:
    return f"The image of task {task} cannot be fetched: s3://bucket/{task}.png answers HTTP 404: no storage."


def test_few_sentences_are_listed_in_full() -> None:
    sentences = [unavailable(1), "Task 4: The image file is damaged.", unavailable(2), unavailable(3)]
    assert summed_up(sentences) == [
        unavailable(1),
        unavailable(2),
        unavailable(3),
        "Task 4: The image file is damaged.",
    ]
    assert summed_up([]) == []


def test_similar_sentences_are_listed_once_with_their_tasks() -> None:
    sentences = [unavailable(task) for task in range(1, 6)] + ["Nothing about a task."]
    assert summed_up(sentences) == [
        f"{unavailable(1)} The same applies to 4 others: tasks 2, 3, 4, 5.",
        "Nothing about a task.",
    ]


def test_thousands_stay_one_line() -> None:
    [line] = summed_up(unavailable(task) for task in range(10_000))
    assert line.endswith("9999 others: tasks 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ….")
    assert len(line) < 300


def test_different_problems_stay_separate() -> None:
    sentences = [unavailable(task).replace("404", status) for task in range(4) for status in ("404", "503")]
    sentences += [f"The image of task {task} cannot be fetched: it is empty." for task in range(4)]
    assert len(summed_up(sentences)) >= 2
