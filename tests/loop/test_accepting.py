"""Annotators who accept the masks on display, against a real Label Studio."""

from __future__ import annotations

from typing import Any

from ml_backend.store import edits
from ml_backend.store.models import Edit
from ml_backend.store.states import Provenance
from model.research.phantom import Phantom, draw_phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service


def accept(board: Board, task: int, result: list[dict[str, Any]] | None = None) -> int:
    """Press Submit on the mask of the version that orders the tasks, or on `result` made from it."""
    (shown,) = [one for one in board.open(task) if one["model_version"] == board.shown_version()]
    copied = [region | {"origin": "prediction"} for region in shown["result"]] if result is None else result
    body = {"result": copied, "parent_prediction": shown["id"], "lead_time": 3.5}
    submitted = board.service.ask_label_studio("POST", f"/api/tasks/{task}/annotations/", json=body)
    return int(submitted["id"])


def known(board: Board) -> dict[int, Edit]:
    with board.service.database.read() as session:
        return edits.of_project(session, board.id)


def accept_next(board: Board, count: int) -> list[int]:
    made = []
    for _ in range(count):
        task = board.next_task()
        assert task is not None
        made.append(accept(board, task))
    return made


def test_masks_that_were_merely_accepted_neither_validate_nor_stop_learning(
    service: Service, make_board: MakeBoard
) -> None:
    board = make_board([draw_phantom((5 * n) % 19, seed=n, size=(128, 160)) for n in range(30)])
    # A worker that is up would begin with the first of the six.
    service.rest()
    board.annotate(6)
    service.work(TRAIN_STEPS="60")
    first = board.await_round(1)
    service.rest()
    accepted = accept_next(board, 11)
    service.work(TRAIN_STEPS="60")
    second = board.await_round(2)

    found = known(board)
    assert {found[one].provenance for one in accepted} == {Provenance.ACCEPTED}
    assert {found[one].version for one in accepted} == {first.name}
    assert second.metrics["accepted_images"] == 11
    assert second.metrics["validation_images"] == first.metrics["validation_images"] == 1
    assert second.weights_hash != first.weights_hash, "it learned"
    assert "Too few to tell" in second.metrics["comparison"]["sentence"]

    shown = service.command("status").stdout.replace("\n", " ")
    assert f"masks of {first.name}: 100% of 11 accepted unchanged (95% interval 74% to 100%)" in shown
    assert "too few to tell (1)" in shown
    answer = service.call("GET", f"/api/projects/{board.id}/edits").json()
    by_version = {one["version"]: one for one in answer["versions"]}
    assert by_version[first.name]["accepted_share"] == 1.0
    assert by_version[first.name]["seconds"] == 3.5
    assert by_version[None]["annotations"] == {"drawn": 6, "edited": 0, "accepted": 0}


def test_an_edit_is_attributed_to_the_version_that_was_shown(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:9])
    service.work(TRAIN_STEPS="60")
    board.annotate(3)
    first = board.await_round(1)
    # A page that was opened under the first version is submitted after the second was published.
    task = board.next_task()
    assert task is not None
    (page,) = [one for one in board.open(task) if one["model_version"] == first.name]
    others = [one for one in board.all_tasks() if one != task and one not in board.labels()]
    for other in others[:2]:
        accept(board, other, board.regions(other))
    second = board.await_round(2)
    assert second.state == "published"
    body = {"result": board.regions(task), "parent_prediction": page["id"]}
    late = service.ask_label_studio("POST", f"/api/tasks/{task}/annotations/", json=body)["id"]
    board.await_round(3)

    edit = known(board)[late]
    assert edit.version == first.name
    assert edit.provenance is Provenance.EDITED
    assert edit.dsc is not None
    assert 0 <= edit.dsc < 1
    assert edit.added_path is not None
    assert edit.added_path > 0


def test_blind_tasks_are_shown_without_a_mask_and_validate(service: Service, make_board: MakeBoard) -> None:
    board = make_board([draw_phantom((5 * n) % 19, seed=n, size=(128, 160)) for n in range(16)])
    service.rest()
    board.annotate(4)
    service.work(TRAIN_STEPS="60", VALIDATION="blind", VALIDATION_FRACTION="0.4")
    first = board.await_round(1)
    masks = {task: regions_of(board, task, first.name) for task in board.scores(first)}
    blind = {task for task, regions in masks.items() if not regions}
    assert 0 < len(blind) < len(masks)
    rows = board.scores(first)
    assert all(rows[task].score is not None and not rows[task].blank for task in blind)
    assert {task for task in blind if board.open(task)[0]["result"]} == set()

    for task in blind:
        accept(board, task, board.regions(task))
    second = board.await_round(2)
    assert second.metrics["validation_images"] == first.metrics["validation_images"] + len(blind)
    assert {known(board)[one].provenance for one in known(board)} == {Provenance.DRAWN}


def regions_of(board: Board, task: int, version: str) -> list[dict[str, Any]]:
    """The regions of a version's prediction of a task."""
    (one,) = [each for each in board.predictions(task) if each["model_version"] == version]
    regions: list[dict[str, Any]] = one["result"]
    return regions
