"""Labels are added, removed and renamed after a training: what was learned is kept."""

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
    """Validate a config as the page "Labeling Interface" does before it saves."""
    return requests.post(
        f"{board.service.label_studio.url}/api/projects/{board.id}/validate/",
        headers={"Authorization": board.service.label_studio.authorization()},
        json={"label_config": config},
        timeout=30,
    )


def relabel(board: Board, *names: str) -> None:
    """Set the project's labels through the API."""
    board.service.label_studio.patch_project(board.id, label_config=default_config(names))
    board.config = Board.read_config(board.service, board.id)


def draw(board: Board, task: int, upper: str, lower: str) -> list[dict[str, Any]]:
    """The true regions of a task, with different labels for the upper and the lower half."""
    mask = (board.truth[task].mask > 0).astype(np.uint8)
    indices = board.config.indices
    half = len(mask) // 2
    mask[:half] *= indices[upper]
    mask[half:] *= indices[lower]
    return results(mask, board.config)


def names_drawn(answers: Sequence[Sequence[dict[str, Any]]]) -> set[str]:
    """The labels of all regions in these predictions."""
    regions = (region for answer in answers for one in answer for region in one["result"])
    return {name for region in regions for name in region["value"]["brushlabels"]}


def train(board: Board, number: int) -> Version:
    """Press "Start training", and wait for the round."""
    board.service.label_studio.start_training(board.backend)
    return board.await_round(number)


def train_without_labels(board: Board) -> str:
    """Press "Start training" when there is nothing to learn from; returns the run's message."""
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
    service.work(PUBLISH_MARGIN="1.0")  # so small a network learns little
    for task in tasks[:3]:
        client.submit_annotation(task, draw(board, task, "Skin", "Bone"))
    first = board.await_round(1)
    assert first.labels == ["Skin", "Bone"]

    # One label is removed, one added at the front. Label Studio's page refuses the removal, its API does not.
    refusal = validate(board, default_config(["Nail", "Bone"]))
    assert refusal.status_code == 400
    assert (
        "These labels still exist in annotations or drafts:\nSkin"
        in refusal.json()["validation_errors"]["non_field_errors"][0]
    )
    assert validate(board, default_config(["Nail", "Bone", "Skin"])).status_code == 200
    relabel(board, "Nail", "Bone")

    # Until the next training, the same weights serve their remaining labels, and all tasks are predicted
    # again.
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
    shown = service.command("status").stdout
    assert f"labels that {redrawn.name} lacks until the next training: Nail" in shown
    assert f"labels of {redrawn.name} that the labeling config no longer has: Skin" in shown
    client.submit_annotation(tasks[4], draw(board, tasks[4], "Bone", "Nail"))
    second = train(board, 3)
    assert second.labels == ["Nail", "Bone"]
    assert (second.labels_used, second.parent_id) == (5, redrawn.id), "fine-tuned, not trained from scratch"
    assert second.metrics["compared_labels"] == ["Bone"]
    assert board.runs()[0].message == "", "three annotations with Skin are not a problem"
    stored = [one for task in tasks[5:] for one in board.predictions(task)]
    assert names_drawn([[one for one in stored if one["model_version"] == second.name]]) <= {"Nail", "Bone"}

    # Entirely different labels: the published version knows none, and the next one is compared with nothing.
    relabel(board, "Ring", "Claw")
    assert board.reconcile()
    blank = board.await_round(4)
    assert blank.weights_hash == second.weights_hash
    assert train_without_labels(board).startswith("5 tasks, such as task ")
    asked = [{"id": task, "data": data} for task, data in client.task_data(board.id, tasks[5:]).items()]
    answers = service.wait(lambda: [answer for answer in board.predict(asked) if answer], "an answer")
    assert names_drawn(answers) == set(), "the published version still answers, without masks"
    client.submit_annotation(tasks[5], draw(board, tasks[5], "Ring", "Claw"))
    client.submit_annotation(tasks[6], draw(board, tasks[6], "Claw", "Ring"))
    third = train(board, 5)
    assert (third.state, third.labels) == ("published", ["Ring", "Claw"])
    assert (third.labels_used, third.parent_id) == (2, blank.id)
    assert third.metrics.get("compared_labels", []) == []
    assert third.weights_hash is not None
    network, card = load_version(service.weights.get(third.weights_hash))
    assert (card.labels, network.settings.classes, card.parent) == (("Ring", "Claw"), 3, blank.name)
