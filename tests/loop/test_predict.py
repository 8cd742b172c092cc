"""/predict for one, a few and hundreds of tasks: one answer per task, in time."""

from __future__ import annotations

import time

from model.research.phantom import Phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

MANY = 300


def test_predict_answers_every_task_and_leaves_the_rest_to_the_workers(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:12])
    client = service.label_studio
    board.annotate(3)
    version = board.await_round(1)
    service.rest()
    some = [client.task_data(board.id, list(board.truth))[task] for task in board.truth]
    added = client.create_tasks(board.id, [some[number % len(some)] for number in range(MANY)])
    tasks = [{"id": task, "data": data, "project": board.id} for task, data in _data(board, added).items()]

    # The first call may be spent on loading torch.
    board.predict(tasks[:1])
    for count in (1, 5):
        answers = board.predict(tasks[:count])
        assert [len(answer) for answer in answers] == [1] * count
        for (answer,) in answers:
            assert answer["model_version"] == version.name
            assert 0 <= answer["score"] <= 1
    assert board.predict([]) == []

    # All tasks at once, as "Retrieve predictions" in Label Studio sends them.
    began = time.monotonic()
    answers = board.predict(tasks)
    assert time.monotonic() - began < service.settings.predict_seconds + 2
    assert len(answers) == MANY
    given = sum(map(bool, answers))
    assert answers == [*answers[:given], *[[]] * (MANY - given)]
    assert 0 < given < MANY
    service.ask_label_studio(
        "POST",
        "/api/dm/actions",
        params={"id": "retrieve_tasks_predictions", "project": board.id},
        json={"selectedItems": {"all": False, "included": added}},
    )
    kept = board.stored()[version.name] - 9
    assert 0 < kept < MANY

    service.work(SCORE_CHUNK="60")
    service.wait(lambda: board.stored()[version.name] >= 9 + MANY and board.idle(), "the rest", 180)
    assert board.stored() == {version.name: 9 + MANY}, "no task has two predictions of the version"
    assert all(score is not None for _, score in board.order())


def _data(board: Board, tasks: list[int]) -> dict[int, dict[str, str]]:
    return board.service.label_studio.task_data(board.id, tasks)
