"""Labels are added, removed and renamed after a training: what was learned stays, and nothing breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import requests

from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.regions.masks import results
from ml_backend.score.prediction import load_segmenter
from ml_backend.store.models import Version
from model.imaging.decoding import decode_image
from model.research.phantom import Phantom
from model.weights import load_version
from tests.loop.board import Board, MakeBoard, png
from tests.loop.service import Service


def validate(board: Board, config: str) -> requests.Response:
    """What the page "Labeling Interface" asks before it saves."""
    return requests.post(
        f"{board.service.label_studio.url}/api/projects/{board.id}/validate/",
        headers={"Authorization": board.service.label_studio.authorization()},
        json={"label_config": config},
        timeout=30,
    )


def relabel(board: Board, *names: str) -> None:
    """Give the project these labels, by the API."""
    board.service.label_studio.patch_project(board.id, label_config=default_config(names))
    board.config = Board.read_config(board.service, board.id)


def draw(board: Board, task: int, upper: str, lower: str) -> list[dict[str, Any]]:
    """What is true of a task, its upper and lower half under different labels."""
    mask = (board.truth[task].mask > 0).astype(np.uint8)
    indices = board.config.indices
    half = len(mask) // 2
    mask[:half] *= indices[upper]
    mask[half:] *= indices[lower]
    return results(mask, board.config)


def names_drawn(answers: Sequence[Sequence[dict[str, Any]]]) -> set[str]:
    """The labels of all regions of all predictions of some tasks."""
    regions = (region for answer in answers for one in answer for region in one["result"])
    return {name for region in regions for name in region["value"]["brushlabels"]}


def train(board: Board, number: int) -> Version:
    """Press "Start training", and wait for the round."""
    board.service.label_studio.start_training(board.backend)
    return board.await_round(number)


def train_in_vain(board: Board) -> str:
    """Press "Start training" where there is nothing to learn from; what the run says at its end."""
    before = len(board.runs())
    board.service.label_studio.start_training(board.backend)

    def ended() -> str | None:
        runs = board.runs()
        return runs[0].message if len(runs) > before and runs[0].finished_at else None

    return board.service.wait(ended, "the end of the run")


def test_labels_change_after_the_training(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:7])
    client = service.label_studio
    tasks = sorted(board.truth)
    relabel(board, "Skin", "Bone")
    service.work(PUBLISH_MARGIN="1.0")  # however little so small a net learns
    for task in tasks[:3]:
        client.submit_annotation(task, draw(board, task, "Skin", "Bone"))
    first = board.await_round(1)
    assert first.labels == ["Skin", "Bone"]

    # One label is removed, one added at the front. Label Studio's page refuses the first, its API does not.
    refusal = validate(board, default_config(["Nail", "Bone"]))
    assert refusal.status_code == 400
    assert (
        "These labels still exist in annotations or drafts:\nSkin"
        in refusal.json()["validation_errors"]["non_field_errors"][0]
    )
    assert validate(board, default_config(["Nail", "Bone", "Skin"])).status_code == 200
    relabel(board, "Nail", "Bone")

    # Until the next training the same weights serve what is left of their labels, all tasks drawn anew.
    (late,) = board.add([phantoms[7]])
    redrawn = board.await_round(2)
    assert (redrawn.weights_hash, redrawn.labels) == (first.weights_hash, first.labels)
    service.wait(lambda: board.stored() == {redrawn.name: 5}, "predictions of one version alone")
    (prediction,) = [one for one in board.predictions(late) if one["model_version"] == redrawn.name]
    assert first.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(first.weights_hash))
    found = segmenter.segment([decode_image(png(phantoms[7].image))])[0].final
    drawn = board.mask_of(prediction, found.shape)
    assert drawn is not None
    assert prediction["model_version"] == redrawn.name
    assert np.array_equal(drawn, np.where(found == 2, 2, 0)), "Bone is still the second label, Skin is gone"
    client.submit_annotation(tasks[3], draw(board, tasks[3], "Nail", "Bone"))
    told = service.command("status").stdout
    assert f"labels that {redrawn.name} lacks until the next training: Nail" in told
    assert f"labels of {redrawn.name} that the labeling config no longer has: Skin" in told
    client.submit_annotation(tasks[4], draw(board, tasks[4], "Bone", "Nail"))
    second = train(board, 3)
    assert second.labels == ["Nail", "Bone"]
    assert (second.labels_used, second.parent_id) == (5, redrawn.id), "fine-tuned, not begun anew"
    assert second.metrics["compared_labels"] == ["Bone"]
    assert board.runs()[0].message == "", "three annotations with Skin are no reason to complain"
    stored = [one for task in tasks[5:] for one in board.predictions(task)]
    assert names_drawn([[one for one in stored if one["model_version"] == second.name]]) <= {"Nail", "Bone"}

    # Other labels altogether: the version in use knows none, and the next one is compared with nobody.
    relabel(board, "Ring", "Claw")
    assert board.reconcile()
    blank = board.await_round(4)
    assert blank.weights_hash == second.weights_hash
    assert train_in_vain(board).startswith("5 tasks, such as task ")
    asked = [{"id": task, "data": data} for task, data in client.task_data(board.id, tasks[5:]).items()]
    answers = service.wait(lambda: [answer for answer in board.predict(asked) if answer], "an answer")
    assert names_drawn(answers) == set(), "the version in use still answers, and draws nothing"
    client.submit_annotation(tasks[5], draw(board, tasks[5], "Ring", "Claw"))
    client.submit_annotation(tasks[6], draw(board, tasks[6], "Claw", "Ring"))
    third = train(board, 5)
    assert (third.state, third.labels) == ("published", ["Ring", "Claw"])
    assert (third.labels_used, third.parent_id) == (2, blank.id)
    assert third.metrics.get("compared_labels", []) == []
    assert third.weights_hash is not None
    network, card = load_version(service.weights.get(third.weights_hash))
    assert (card.labels, network.settings.classes, card.parent) == (("Ring", "Claw"), 3, blank.name)
