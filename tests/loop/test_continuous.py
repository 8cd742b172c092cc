"""Continuous learning as annotators see it: masks follow the labels at once, the order only as a whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from ml_backend.label_studio.config import default_config
from ml_backend.reconcile import lifecycle
from ml_backend.store import drafts, edits, projects, runs
from ml_backend.store.models import RunState, TrainingRun
from ml_backend.store.states import Provenance
from model.research.phantom import Phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

LEARNING = {
    "LEARN_FROM": "2",
    "RETRAIN_EVERY": "5",
    "QUIET_SECONDS": "600",
    "TRAIN_STEPS": "40",
    "TURN_SECONDS": "5",
}


REDRAWN = (
    "SELECT 1 FROM scores JOIN versions ON versions.id = version_id WHERE project_id = ? "
    "AND versions.state = 'published' AND drawn_by_run IS NOT NULL "
    "GROUP BY version_id HAVING count(*) BETWEEN {} AND {}"
)
"""A draft has drawn so many tasks of a project, and no more."""


@pytest.fixture(scope="module", autouse=True)
def one_configuration(service: Service) -> Iterator[None]:
    """The web service has the workers' settings, as in every installation: it requests trainings at once."""
    before = dict(service.environment)
    service.environment |= LEARNING
    with service.stopped():
        pass
    yield
    service.environment.clear()
    service.environment |= before
    with service.stopped():
        pass


def draft_step(board: Board) -> int | None:
    with board.service.database.read() as session:
        draft = drafts.current(session, board.id)
        return None if draft is None else draft.step


def masks(board: Board, version: str) -> dict[int, list[object]]:
    """The regions of each unlabelled task's prediction, by task; each has exactly one."""
    found = {}
    for task, _ in board.order():
        (one,) = [one for one in board.predictions(task) if one["model_version"] == version]
        found[task] = one["result"]
    return found


@pytest.fixture
def learning(service: Service, make_board: MakeBoard, phantoms: list[Phantom]) -> Board:
    """The only active project, in its first, random order; its worker learns each label at once."""
    service.rest()
    with service.database.read() as session:
        earlier = [project.id for project in projects.active(session)]
    for project in earlier:
        lifecycle.archive(service.database, project)
    board = make_board(phantoms[:12])
    service.work(**LEARNING)
    return board


def test_two_labels_draw_the_next_task_and_leave_the_order_alone(service: Service, learning: Board) -> None:
    board = learning
    first = board.published()
    assert first is not None
    order = board.order()
    ids = {task: board.predictions(task)[0]["id"] for task, _ in order}
    labelled = board.annotate(2)
    assert len(labelled) == 2
    service.wait(lambda: any(masks(board, first.name).values()), "masks drawn by two labels")

    assert board.published().id == first.id, "the order is still the first"  # type: ignore[union-attr]
    assert board.shown_version() == first.name
    left = [pair for pair in order if pair[0] in dict(board.order())]
    assert board.order() == left, "no score has changed"
    assert all(board.predictions(task)[0]["id"] == ids[task] for task, _ in left), "open pages can submit"
    following = board.next_task()
    assert following is not None
    service.wait(lambda: masks(board, first.name)[following], "a mask on the task that is opened next")
    (run,) = board.runs()
    assert run.state is RunState.RUNNING, "the training goes on"
    service.wait(
        lambda: "which has learned from 2 labels" in service.command("status").stdout, "a sentence in status"
    )


def test_labels_join_the_running_training_and_five_make_a_round(service: Service, learning: Board) -> None:
    board = learning
    board.annotate(2)
    service.wait(lambda: draft_step(board), "a first draft")
    board.annotate(2)
    (run,) = board.runs()
    assert run.state is RunState.RUNNING
    board.annotate(1)
    version = board.await_round(1)
    assert version.labels_used == 5
    (run,) = [one for one in board.runs() if one.version_id == version.id]
    assert run.attempts == 1
    assert draft_step(board) is None, "the version takes the place of its drafts"
    assert len(board.order()) == 7
    assert set(board.stored()) == {version.name} or service.wait(
        lambda: set(board.stored()) == {version.name}, "pruning"
    )


def test_a_quiet_time_ends_a_round_with_fewer_labels(service: Service, learning: Board) -> None:
    service.work(**LEARNING | {"QUIET_SECONDS": "3"})
    learning.annotate(2)
    version = learning.await_round(1)
    assert version.labels_used == 2


def test_a_mask_that_was_on_display_is_known_after_it_was_drawn_again(
    service: Service, learning: Board
) -> None:
    board = learning
    first = board.published()
    assert first is not None
    board.annotate(2)
    # The last one in order, so that others are labelled before it.
    task = board.order()[-1][0]
    service.wait(lambda: masks(board, first.name)[task], "a mask")
    (shown,) = board.predictions(task)
    before = draft_step(board)
    # The page was opened by a click on its row: Label Studio does not know that it is open.
    board.annotate(1)
    service.wait(lambda: draft_step(board) != before, "another draft")
    service.wait(lambda: board.predictions(task)[0]["result"] != shown["result"], "another mask")
    made = service.label_studio.submit_annotation(task, shown["result"], parent_prediction=shown["id"])
    board.annotate(1)
    version = board.await_round(1)
    with service.database.read() as session:
        edit = edits.of_project(session, board.id)[int(made["id"])]
    assert edit.provenance is Provenance.ACCEPTED
    assert edit.version == version.name, "its drafts drew the mask"


