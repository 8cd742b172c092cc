"""kill -9 at each line between the import of predictions and the switch of the order."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.store.models import Version, VersionState
from model.research.phantom import Phantom
from tests.faults.gate import Gate
from tests.faults.killer import PUBLICATION, SENDING, Killer, Line
from tests.faults.promises import MEASURED, Record, check
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

IN_CI = 4
"""Lines at which CI kills, spread evenly; the long variant kills at each."""


@pytest.fixture
def killer(service: Service) -> Iterator[Killer]:
    killer = Killer(service.environment)
    yield killer
    killer.close()


class State:
    """A project's rows at one moment, which can be put back together with Label Studio's order."""

    def __init__(self, board: Board, version: Version) -> None:
        self._board, self._version = board, version
        self._shown = board.shown_version()
        self._path = board.service.settings.model_dir / "dsal.sqlite3"
        self._conditions = {
            "scores": f"version_id IN (SELECT id FROM versions WHERE project_id = {board.id})",
            "versions": f"project_id = {board.id}",
            "projects": f"id = {board.id}",
        }
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            self._rows = {
                table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} WHERE {condition}")]
                for table, condition in self._conditions.items()
            }

    def restore(self) -> None:
        client = self._board.service.label_studio
        client.patch_project(self._board.id, model_version=self._shown)
        client.delete_model_version(self._board.id, self._version.name)
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            for table, condition in self._conditions.items():
                connection.execute(f"DELETE FROM {table} WHERE {condition}")
                for row in self._rows[table]:
                    _insert(connection, table, row)


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))


def scored(service: Service, server: LabelStudioServer, board: Board) -> Version:
    """The version of a first round, all of whose predictions are computed and none sent; no worker runs."""
    with Gate(server.url) as gate:
        service.work(LABEL_STUDIO_URL=gate.url)
        gate.refuse = lambda call: 503 if call.path.endswith("/import/predictions") else None
        board.annotate(3)
        service.wait(lambda: gate.calls("POST", "/import/predictions"), "the import")
        service.kill_worker()
    (version,) = [one for one in board.versions() if one.round == 1]
    assert version.state is VersionState.SCORING
    return version


def between(passed: list[Line]) -> list[Line]:
    """The lines from the import on, as far as the version is published."""
    first = next(n for n, line in enumerate(passed) if "import_scored(" in line.text) + 1
    last = next(n for n, line in enumerate(passed) if "versions.publish(session" in line.text)
    lines = passed[first : last + 8]
    assert any(line.file == SENDING for line in lines)
    assert sum(line.file == PUBLICATION for line in lines) > 20
    return lines


@pytest.mark.slow
def test_a_kill_at_any_line_between_import_and_switch_leaves_one_order(
    service: Service,
    server: LabelStudioServer,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    killer: Killer,
    record_property: Record,
    is_long: bool,
) -> None:
    board = make_board(phantoms[:7])
    version = scored(service, server, board)
    labels = board.labels()
    old = board.order()
    state = State(board, version)
    passed = killer.run(version.id)
    assert passed is not None
    check(board, board.versions()[0])
    new = board.order()
    assert new != old

    lines = between(passed)
    chosen = lines if is_long else lines[:: len(lines) // IN_CI + 1]
    mixed, slowest = 0, 0.0
    for line in chosen:
        state.restore()
        assert board.order() == old
        assert killer.run(version.id, line) is None, f"{line} was not reached"
        shown = board.shown_version()
        is_new = shown == version.name
        mixed += board.order() != (new if is_new else old)
        assert mixed == 0, f"a mixed order after a kill at {line}"
        began = time.monotonic()
        assert killer.run(version.id) is not None
        slowest = max(slowest, time.monotonic() - began)
        assert board.order() == new, f"after a kill at {line}"
        assert board.duplicates(version.name) == [], f"after a kill at {line}"
        check(board, board.versions()[0])
    assert board.labels() == labels
    record_property(
        MEASURED,
        f"kill -9 at {len(chosen)} of {len(lines)} lines between import and switch: resumed within "
        f"{slowest:.1f} s, labels lost 0, mixed orders {mixed}",
    )
