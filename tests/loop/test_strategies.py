"""Query strategies in the running service: Label Studio serves the order of the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.label_studio.blueprint import BATCH_VERSION, is_shared_view
from ml_backend.label_studio.data_manager import TO_LABEL
from ml_backend.score.packing import FEATURES
from ml_backend.score.prediction import load_segmenter
from ml_backend.store.models import Project, RunState, Version
from model.imaging.decoding import decode_image
from model.research.phantom import Phantom
from model.strategies import Measurement, parse, priorities
from tests.loop.board import Board, MakeBoard, png
from tests.loop.service import Service
from tests.people import plain_stream

BATCH = 3
"""The service's QUERY_SIZE."""


def choose(board: Board, strategy: str) -> None:
    """Set the strategy in the labeling config, as the page "Labeling Interface" saves it.

    Then compare, as a worker does every RECONCILE_SECONDS. The comparison finds nothing if a job has seen the
    change first: that job requests the order.
    """
    xml = board.service.label_studio.project(board.id)["label_config"]
    plain = " ".join(part for part in xml.split(" ") if not part.startswith("model_strategy="))
    knob = f'<BrushLabels model_strategy="{strategy}" '
    board.service.label_studio.patch_project(board.id, label_config=plain.replace("<BrushLabels ", knob))
    board.reconcile()


def measure(service: Service, board: Board, version: Version) -> dict[int, Measurement]:
    """Measurements of each unlabelled task by the version's network, computed independently.

    Features are rounded as they are between measuring and ranking, because rounding may make distances equal.
    """
    assert version.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(version.weights_hash))
    found = {}
    for task, _ in board.order():
        one = segmenter.segment([decode_image(png(board.truth[task].image))])[0].measurement(str(task))
        found[task] = replace(one, features=one.features.astype(FEATURES).astype(np.float32))
    return found


def by_priority(
    name: str,
    known: dict[int, Measurement],
    service: Service,
    labelled: Sequence[NDArray[np.float32]] = (),
) -> list[int]:
    """The tasks in the strategy's own order, the batch first."""
    strategy, tasks = parse(name), list(known)
    values = priorities(strategy, list(known.values()), labelled, BATCH, service.settings.seed)
    sign = -1 if strategy.highest_first else 1
    return [tasks[index] for index in np.argsort(sign * values, kind="stable")]


def left_of(board: Board, tasks: list[int]) -> list[int]:
    """Those of `tasks` that are not labelled."""
    labelled = board.labels()
    return [task for task in tasks if task not in labelled]


def directions(board: Board) -> tuple[str, list[str]]:
    """The project's sampling and the ordering of our view."""
    return board.service.label_studio.project(board.id)["sampling"], board.view_data()["ordering"]


def test_the_served_order_is_that_of_the_strategy(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:11])
    assert directions(board) == ("Sequential sampling", ["-tasks:predictions_score"])
    service.work()

    # Before the first training the order is random; the strategy sets only its direction.
    choose(board, "disagreement")
    lowest_first = ("Uncertainty sampling", ["tasks:predictions_score"])
    service.wait(lambda: directions(board) == lowest_first, "the reversed direction")
    assert [one.round for one in board.versions()] == [0]
    assert board.next_task() == board.order(highest_first=False)[0][0]

    # The same scores as in the paper's strategy, in the opposite direction; blank masks are last.
    board.annotate(3)
    trained = board.await_round(1)
    assert trained.strategy == "disagreement"
    known = measure(service, board, trained)
    expected = {task: 1.0 if one.consistency.blank else one.consistency.score for task, one in known.items()}
    shown = board.order(highest_first=False)
    assert dict(shown) == pytest.approx(expected, abs=1e-6)
    assert [score for _, score in shown] == sorted(score for _, score in shown if score is not None)
    lowest = min(score for _, score in shown if score is not None)
    assert expected[board.next_task() or 0] == pytest.approx(lowest, abs=1e-6)
    assert expected[plain_stream(service.label_studio, board.id) or 0] == pytest.approx(lowest, abs=1e-6)
    assert "ordered by disagreement: the lowest score first" in service.command("status").stdout

    # A new strategy needs no training, and reads no image again. The batch is chosen jointly, the score stays
    # what it was, and the view contains the batch alone.
    choose(board, "entropy+clusters")
    version = board.await_round(2)
    assert (version.strategy, version.weights_hash) == ("entropy+clusters", trained.weights_hash)
    assert f"{version.name} takes over 8 of 8 images from {trained.name}" in service.log("worker")
    stored = {version.name: 8, BATCH_VERSION: BATCH}
    service.wait(lambda: board.stored() == stored, "pruning of the former order")
    assert len(board.runs()) == 1
    assert directions(board) == lowest_first
    assert dict(board.order(highest_first=False)) == pytest.approx(expected, abs=1e-6)
    ranked = by_priority("entropy+clusters", known, service)
    assert board.in_view() == sorted(ranked[:BATCH], key=lambda task: expected[task])

    # "Label All Tasks" ignores every view: it serves the lowest score of all tasks, in the batch or not.
    task = plain_stream(service.label_studio, board.id)
    assert task is not None
    assert expected[task] == min(expected[one] for one in left_of(board, list(expected)))
    board.submit(task)
    assert board.next_task() == board.in_view()[0]

    # Each labelled task makes room for the next one; the others stay, so that nobody's list jumps.
    rules = board.view_data()
    board.annotate(1)
    service.wait(lambda: set(board.in_view()) == set(left_of(board, ranked)[:BATCH]), "the refilled batch")

    # The next version chooses another batch; pages that are open keep sending the same filter.
    board.annotate(1)
    third = board.await_round(3)
    service.wait(lambda: board.stored().get(BATCH_VERSION) == BATCH, "the marks of the next batch")
    assert board.view_data() == rules
    again = by_priority("entropy+clusters", measure(service, board, third), service)
    assert set(board.in_view()) == set(again[:BATCH])

    # A task that is added later is placed individually, and never precedes the batch.
    (late,) = board.add([phantoms[11]])
    service.wait(lambda: late in dict(board.order()), "the score of a new task")
    assert set(board.in_view()) == set(again[:BATCH])

    # Lost marks and a changed filter are restored like everything else that makes the order.
    service.label_studio.delete_model_version(board.id, BATCH_VERSION)
    service.label_studio.patch_view(board.view, board.id, {**rules, "filters": TO_LABEL})
    assert board.reconcile()
    service.wait(lambda: set(board.in_view()) == set(again[:BATCH]), "the restored batch")
    assert board.view_data() == rules

    # A strategy that follows the score needs no batch.
    choose(board, "disagreement")
    fourth = board.await_round(4)
    service.wait(lambda: board.stored() == {fourth.name: 6}, "the end of the marks")
    assert board.in_view() == [task for task, _ in board.order(highest_first=False)]