def test_a_killed_training_keeps_its_steps_and_its_labels(service: Service, learning: Board) -> None:
    board = learning
    service.work(**LEARNING | {"TRAIN_STEPS": "100"})
    board.annotate(3)
    service.wait(lambda: (draft_step(board) or 0) >= 20, "a draft after some steps")
    (run,) = board.runs()
    owner = int(run.owner.rsplit("_", 2)[1])
    os.kill(owner, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(owner)] if psutil.pid_exists(owner) else [], timeout=10)
    board.annotate(2)
    version = board.await_round(1)
    assert version.labels_used == 5
    (run,) = board.runs()
    assert run.attempts == 2


def test_a_worker_killed_while_it_draws_the_next_tasks_leaves_each_with_one_known_mask(
    service: Service, learning: Board
) -> None:
    board = learning
    first = board.published()
    assert first is not None
    order = board.order()
    board.annotate(2)
    with service.frozen_when(REDRAWN.format(1, 9), board.id):
        service.kill_worker()
    left = [pair for pair in order if pair[0] in dict(board.order())]
    assert board.order() == left, "no score has changed"
    masks(board, first.name)  # Asserts that each task has exactly one.
    service.work(**LEARNING)
    service.wait(lambda: all(masks(board, first.name).values()), "masks on all tasks")
    task = left[-1][0]
    (shown,) = board.predictions(task)
    made = service.label_studio.submit_annotation(task, shown["result"], parent_prediction=shown["id"])
    board.annotate(2)
    board.await_round(1)
    with service.database.read() as session:
        edit = edits.of_project(session, board.id)[int(made["id"])]
    assert edit.provenance is Provenance.ACCEPTED, "the mask that was on display is known"


def test_masks_of_a_rejected_training_are_drawn_again_by_the_published_version(
    service: Service, learning: Board
) -> None:
    board = learning
    first = board.published()
    assert first is not None
    board.annotate(2)
    service.wait(lambda: any(masks(board, first.name).values()), "masks of a draft")
    service.rest()
    with service.database.write() as session:
        drafts.drop(session, board.id)
        run = runs.running(session, board.id)
        assert run is not None
        runs.finish(session, run, RunState.FINISHED)
    with service.context() as context:
        context.queues.forget_project(board.id, [])
        context.queues.request_redraw(board.id)
    service.work()
    # The first version has no weights, so it draws nothing.
    service.wait(lambda: not any(masks(board, first.name).values()), "pages without masks")


def test_projects_take_turns(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom], learning: Board
) -> None:
    other = make_board(phantoms[:8])
    service.work(**LEARNING | {"TRAIN_STEPS": "100000", "TRAIN_SECONDS": "100000"})
    learning.annotate(2)
    service.wait(lambda: draft_step(learning), "a draft of the first project")
    other.annotate(2)
    service.wait(lambda: draft_step(other), "a draft of the other project")
    with service.database.read() as session:
        run = runs.running(session, learning.id)
        assert isinstance(run, TrainingRun)
        assert run.message == "waits for the training of another project"
    before = draft_step(learning)
    service.wait(lambda: draft_step(learning) != before, "the first project's next turn")


def test_a_training_that_is_asked_for_is_the_one_that_runs(service: Service, learning: Board) -> None:
    learning.annotate(2)
    service.wait(lambda: draft_step(learning), "a draft")
    done = service.command("train", "--project", str(learning.id))
    assert "Training finished: 2 labels" in done.stdout, done.stderr
    assert len(learning.runs()) == 1
    learning.await_round(1)


def test_labels_of_a_changed_config_are_left_to_the_next_run(service: Service, learning: Board) -> None:
    board = learning
    board.annotate(2)
    service.wait(lambda: draft_step(board), "a draft")
    service.label_studio.patch_project(board.id, label_config=default_config(["Bone", "Nail"]))
    board.config = Board.read_config(service, board.id)
    board.annotate(1)
    first = service.wait(
        lambda: next((one for one in board.versions() if one.round == 1), None), "the end of the round"
    )
    assert first.labels == ["Bone"]
    assert first.labels_used == 2
    board.annotate(4)
    second = board.await_round(2)
    assert second.labels == ["Bone", "Nail"]
    assert second.labels_used == 7


def test_predict_draws_by_the_newest_weights_and_scores_by_the_version(
    service: Service, learning: Board, phantoms: list[Phantom]
) -> None:
    board = learning
    board.annotate(2)
    service.wait(lambda: draft_step(board), "a draft")
    task, score = board.order()[-1]
    data = service.label_studio.task_data(board.id, [task])[task]

    def answer() -> dict[str, Any] | None:
        (found,) = board.predict([{"id": task, "data": data, "project": board.id}])
        return found[0] if found and found[0]["result"] else None

    found = service.wait(answer, "a mask in time")
    assert found["score"] == pytest.approx(score)
    assert board.mask_of(found, phantoms[0].image.shape) is not None
