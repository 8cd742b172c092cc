"""The paper's active learning loop, as a user of Label Studio sees it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from ml_backend.score.prediction import load_segmenter
from model.imaging.decoding import decode_image
from model.research.phantom import Phantom
from model.training.splitting import placement
from tests.loop.board import MakeBoard, png
from tests.loop.service import AUTH, Service


def dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Equation (3) on two masks of one label, implemented independently."""
    return float(2 * np.logical_and(a, b).sum() / (a.sum() + b.sum()))


def test_the_loop_runs(service: Service, make_board: MakeBoard, phantoms: list[Phantom]) -> None:
    board = make_board(phantoms[:10])

    # Before the first version: a seeded random order, no masks.
    first = board.published()
    assert first is not None
    assert first.weights_hash is None
    assert board.shown_version() == first.name
    seed = service.settings.seed
    expected = {task: placement(f"task {task}", seed) for task in board.truth}
    assert dict(board.order()) == pytest.approx(expected)
    assert [task for task, _ in board.order()] == sorted(expected, key=lambda task: -expected[task])
    assert board.next_task() == max(expected, key=lambda task: expected[task])
    assert all(one["result"] == [] for task in board.truth for one in board.predictions(task))

    # Predictions of another model, imported by hand.
    foreign = [{"task": task, "result": [], "score": 0.5, "model_version": "mine"} for task in board.truth]
    service.label_studio.import_predictions(board.id, foreign)

    # Three annotations lead to exactly one version.
    board.annotate(3)
    version = board.await_round(1)
    service.wait(lambda: first.name not in board.stored(), "pruning of the old version")
    assert version.state == "published"
    assert version.labels_used == 3
    assert [one.round for one in board.versions()] == [1, 0]
    assert len(board.runs()) == 1
    assert board.shown_version() == version.name
    assert service.call("POST", "/setup", json={"project": f"{board.id}.1"}).json() == {
        "model_version": version.name
    }

    # Label Studio serves the highest score first, and each score is the consistency of the masks.
    order = board.order()
    assert len(order) == 7
    assert board.next_task() == max(order, key=lambda one: one[1] or 0)[0]
    assert version.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(version.weights_hash))
    drawn = 0
    for task, score in order:
        found = segmenter.segment([decode_image(png(board.truth[task].image))])[0]
        if found.final.any():
            drawn += 1
            again = (dice(found.lower, found.final) + dice(found.middle, found.final)) / 2
        else:
            again = 0.0
        assert score == pytest.approx(again, abs=1e-6)
        (prediction,) = [one for one in board.predictions(task) if one["model_version"] == version.name]
        assert prediction["score"] == pytest.approx(again, abs=1e-6)
        shown = board.mask_of(prediction, found.final.shape)
        assert shown is not None
        assert np.array_equal(shown, found.final)
    assert drawn, "the test needs a network that finds something"

    # The other model's predictions are kept; of ours only those of the published version are left.
    assert board.stored() == {"mine": 10, version.name: 7}


def test_the_same_seed_gives_the_same_first_order(make_board: MakeBoard, phantoms: list[Phantom]) -> None:
    board = make_board(phantoms[:3])
    other = make_board(phantoms[:3])
    for one in (board, other):
        expected = {task: placement(f"task {task}", 0) for task in one.truth}
        assert dict(one.order()) == pytest.approx(expected)


def test_a_version_becomes_visible_only_when_complete(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:12])
    old = board.published()
    assert old is not None
    board.annotate(3)
    order, first = [task for task, _ in board.order()], board.next_task()
    # All predictions are in Label Studio, and the version is not published yet.
    sent = (
        "SELECT version_id FROM scores JOIN versions ON versions.id = version_id WHERE project_id = ? AND "
        "round = 1 AND versions.state = 'scoring' "
        "GROUP BY version_id HAVING sum(scores.state = 'written') = 9"
    )
    with service.frozen_when(sent, board.id):
        assert sum(count for name, count in board.stored().items() if name != old.name) == 9
        assert board.shown_version() == old.name
        assert board.next_task() == first
        assert [task for task, _ in board.order()] == order
    version = board.await_round(1)
    assert board.shown_version() == version.name
    assert dict(board.order()).keys() == set(order)
    assert board.next_task() == board.order()[0][0]


def test_new_tasks_are_scored_by_the_published_version(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:5])
    board.annotate(3)
    version = board.await_round(1)
    added = board.add(phantoms[5:8])
    service.wait(lambda: board.stored().get(version.name) == 5, "scores of the new tasks")
    assert {task for task, score in board.order() if score is not None} >= set(added)

    # A task that is opened before a worker scores it: Label Studio calls /predict and stores the answer.
    service.rest()
    (late,) = board.add(phantoms[8:9])
    shown = board.open(late)
    if not shown:  # the first /predict may need longer than PREDICT_SECONDS to load torch
        shown = board.open(late)
    assert [one["model_version"] for one in shown] == [version.name]
    service.work()
    service.wait(lambda: late in board.scores(version) and board.idle(), "the late task's score")
    assert board.duplicates(version.name) == []
    assert board.scores(version)[late].score == pytest.approx(shown[0]["score"], abs=1e-6)


def test_tasks_that_reuse_the_ids_of_deleted_ones_are_scored(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    """When all tasks are deleted, Label Studio reuses their ids and sends no event."""
    board = make_board(phantoms[:4])
    version = board.published()
    assert version is not None
    service.ask_label_studio(
        "POST",
        "/api/dm/actions",
        params={"id": "delete_tasks", "project": board.id},
        json={"selectedItems": {"all": True, "excluded": []}},
    )
    service.wait(lambda: not board.all_tasks(), "the deletion")
    board.truth.clear()
    again = board.add(phantoms[:6])
    service.wait(lambda: board.stored().get(version.name) == 6, "scores of the new tasks")
    assert {task for task, score in board.order() if score is not None} == set(again)
    assert board.shown_version() == version.name


def test_an_image_is_read_as_the_browser_shows_it(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    """The mask of a 16-bit image of another size has the size of that image."""
    board = make_board(phantoms[:3])
    tasks = list(board.truth)
    wide = cv2.resize(phantoms[3].image, (211, 173)).astype(np.uint16) * 257
    task = service.label_studio.upload(board.id, {"wide.png": png(wide)})["wide.png"]
    for each in tasks:
        board.submit(each)
    version = board.await_round(1)
    (prediction,) = [one for one in board.predictions(task) if one["model_version"] == version.name]
    sizes = {(one["original_width"], one["original_height"]) for one in prediction["result"]}
    assert sizes <= {(211, 173)}
    assert dict(board.order())[task] == pytest.approx(prediction["score"])


def test_the_service_requires_its_password(service: Service) -> None:
    for path in ("/setup", "/predict", "/webhook"):
        assert requests.post(f"{service.url}{path}", json={}, timeout=10).status_code == 401
        assert requests.post(f"{service.url}{path}", json={}, auth=AUTH, timeout=10).status_code == 400
    assert requests.get(f"{service.url}/health", timeout=10).status_code == 200
