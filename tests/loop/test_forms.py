"""The loop with polygons: learned from, scored, and pre-annotated as polygons."""

from __future__ import annotations

import numpy as np
import pytest

from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.score.prediction import load_segmenter
from model.consistency import dice
from model.imaging.decoding import decode_image
from model.research.phantom import Phantom
from tests.loop.board import MakeBoard, png
from tests.loop.service import Service

LABEL = '<Label value="Bone"/>'
POLYGONS = (
    '<PolygonLabels name="outline" toName="image" model_threshold="0.3" model_tolerance="2" '
    f'model_speed="fast">{LABEL}</PolygonLabels>'
)
BOXES = f'<RectangleLabels name="box" toName="image">{LABEL}</RectangleLabels>'
IMAGE = '<Image name="image" value="$image"/>'


def test_the_loop_works_with_polygons(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:6])
    client = service.label_studio
    client.patch_project(board.id, label_config=f"<View>{IMAGE}{BOXES}{POLYGONS}</View>")
    board.config = board.read_config(service, board.id)
    board.annotate(2)
    boxes = parse(f"<View>{IMAGE}{BOXES}</View>")
    task = board.next_task()
    assert task is not None
    client.submit_annotation(task, results((board.truth[task].mask > 0).astype(np.uint8), boxes))
    version = board.await_round(1)
    assert version.labels_used == 3
    assert version.metrics["problems"] == []

    assert version.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(version.weights_hash))
    drawn = 0
    for task, score in board.order():
        image = decode_image(png(board.truth[task].image))
        found = segmenter.segment([image], threshold=0.3)[0]
        again = (dice(found.lower > 0, found.final > 0) + dice(found.middle > 0, found.final > 0)) / 2
        assert score == pytest.approx(again if found.final.any() else 0.0, abs=1e-6)
        (prediction,) = [one for one in board.predictions(task) if one["model_version"] == version.name]
        assert {region["type"] for region in prediction["result"]} <= {"polygonlabels"}
        shown = board.mask_of(prediction, found.final.shape)
        assert shown is not None
        if found.final.any():
            drawn += 1
            assert dice(shown > 0, found.final > 0) >= 0.99
    assert drawn, "the test needs a network that finds something"

    # An unknown knob is reported and has no effect.
    status = " ".join(service.command("status").stdout.split())
    assert '<PolygonLabels name="outline"> has an unknown knob model_speed' in status
