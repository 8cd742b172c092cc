"""The service, a worker and Label Studio as real processes, and small phantoms to fill projects with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from ml_backend.label_studio.server import LabelStudioServer
from model.phantom import Phantom, draw_phantom
from tests.loop.board import Board
from tests.loop.service import Service

IMAGES = 14


@pytest.fixture(scope="session")
def service(server: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The running service; every test has a project of its own in it."""
    service = Service(server, tmp_path_factory.mktemp("service"))
    service.start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="session")
def phantoms() -> list[Phantom]:
    """Small hands of all ages."""
    return [draw_phantom((5 * n) % 19, seed=n, size=(128, 160)) for n in range(IMAGES)]


@pytest.fixture
def make_board(service: Service) -> Iterator[Callable[[Sequence[Phantom]], Board]]:
    """A function that makes a connected project; projects are deleted at the end of the test."""
    made: list[Board] = []

    def make(phantoms: Sequence[Phantom]) -> Board:
        made.append(Board.make(service, phantoms))
        return made[-1]

    yield make
    for board in made:
        service.label_studio.delete_project(board.id)
