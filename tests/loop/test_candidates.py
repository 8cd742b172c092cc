"""Of a large pool only the candidates are scored before an order is shown, the others in the background."""

from __future__ import annotations

import pytest

from ml_backend.score.prediction import load_segmenter
from ml_backend.store.models import Version
from model.imaging.decoding import decode_image
from model.research.phantom import Phantom
from tests.loop.board import Board, MakeBoard, png
from tests.loop.service import Service

FOUR = {"CANDIDATES": "4", "SCORE_CHUNK": "1"}
DUE = (
    "SELECT 1 FROM scores JOIN versions ON versions.id = version_id WHERE project_id = ? AND round = 2 "
    "AND versions.state = '{}' GROUP BY version_id HAVING sum(due) BETWEEN {} AND {}"
)


def second_round(board: Board, service: Service) -> Version:
    """Label two rounds; returns the version of the first, by which eight tasks remain to be labelled."""
    service.work(**FOUR)
    board.annotate(3)
    first = board.await_round(1)
    service.settle()
    board.annotate(3)
    return first


def due(board: Board, version: Version) -> set[int]:
    return {task for task, row in board.scores(version).items() if row.due}


def measured(service: Service, board: Board, version: Version) -> dict[int, float]:
    """The consistency of each task by a version's network, computed independently."""
    assert version.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(version.weights_hash))
    images = {task: decode_image(png(board.truth[task].image)) for task, _ in board.order()}
    return {task: segmenter.segment([image])[0].consistency.score for task, image in images.items()}


def test_the_candidates_are_shown_first_and_the_others_keep_their_scores_until_they_are_scored(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:14])
    first = second_round(board, service)
    before = {task: row.score for task, row in board.scores(first).items()}
    with service.frozen_when(DUE.format("published", 4, 4), board.id):
        (second,) = [one for one in board.versions() if one.round == 2]
        kept = due(board, second)
        shown = dict(board.order())
        assert board.shown_version() == second.name
        assert board.stored()[second.name] == len(shown) == 8
        assert {task: shown[task] for task in kept} == pytest.approx({task: before[task] for task in kept})
    service.wait(lambda: not due(board, second), "the scores of the other tasks")
    service.settle()
    assert board.duplicates(second.name) == []
    assert dict(board.order()) == pytest.approx(measured(service, board, second), abs=1e-4)
    rows = board.scores(second)
    for task in kept:
        (one,) = [each for each in board.predictions(task) if each["model_version"] == second.name]
        assert one["score"] == pytest.approx(rows[task].score)
        assert bool(one["result"]) is not rows[task].blank


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(("scoring", 4, 4), id="before the candidates are shown"),
        pytest.param(("published", 1, 3), id="while it scores the others"),
    ],
)
def test_a_worker_killed_with_former_scores_continues(
    moment: tuple[str, int, int], service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:14])
    first = second_round(board, service)
    with service.frozen_when(DUE.format(*moment), board.id):
        service.kill_worker()
    if moment[0] == "scoring":
        assert board.shown_version() == first.name, "nobody sees a part of the new order"
    service.work(**FOUR)
    (second,) = [one for one in board.versions() if one.round == 2]
    service.wait(lambda: not due(board, second), "the scores of the other tasks")
    service.settle()
    assert board.duplicates(second.name) == []
    assert dict(board.order()) == pytest.approx(measured(service, board, second), abs=1e-4)
