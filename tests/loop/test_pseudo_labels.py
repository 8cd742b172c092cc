"""Pseudo-labels are used in training and never shown to annotators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml_backend.label_studio.config import default_config, parse
from ml_backend.queue.context import Context, image_reader
from ml_backend.research.pseudo_labels import read_pseudo_labels
from ml_backend.score.prediction import load_segmenter
from ml_backend.store import labels_seen
from ml_backend.store.models import Part, Version
from model.imaging.decoding import decode_image
from model.imaging.preprocessing import PreprocessingSettings
from model.pretrained import pretrained_version
from model.research.phantom import Phantom
from model.training.dataset import Example, make_example
from model.weights import load_version, save_version
from tests.loop.board import Board, png
from tests.loop.service import Service

# The network's quality is not tested; with this fraction hardly any task will probably validate.
SETTINGS = {"TRAIN_STEPS": "2", "PUBLISH_MARGIN": "1.0", "VALIDATION_FRACTION": "0.00001"}
CANVAS = PreprocessingSettings(size=128)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version that segments small phantoms: the shipped weights at a smaller image size."""
    network, card = load_version(pretrained_version())
    folder = tmp_path_factory.mktemp("start") / "version"
    save_version(folder, network, replace(card, preprocessing=replace(card.preprocessing, size=160)))
    return folder


@contextmanager
def context_of(service: Service) -> Iterator[Context]:
    """The context of a job under `SETTINGS`."""
    changed = {"validation_fraction": float(SETTINGS["VALIDATION_FRACTION"])}
    with service.context() as context:
        yield replace(context, settings=context.settings.model_copy(update=changed))


def count_annotations(board: Board) -> int:
    """Number of annotations in Label Studio, skips included."""
    return sum(len(task.annotations) for task in board.service.label_studio.labelled_tasks(board.id))


def best_first(board: Board, version: Version) -> list[int]:
    """Unlabelled tasks, the most consistent masks first."""
    rows = board.scores(version)
    means = {}
    for task in board.service.label_studio.tasks(board.id, unlabelled=True):
        row = rows[task.id]
        assert row.l_dsc is not None
        assert row.m_dsc is not None
        assert not row.blank
        means[task.id] = (row.l_dsc + row.m_dsc) / 2
    return sorted(means, key=lambda task: (-means[task], task))


def tasks_of(examples: list[Example]) -> list[int]:
    return [int(example.key.split()[1]) for example in examples]


def test_the_network_learns_from_its_own_masks_and_annotators_do_not_see_them(
    service: Service, boards: list[Board], phantoms: list[Phantom], start: Path
) -> None:
    service.work(**SETTINGS, INITIAL_WEIGHTS=str(start))
    boards.append(Board.connected(service, phantoms[:10]))
    (board,) = boards
    first = service.wait(board.published, "the first order")
    with context_of(service) as context:
        assert read_pseudo_labels(context, first, board.config, CANVAS, 9) == [], "nobody checked these masks"
    board.annotate(3)
    second = board.await_round(1)
    assert second.metrics["pseudo_labels"] == 0, "they are off by default"

    # Skipped and validating tasks are never used.
    service.rest()
    *good, skipped, validating = best_first(board, second)
    service.label_studio.submit_annotation(skipped, [], skip=True)
    with service.database.write() as session:
        labels_seen.extend_split(session, board.id, {validating: Part.VALIDATION})
    with context_of(service) as context:
        drawn = read_pseudo_labels(context, second, board.config, CANVAS, 9)
        again = read_pseudo_labels(context, second, board.config, CANVAS, 9)
        assert tasks_of(drawn) == good
        assert tasks_of(read_pseudo_labels(context, second, board.config, CANVAS, 2)) == good[:2]
        unknown = parse(default_config(["Bone", "Nail"]))
        assert read_pseudo_labels(context, second, unknown, CANVAS, 9) == []
        too_small = context.settings.model_copy(update={"max_image_pixels": 1})
        unreadable = replace(context, images=image_reader(too_small, context.label_studio))
        assert read_pseudo_labels(unreadable, second, board.config, CANVAS, 9) == []

    # They are the champion's masks, and a training that restarts after a kill gets the same ones.
    assert second.weights_hash is not None
    segmenter = load_segmenter(service.settings, service.weights.get(second.weights_hash))
    for one, other in zip(drawn, again, strict=True):
        image = decode_image(png(board.truth[tasks_of([one])[0]].image))
        expected = make_example(one.key, image, segmenter.segment([image])[0].final, CANVAS)
        assert np.array_equal(one.image, expected.image)
        assert np.array_equal(one.mask, expected.mask)
        assert one.key == other.key
        assert one.weight == other.weight < 1
        assert np.array_equal(one.mask, other.mask)

    # The next training learns from them; Label Studio contains only annotations by people.
    board.annotate(2)
    before = count_annotations(board)
    service.work(**SETTINGS, INITIAL_WEIGHTS=str(start), PSEUDO_LABELS="0.5")
    third = board.await_round(2)
    assert (third.metrics["training_images"], third.metrics["validation_images"]) == (4, 1)
    assert third.metrics["pseudo_labels"] == 2, "half as many as labelled images to train on"
    assert third.labels_used == 5
    assert count_annotations(board) == before == 6
    assert "5 + 2 pseudo" in service.command("status").stdout