def test_the_batch_is_refilled_while_a_training_runs(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:12])
    choose(board, "core-set")
    service.work()
    board.annotate(3)
    first = board.await_round(1)
    service.wait(lambda: board.stored() == {first.name: 9, BATCH_VERSION: BATCH}, "the batch")
    service.work(TRAIN_STEPS="", TRAIN_SECONDS="20")
    board.annotate(BATCH)
    service.wait(lambda: board.runs()[0].message.startswith("step"), "the second training")
    for _ in range(2):
        service.wait(lambda: len(board.in_view()) == BATCH, "a full batch")
        board.annotate(1)
    assert board.runs()[0].state is RunState.RUNNING
    service.work()
    board.await_round(2)


def test_a_batch_survives_a_worker_killed_during_its_choice(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:11])
    choose(board, "core-set")
    service.work()
    board.annotate(3)
    measured = (
        "SELECT 1 FROM scores JOIN versions ON versions.id = version_id "
        "WHERE project_id = ? AND round = 1 AND scores.state = 'measured'"
    )
    with service.frozen_when(measured, board.id):
        service.kill_worker()
    sending = measured.replace("measured", "writing")
    service.work()
    with service.frozen_when(sending, board.id):
        service.kill_worker()
    service.work()
    version = board.await_round(1)
    service.wait(lambda: board.stored() == {version.name: 8, BATCH_VERSION: BATCH}, "pruning")
    assert board.duplicates(version.name) == []
    labelled = [task.id for task in service.label_studio.tasks(board.id, unlabelled=False)]
    assert version.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(version.weights_hash))
    features = [
        segmenter.segment([decode_image(png(board.truth[task].image))])[0].measurement(str(task)).features
        for task in labelled
    ]
    known = measure(service, board, version)
    chosen = by_priority("core-set", known, service, features)[:BATCH]
    assert set(board.in_view()) == set(chosen)
    expected = {task: 1.0 if one.consistency.blank else one.consistency.score for task, one in known.items()}
    assert dict(board.order(highest_first=False)) == pytest.approx(expected, abs=1e-6)


def test_a_view_that_is_made_for_an_ordered_project_is_never_empty(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:9])
    choose(board, "core-set")
    service.work()
    board.annotate(3)
    version = board.await_round(1)
    service.wait(lambda: len(board.in_view()) == BATCH, "the batch")
    service.settle()
    service.rest()
    # As if the ML backend had been added by hand, and never by `dsal connect`.
    service.label_studio.delete_view(board.view)
    service.label_studio.delete_model_version(board.id, BATCH_VERSION)
    with service.database.write() as session:
        session.get_one(Project, board.id).shows_batch = False
    connected = service.command("connect", "--project", str(board.id), "--backend", service.url)
    assert connected.returncode == 0, connected.stderr
    (made,) = [one for one in service.label_studio.views(board.id) if is_shared_view(one)]
    board.view = made["id"]
    assert set(board.in_view()) == set(board.scores(version)), "no task is marked yet"
    service.work()
    service.wait(lambda: len(board.in_view()) == BATCH, "the batch in the new view")
