"""`dsal suspicious`: a faulty label among good ones, against a real Label Studio."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ml_backend.act.asking import ask
from ml_backend.act.performing import perform
from ml_backend.label_studio.blueprint import CHECK_VIEW_TITLE
from ml_backend.label_studio.regions.masks import results
from ml_backend.store import actions, examinations, suspicious
from ml_backend.store.models import Examination, ExaminedLabel, Project, RunState
from ml_backend.store.states import ActionKind, ActionState
from model.research.phantom import draw_phantom
from tests.loop.board import Board
from tests.loop.service import Service


def listed(board: Board) -> list[ExaminedLabel]:
    with board.service.database.read() as session:
        return suspicious.listed(session, board.id)


def check_views(board: Board) -> list[dict[str, Any]]:
    views = board.service.label_studio.views(board.id)
    return [view for view in views if view["data"]["title"] == CHECK_VIEW_TITLE]


def shown(board: Board) -> list[int]:
    """The tasks in the view of labels to check."""
    (view,) = check_views(board)
    filters = view["data"]["filters"]
    return [row["id"] for row in board.service.label_studio._rows(board.id, "id", size=100, filters=filters)]


def test_a_faulty_label_is_listed_and_shown_until_a_person_confirms_it(
    service: Service, boards: list[Board]
) -> None:
    phantoms = [draw_phantom((5 * n) % 19, seed=n, size=(128, 160)) for n in range(9)]
    board = Board.connected(service, phantoms, "Suspicious")
    boards.append(board)
    service.rest()
    tasks = sorted(board.truth)
    wrong_task = tasks[4]
    mask = (board.truth[wrong_task].mask > 0).astype(np.uint8)
    mask[80:] = 0
    mask[5:60, 5:50] = 1
    faulty = results(mask, board.config)
    wrong = int(service.label_studio.submit_annotation(wrong_task, faulty)["id"])
    for task in tasks:
        if task != wrong_task:
            board.submit(task)

    # As wide as the shipped weights, so that its networks know hands.
    project = ("suspicious", "--project", str(board.id))
    away = {"LABEL_STUDIO_PUBLIC_URL": "https://labels.example/"}
    ran = service.command(*project, "--steps", "30", "--view", NETWORK_WIDTH="16", **away)
    assert ran.returncode == 0, ran.stderr
    opened = f"https://labels.example/projects/{board.id}/data"
    assert f"{opened}?task={wrong_task}" in ran.stdout, "as people open it"
    assert f"{opened}?tab=" in ran.stdout
    assert "of 9 examined labels look wrong" in ran.stdout
    found = listed(board)
    assert found[0].annotation_id == wrong, "the most suspicious one"
    assert re.search(r"\d+ pixels (of Bone|without a label) where the network sees", found[0].reason)
    left, top, right, bottom = found[0].regions[0]["box"]
    assert 0 <= left < right <= mask.shape[1]
    assert 0 <= top < bottom <= mask.shape[0]
    assert re.fullmatch(rf"p{board.id}-fold[123]-[0-9a-f]{{8}}", found[0].version)
    for which in ("drawn", "seen"):
        picture = service.call("GET", f"/projects/{board.id}/labels/{wrong}/{which}")
        assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/jpeg")
    assert shown(board) == sorted(row.task_id for row in found)

    # Pressing Update without a change.
    service.label_studio.patch_annotation(wrong, faulty)
    with service.context() as context:
        asked = ask(
            service.database,
            context.queues,
            ActionKind.CHECK,
            project_id=board.id,
            who="Ann",
            via="page",
        )
        perform.__wrapped__(context, asked.id)  # type: ignore[attr-defined]
    assert wrong not in [row.annotation_id for row in listed(board)]
    assert not check_views(board) or wrong_task not in shown(board)
    with service.database.read() as session:
        done = actions.get(session, asked.id)
    assert done is not None
    assert done.state is ActionState.DONE
    assert "“Check these labels”" in done.outcome

    removed = service.command("suspicious", "--project", str(board.id), "--no-view")
    assert removed.returncode == 0, removed.stderr
    assert not check_views(board)


def test_too_few_labels_are_refused_in_a_sentence(service: Service, boards: list[Board]) -> None:
    board = Board.connected(service, [draw_phantom(5, seed=1, size=(128, 160))], "Too few")
    boards.append(board)
    service.rest()
    board.submit(next(iter(board.truth)))
    ran = service.command("suspicious", "--project", str(board.id))
    assert ran.returncode == 1
    assert "1 labelled images are too few" in " ".join(ran.stderr.split())
    unknown = service.command("suspicious", "--project", "98765")
    assert unknown.returncode == 1
    assert "98765" in unknown.stderr


def examination(board: Board) -> Examination | None:
    with board.service.database.read() as session:
        return examinations.get(session, board.id)


def trained(board: Board) -> list[dict[str, Any]]:
    """The folds whose networks are trained."""
    known = examination(board)
    return [] if known is None else [fold for fold in known.folds if fold["weights"]]


def is_finished(board: Board) -> bool:
    with board.service.database.read() as session:
        extent = examinations.extent(session, session.get_one(Project, board.id))
    return extent is not None and extent.is_finished


def test_an_idle_worker_examines_labels_gives_way_to_a_new_one_and_goes_on(
    service: Service, boards: list[Board]
) -> None:
    board = Board.connected(service, [draw_phantom(n, seed=n, size=(128, 160)) for n in range(8)], "Idle")
    boards.append(board)
    tasks = sorted(board.truth)
    for task in tasks[:7]:
        board.submit(task)
    service.work(TRAIN_STEPS="10", RETRAIN_EVERY="7")
    board.await_round(1)
    service.settle()
    assert examination(board) is None, "EXAMINE_FROM=0 switches it off"

    # A worker that starts asks at once what there is to do; one that runs, every half minute.
    idle = {"TRAIN_STEPS": "40", "RETRAIN_EVERY": "7", "EXAMINE_FROM": "6"}
    service.work(**idle)
    first = service.wait(lambda: trained(board), "the first network")[0]
    board.submit(tasks[7])
    service.wait(lambda: "labels to learn" in str(examination(board).message), "it gives way")  # type: ignore[union-attr]
    assert "it goes on when the worker has nothing else to do" in service.command("status").stdout
    assert not is_finished(board)
    board.await_round(2)
    service.settle()
    service.rest()
    service.work(**idle)
    service.wait(lambda: is_finished(board), "the end of the examination")

    folds = trained(board)
    assert len(folds) == 3
    assert folds[0] == first, "what was done before is not done again"
    with service.database.read() as session:
        rows = {row.task_id: row for row in suspicious.of_project(session, board.id)}
    assert sorted(rows) == tasks
    by_version = {fold["version"]: fold["held"] for fold in folds}
    for task in tasks[:7]:
        assert task in by_version[rows[task].version], "examined by the network that did not learn it"
    assert all(run.state is RunState.FINISHED for run in board.runs())
    assert "all 8 labels are examined" in service.command("status").stdout
