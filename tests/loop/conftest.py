"""Connected projects in the running service, and small phantoms for them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ml_backend.reconcile import lifecycle
from ml_backend.store import projects
from model.research.phantom import Phantom, draw_phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

IMAGES = 14


@pytest.fixture(scope="session")
def phantoms() -> list[Phantom]:
    """Small phantoms of all ages."""
    return [draw_phantom((5 * n) % 19, seed=n, size=(128, 160)) for n in range(IMAGES)]


@pytest.fixture
def make_board(service: Service, boards: list[Board]) -> MakeBoard:
    """A function that creates a connected project."""

    def make(phantoms: Sequence[Phantom]) -> Board:
        boards.append(Board.make(service, phantoms))
        return boards[-1]

    return make


@pytest.fixture
def make_quiet(service: Service, make_board: MakeBoard) -> MakeBoard:
    """A function that creates a connected project and waits until its jobs are done."""

    def make(phantoms: Sequence[Phantom]) -> Board:
        board = make_board(phantoms)
        service.settle()
        return board

    return make


@pytest.fixture(scope="module")
def others_archived(service: Service) -> None:
    """Archive the projects of earlier tests, so that no work is left for them."""
    with service.database.read() as session:
        known = [project.id for project in projects.active(session)]
    for project in known:
        lifecycle.archive(service.database, project)
    service.work()
    service.settle()
