"""A project with bone labels has masks and an order before anybody has labelled anything."""

from __future__ import annotations

import numpy as np
import pytest

from model.metrics import mean_dice
from model.research.phantom import Phantom, draw_phantom
from model.weights import load_version
from tests.loop.board import Board
from tests.loop.service import Service

# Few steps, as the network is sixteen times as wide as in the other tests; its quality is not tested.
SETTINGS = {"INITIAL_WEIGHTS": "hand-bones", "TRAIN_STEPS": "2", "PUBLISH_MARGIN": "1.0"}


def larger() -> list[Phantom]:
    return [draw_phantom(age, seed=age, size=(288, 360)) for age in (3, 6, 9, 12, 15)]


def test_the_first_task_opens_with_a_mask(service: Service, boards: list[Board]) -> None:
    service.work(**SETTINGS)
    boards.append(Board.connected(service, larger()))
    (board,) = boards
    first = service.wait(board.published, "the first order")
    assert (first.round, first.labels_used) == (0, 0)
    assert first.weights_hash is not None

    # Each task has a good mask, and the order follows the scores.
    scored = board.scores(first)
    found = []
    for task, phantom in board.truth.items():
        (prediction,) = board.predictions(task)
        drawn = board.mask_of(prediction, phantom.mask.shape)
        assert drawn is not None
        found.append(mean_dice(drawn, (phantom.mask > 0).astype(np.uint8), 1))
        row = scored[task]
        assert row.l_dsc is not None
        assert row.m_dsc is not None
        assert prediction["score"] == pytest.approx((row.l_dsc + row.m_dsc) / 2)
    assert np.mean(found) > 0.8
    shown = [score for _, score in board.order()]
    assert shown == sorted((score for score in shown if score is not None), reverse=True)
    assert board.next_task() == board.order()[0][0]

    # Training continues from these weights, with their width and image size.
    board.annotate(3)
    second = board.await_round(1)
    assert (second.parent_id, second.labels_used) == (first.id, 3)
    assert second.weights_hash is not None
    (before, _), (after, card) = (
        load_version(service.weights.get(one)) for one in (first.weights_hash, second.weights_hash)
    )
    assert after.settings == before.settings
    assert after.settings.width != service.settings.network_width
    assert card.preprocessing.size != service.settings.image_size


def test_other_projects_start_in_random_order(service: Service, boards: list[Board]) -> None:
    service.work(**SETTINGS)
    boards.append(Board.connected(service, larger()[:1], labels=["Nucleus"]))
    (board,) = boards
    first = service.wait(board.published, "the first order")
    assert first.weights_hash is None
    assert [one["result"] for task in board.truth for one in board.predictions(task)] == [[]]


def test_a_wrong_weights_folder_is_refused_in_one_sentence(service: Service) -> None:
    result = service.command("worker", INITIAL_WEIGHTS="/nowhere")
    assert result.returncode == 2
    assert "INITIAL_WEIGHTS must be hand-bones, none or the folder of a version" in result.stderr
