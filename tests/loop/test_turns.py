"""A job scores chunk after chunk with one network; killed in between, it loses and repeats nothing."""

from __future__ import annotations

import re

from model.research.phantom import Phantom
from tests.loop.board import MakeBoard
from tests.loop.service import Service

SMALL_CHUNKS = {"SCORE_CHUNK": "1"}


def jobs_of(service: Service, version: int) -> list[str]:
    """The jobs that have scored chunks of a version, by the worker's log."""
    log = (service.logs / "worker.log").read_text()
    done = re.findall(r"Successfully completed (score-chunk\(.*?\)) job", log)
    return [one for one in done if f"version_id={version}" in one]


def test_a_few_jobs_score_all_chunks_of_a_version(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:13])
    service.work(**SMALL_CHUNKS)
    board.annotate(3)
    version = board.await_round(1)
    service.settle()
    assert {row.chunk for row in board.scores(version).values()} == set(range(10))
    assert 1 <= len(jobs_of(service, version.id)) <= 3
    assert board.duplicates(version.name) == []


def test_a_turn_that_is_killed_continues_and_scores_no_task_twice(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:13])
    service.work(**SMALL_CHUNKS)
    board.annotate(3)
    half = (
        "SELECT 1 FROM scores JOIN versions ON versions.id = version_id WHERE project_id = ? AND round = 1 "
        "GROUP BY version_id HAVING sum(scores.state != 'pending') BETWEEN 3 AND 8"
    )
    with service.frozen_when(half, board.id):
        service.kill_worker()
    service.work(**SMALL_CHUNKS)
    version = board.await_round(1)
    assert board.shown_version() == version.name
    assert board.duplicates(version.name) == []
    assert len(board.scores(version)) == 10


def test_added_tasks_whose_turn_is_killed_before_they_are_sent_are_sent_once(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:4])
    service.work(**SMALL_CHUNKS)
    board.annotate(3)
    version = board.await_round(1)
    service.settle()
    service.rest()
    added = board.add(phantoms[4:12])
    service.work(**SMALL_CHUNKS)
    some = (
        "SELECT 1 FROM scores WHERE version_id = ? AND state = 'writing' "
        "GROUP BY version_id HAVING count(*) BETWEEN 2 AND 6"
    )
    with service.frozen_when(some, version.id):
        service.kill_worker()
    service.work(**SMALL_CHUNKS)
    service.wait(lambda: board.stored().get(version.name) == 9, "scores of the new tasks")
    service.settle()
    assert board.duplicates(version.name) == []
    assert {task for task, score in board.order() if score is not None} >= set(added)
