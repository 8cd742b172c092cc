"""Each mask has an estimate of its Dice."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from ml_backend.score.prediction import load_segmenter
from ml_backend.store.models import Part, Split
from model.imaging.decoding import decode_image
from model.metrics import mean_dice
from model.quality import calibrate
from model.research.phantom import Phantom
from tests.loop.board import MakeBoard, png
from tests.loop.service import Service


def test_masks_have_an_estimate_of_their_dice(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:13])
    service.rest()
    board.annotate(10)
    service.work(VALIDATION_FRACTION="0.7")
    version = board.await_round(1)

    # The calibration on the validation images, computed independently.
    assert version.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(version.weights_hash))
    validation = select(Split.task_id).where(Split.project_id == board.id, Split.part == Part.VALIDATION)
    with service.database.read() as session:
        tasks = sorted(session.scalars(validation))
    assert len(tasks) == version.metrics["validation_images"] >= 6
    known = []
    for task in tasks:
        found = segmenter.segment([decode_image(png(board.truth[task].image))])[0]
        truth = (board.truth[task].mask > 0).astype(np.uint8)
        if not found.consistency.blank:
            known.append((found.measurement("").confidence, mean_dice(found.final, truth, 1)))
    expected = calibrate([confidence for confidence, _ in known], [dsc for _, dsc in known])
    assert expected is not None, "the test needs enough masks that are not blank"

    # Every waiting mask has it, and `dsal status` shows it.
    rows = board.scores(version)
    assert len(rows) == 3
    for task, row in rows.items():
        if row.blank:
            assert (row.quality, row.margin) == (None, None)
        else:
            (found,) = segmenter.segment([decode_image(png(board.truth[task].image))])
            confidence = found.measurement("").confidence
            assert row.quality == pytest.approx(expected.estimate(confidence).dsc, abs=1e-4)
            assert row.margin == pytest.approx(expected.margin, abs=1e-6)
    if not all(row.blank for row in rows.values()):
        assert f"from {expected.images} validation images" in service.command("status").stdout
