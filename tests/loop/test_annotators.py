"""Several annotators at once: no task is assigned twice, and together they label the best ones."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.store import assignments
from ml_backend.store import scores as scores_in_database
from model.research.phantom import Phantom
from tests.loop.board import Board
from tests.loop.service import Service
from tests.loop.test_strategies import choose
from tests.people import sign_up

NAMES = ("ann", "bob", "cho", "dee", "eli")


@dataclass
class Person:
    """An annotator, with a token and a view of their own."""

    email: str
    studio: LabelStudio
    board: Board
    view: int = 0

    def next_task(self) -> int | None:
        """The task that "Label Tasks As Displayed" opens in this person's view."""
        task = self.studio.next_task(self.board.id, self.view)
        return None if task is None else int(task["id"])

    def submit(self, task: int) -> int:
        """Label a task; returns it."""
        self.studio.submit_annotation(task, self.board.regions(task))
        return task

    def assigned(self) -> frozenset[int]:
        """The tasks assigned to this person."""
        return self.studio.assigned(self.board.id, self.email).waiting


@pytest.fixture(scope="session")
def people(server: LabelStudioServer) -> dict[str, LabelStudio]:
    """Five users."""
    return {email: sign_up(server, email) for email in (f"{name}@example.com" for name in NAMES)}


@pytest.fixture
def board(service: Service, phantoms: list[Phantom]) -> Iterator[Board]:
    """A connected project in its first order, with short trainings."""
    board = Board.connected(service, [*phantoms, *phantoms[:10]])
    service.work(TRAIN_STEPS="5", SCORE_CHUNK="30")
    service.wait(board.published, "the first order")
    yield board
    service.label_studio.delete_project(board.id)


def gather(service: Service, board: Board, people: dict[str, LabelStudio], count: int) -> list[Person]:
    """Connect the project for the first `count` people; returns them once all have tasks."""
    emails = list(people)[:count]
    done = service.command(
        "connect",
        *("--project", str(board.id), "--backend", service.url, "--annotators", ",".join(emails)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    views = service.label_studio.annotators(board.id)
    assert list(views) == emails
    found = [Person(email, people[email], board, views[email]) for email in emails]
    service.wait(lambda: all(person.assigned() for person in found), "tasks for everybody")
    return found


def settled(board: Board, people: Sequence[Person]) -> bool:
    """Whether all tasks are assigned by the published order, and none is in a cooldown."""
    version = board.published()
    assert version is not None
    with board.service.database.read() as session:
        by_task = assignments.by_task(session, board.id)
    if any(one.email is None or one.version_id != version.id for one in by_task.values()):
        return False
    # The database is updated before Label Studio.
    return {task for person in people for task in person.assigned()} == by_task.keys()


def best(board: Board, count: int) -> list[float]:
    """The best `count` scores; the order of tasks with equal scores is undefined."""
    return [score for _, score in board.order()[:count] if score is not None]


def by_score(tasks: Sequence[int], scores: Mapping[int, float | None]) -> list[float]:
    """The scores of these tasks, the best first."""
    return sorted((score for task in tasks if (score := scores[task]) is not None), reverse=True)


def all_label(people: Sequence[Person], count: int) -> list[int]:
    """Let everybody label `count` tasks at the same time; returns the tasks."""
    barrier = threading.Barrier(len(people))

    def work(person: Person) -> list[int]:
        barrier.wait()
        return [person.submit(person.next_task() or 0) for _ in range(count)]

    with ThreadPoolExecutor(len(people)) as pool:
        return [task for tasks in pool.map(work, people) for task in tasks]


def count_annotations(board: Board) -> Counter[int]:
    """Number of annotations by labelled task."""
    return Counter(
        {task.id: len(task.annotations) for task in board.service.label_studio.labelled_tasks(board.id)}
    )


def label_the_best(board: Board, four: Sequence[Person]) -> None:
    """Let four people label two tasks each at once: the eight best tasks, each labelled once."""
    # No new order is published while they label.
    with board.service.paused():
        scores = dict(board.order())
        assigned = [task for person in four for task in person.assigned()]
        assert len(assigned) == len(set(assigned))
        assert by_score(assigned, scores)[:12] == best(board, 12)
        expected = best(board, 8)
        labelled = all_label(four, 2)
        assert len(set(labelled)) == 8
        assert by_score(labelled, scores) == expected


def label_until(people: Sequence[Person], finished: Callable[[], bool]) -> int:
    """Let everybody label what their view opens until `finished`; returns the number of tasks."""
    stop = threading.Event()

    def work(person: Person) -> int:
        count = 0
        while not stop.is_set():
            task = person.next_task()
            if task is None:
                time.sleep(0.5)
            else:
                person.submit(task)
                count += 1
        return count

    with ThreadPoolExecutor(len(people)) as pool:
        working = [pool.submit(work, person) for person in people]
        try:
            people[0].board.service.wait(finished, "the end", 240)
        finally:
            stop.set()
        return sum(each.result() for each in working)


def test_together_they_label_the_best_and_everything_once(
    service: Service, board: Board, people: dict[str, LabelStudio]
) -> None:
    four = gather(service, board, people, 4)
    for number in (0, 1):
        # Round 0 is the seeded random order; its eight labels trigger the first training.
        board.await_round(number)
        service.wait(lambda: settled(board, four), "an assignment by the published order")
        label_the_best(board, four)
    assert set(count_annotations(board).values()) == {1}

    # One opens a task and leaves, a fifth joins, and versions are trained and published meanwhile.
    home, *others = four
    left_open = home.next_task()
    assert left_open is not None
    late = gather(service, board, people, 5)[-1]
    count = label_until([*others, late], lambda: [task for task, _ in board.order()] == [left_open])
    assert count == len(board.all_tasks()) - 16 - 1
    assert home.next_task() == left_open
    home.submit(left_open)
    assert home.next_task() is None
    assert count_annotations(board) == dict.fromkeys(board.all_tasks(), 1)

    # Somebody removes the filters of a view: reconcile restores them.
    (data,) = (view["data"] for view in service.label_studio.views(board.id) if view["id"] == home.view)
    empty = {"conjunction": "and", "items": []}
    service.label_studio.patch_view(home.view, board.id, {**data, "filters": empty})
    done = service.command("reconcile", "--project", str(board.id))
    assert f"view of {home.email}" in " ".join(done.stdout.split()), done.stdout + done.stderr
    (again,) = (view["data"] for view in service.label_studio.views(board.id) if view["id"] == home.view)
    assert again == data


def test_under_a_strategy_with_batches_they_get_the_first_tasks_of_its_order(
    service: Service, board: Board, people: dict[str, LabelStudio]
) -> None:
    choose(board, "entropy+clusters")
    service.work(TRAIN_STEPS="60", SCORE_CHUNK="30")
    board.annotate(3)
    version = board.await_round(1)
    assert version.strategy == "entropy+clusters"
    two = gather(service, board, people, 2)
    service.wait(lambda: settled(board, two), "the assignment by the order of the version")
    with service.database.read() as session:
        priorities = scores_in_database.priorities(session, version.id)
    left = sorted(value for task, value in priorities.items() if task not in board.labels())
    assigned = [task for person in two for task in person.assigned()]
    assert sorted(priorities[task] for task in assigned) == left[: len(assigned)]
    # Each view is sorted by the score, the mean DSC.
    shown = {task: score for task, score in board.order(highest_first=False) if score is not None}
    for person in two:
        opened = person.next_task()
        assert opened is not None
        assert shown[opened] == min(shown[task] for task in person.assigned())
