"""What `dsal status` tells stays readable, however many images are away."""

from __future__ import annotations

from ml_backend.learn.problems import summed_up


def away(task: int) -> str:
    return f"The image of task {task} cannot be had: s3://bucket/{task}.png answers HTTP 404: no storage."


def test_few_sentences_are_told_in_full() -> None:
    sentences = [away(1), "Task 4: The image file is damaged.", away(2), away(3)]
    assert summed_up(sentences) == [away(1), away(2), away(3), "Task 4: The image file is damaged."]
    assert summed_up([]) == []


def test_many_of_one_reason_are_told_once_with_their_tasks() -> None:
    sentences = [away(task) for task in range(1, 6)] + ["Nothing about a task."]
    assert summed_up(sentences) == [
        f"{away(1)} The same holds for 4 others: tasks 2, 3, 4, 5.",
        "Nothing about a task.",
    ]


def test_thousands_stay_one_line() -> None:
    [told] = summed_up(away(task) for task in range(10_000))
    assert told.endswith("9999 others: tasks 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ….")
    assert len(told) < 300


def test_different_reasons_stay_apart() -> None:
    sentences = [away(task).replace("404", status) for task in range(4) for status in ("404", "503")]
    sentences += [f"The image of task {task} cannot be had: it is empty." for task in range(4)]
    assert len(summed_up(sentences)) >= 2
