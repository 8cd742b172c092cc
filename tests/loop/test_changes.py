"""Which label changes count, and what a training does with them."""

from __future__ import annotations

import pytest

from model.research.phantom import Phantom
from tests.loop.board import MakeBoard
from tests.loop.service import Service


def test_every_change_counts_once(service: Service, make_board: MakeBoard, phantoms: list[Phantom]) -> None:
    board = make_board(phantoms[:8])
    client = service.label_studio
    first, second = board.annotate(2)

    # Repeated edits of an annotation are one change; a skip is none.
    for _ in range(3):
        client.patch_annotation(second, board.regions(board.next_task() or 0))
    skipped = board.next_task()
    assert skipped is not None
    client.submit_annotation(skipped, [], skip=True)
    assert board.changes() == 2
    assert board.next_task() != skipped

    # "Start training" starts a training at once, on the two labels.
    client.start_training(board.backend)
    version = board.await_round(1)
    assert version.labels_used == 2
    assert board.changes() == 0

    # A deleted annotation is a change; a single change triggers a training after a quiet time.
    client.delete_annotation(first)
    service.wait(lambda: board.changes() == 1, "the change")
    assert [run.state for run in board.runs()] == ["finished"]

    # Imported annotations send no event; the next training finds them.
    data = {"image": client.task_data(board.id, [skipped])[skipped]["image"]}
    imported = {"data": data, "annotations": [{"result": board.regions(skipped)}]}
    service.ask_label_studio("POST", f"/api/projects/{board.id}/import", json=[imported])
    version = board.await_round(2)
    assert version.labels_used == 2
    assert board.changes() == 0
    assert len(board.runs()) == 2


def test_a_version_that_is_clearly_worse_is_kept_and_reported(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:13])
    service.rest()
    board.annotate(9)
    service.work(TRAIN_STEPS="80", VALIDATION_FRACTION="0.7")
    champion = board.await_round(1)
    assert champion.state == "published"
    service.work(TRAIN_FROM="scratch", TRAIN_STEPS="1", PUBLISH_MARGIN="0.0", VALIDATION_FRACTION="0.7")
    before = board.annotate(1) and board.order()
    challenger = board.await_round(2)
    assert challenger.state == "rejected"
    assert challenger.weights_hash is not None
    assert f"Not published. Worse than {champion.name}: DSC" in challenger.message
    assert board.shown_version() == champion.name
    assert board.order() == before
    assert board.stored() == {champion.name: 4}
    assert challenger.message in service.command("status").stdout.replace("\n", "")


def test_labels_of_the_validation_images_never_train(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:7])
    board.annotate(3)
    first = board.await_round(1)
    assert (first.metrics["training_images"], first.metrics["validation_images"]) == (2, 1)
    board.annotate(3)
    second = board.await_round(2)
    assert (second.metrics["training_images"], second.metrics["validation_images"]) == (5, 1)
    assert second.metrics["champion_validation_dsc"] == pytest.approx(first.metrics["validation_dsc"])
    assert second.parent_id == first.id
