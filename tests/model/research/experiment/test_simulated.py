"""Experiments with simulated annotators: what they submit is learned, and the truth is measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.quality import MIN_IMAGES
from model.research.experiment.annotations import Annotations, RoundAnnotations
from model.research.experiment.labelling import Labelling, submitted
from model.research.experiment.records import ExperimentFolderError
from model.research.experiment.report import ANNOTATIONS, run_experiment
from model.research.experiment.rounds import Results, run_rounds
from model.research.experiment.settings import ExperimentError, ExperimentSettings
from model.training.checkpoint import FILE
from model.training.dataset import Example
from tests.model.research.experiment.conftest import Done

pytestmark = pytest.mark.slow

ROUNDS = 2


@pytest.fixture(scope="module")
def settings() -> ExperimentSettings:
    """Networks that draw a mask in every image, and an annotator who accepts all of them."""
    return ExperimentSettings(
        arms=("random",),
        seeds=1,
        start=4,
        per_round=2,
        rounds=ROUNDS,
        split=(9, 5, 4),
        width=4,
        size=48,
        steps=30,
        batch=4,
        learning_rate=2e-2,
        augment=False,
        keep="best",
        annotator="accepts:0",
        validation="any",
    )


@pytest.fixture(scope="module")
def accepting(
    done: Done, settings: ExperimentSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Results, Path]:
    folder = tmp_path_factory.mktemp("accepting") / "out"
    return run_experiment(settings, done.source, folder).results, folder


def rounds_of(results: Results) -> list[RoundAnnotations]:
    return submitted(results, "random")[0]


def repeated(results: Results) -> Annotations:
    return Annotations(results.settings, results.collection, results.split)


def mask_of(results: Results, index: int) -> np.ndarray:
    return results.collection.images[index].example.mask


@pytest.mark.slow
def test_the_first_labels_are_drawn_and_later_ones_are_the_shown_masks(
    accepting: tuple[Results, Path],
) -> None:
    results, _ = accepting
    first, *later = rounds_of(results)
    for one in first.all:
        assert one.origin == "drawn"
        assert np.array_equal(one.label, mask_of(results, one.image))
    assert len(later) == ROUNDS
    for record, found in zip(results.records["random"][0], later, strict=False):
        assert [one.image for one in found.training] == record.chosen.tolist()
        for one, masks in zip(found.training, record.masks, strict=True):
            assert one.origin == "accepted"
            assert np.array_equal(one.label, masks[-1])
            assert not np.array_equal(one.label, mask_of(results, one.image)), "the network is not perfect"
            assert (one.shown_dsc, one.added_path, one.drawn) == (1.0, 0, 0.0)


@pytest.mark.slow
def test_what_was_submitted_is_learned_and_the_truth_is_measured(
    done: Done, settings: ExperimentSettings, accepting: tuple[Results, Path], tmp_path: Path
) -> None:
    results, folder = accepting
    exact = run_rounds(replace(settings, annotator="exact"), done.source, tmp_path / "exact")
    mine, theirs = (found.records["random"][0] for found in (results, exact))
    assert mine[0].labelled.tolist() == theirs[0].labelled.tolist()
    assert np.array_equal(mine[0].r_dsc, theirs[0].r_dsc), (
        "round 0 is the same, and test images have the truth"
    )
    weights = [
        load_file(path / "rounds" / "random" / "seed-0" / FILE) for path in (folder, tmp_path / "exact")
    ]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_accepted_masks_have_their_weight_in_training(accepting: tuple[Results, Path]) -> None:
    results, _ = accepting
    rounds = rounds_of(results)
    for weight, expected in ((1.0, [1.0] * 8), (0.3, [1.0] * 4 + [0.3] * 4), (0.0, [1.0] * 4)):
        settings = replace(results.settings, accepted_weight=weight)
        examples = Annotations(settings, results.collection, results.split).examples(rounds)
        assert [example.weight for example in examples] == expected


@pytest.mark.slow
def test_one_validation_image_is_labelled_for_every_four_training_images(
    accepting: tuple[Results, Path],
) -> None:
    results, _ = accepting
    assert [len(found.validation) for found in rounds_of(results)] == [1, 1, 0]
    images = [one.image for found in rounds_of(results) for one in found.validation]
    assert len(set(images)) == len(images)
    assert set(images) <= set(results.split.validation)


def validation_of(results: Results, kind: str, drawn: int, accepted: int) -> list[Example]:
    """The validation examples that count, of as many drawn and accepted ones."""
    one = rounds_of(results)[0].training[0]
    rounds = [
        RoundAnnotations((), (one,) * drawn),
        RoundAnnotations((), (replace(one, origin="accepted"),) * accepted),
    ]
    settings = replace(results.settings, validation=kind)  # type: ignore[arg-type]
    return Annotations(settings, results.collection, results.split).validation(rounds)


@pytest.mark.slow
def test_which_validation_images_count(accepting: tuple[Results, Path]) -> None:
    results, _ = accepting
    assert len(validation_of(results, "any", 1, 1)) == 2
    assert len(validation_of(results, "independent", MIN_IMAGES, 3)) == MIN_IMAGES
    assert validation_of(results, "independent", MIN_IMAGES - 1, 3) == [], "too few to select by"
    assert validation_of(results, "blind", MIN_IMAGES - 1, 0) == []
    assert len(validation_of(results, "given", 0, 0)) == len(results.split.validation)


@pytest.mark.slow
def test_blind_validation_images_are_drawn(done: Done, settings: ExperimentSettings, tmp_path: Path) -> None:
    blind = replace(settings, validation="blind", keep_start=False)
    results = run_rounds(blind, done.source, tmp_path / "out")
    second = rounds_of(results)[1]
    assert [one.origin for one in second.validation] == ["drawn"]
    assert {one.origin for one in second.training} == {"accepted"}
    steps = [record.kept_step for record in results.records["random"][0]]
    assert steps == [settings.steps] * (ROUNDS + 1), "too few validation images: the last weights are kept"
    assert np.isnan(Labelling.of(results, "random").figure).all()


@pytest.mark.slow
def test_the_summary_and_a_table_say_how_labels_came_to_be(accepting: tuple[Results, Path]) -> None:
    results, folder = accepting
    labelling = Labelling.of(results, "random")
    assert labelling.accepted.tolist() == [[0.0, 1.0, 1.0]]
    assert labelling.shown_dsc[0, 1:].tolist() == [1.0, 1.0]
    assert np.isnan(labelling.shown_dsc[0, 0]), "nothing was shown"
    assert labelling.added_path[0, 0] > 0
    assert labelling.added_path[0, 1:].tolist() == [0, 0]
    assert labelling.drawn[0, 0] == labelling.drawn[0, -1] > 0, "only the first labels were drawn"
    assert np.isin(labelling.kept_start, (0, 1)).all()
    with (folder / ANNOTATIONS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 + 2
    assert [row["origin"] for row in rows if row["role"] == "validation"] == ["drawn", "accepted"]
    assert (folder / "figures" / "validation.png").exists()


@pytest.mark.slow
def test_an_annotator_who_corrects_draws_what_was_not_shown(
    done: Done, settings: ExperimentSettings, tmp_path: Path
) -> None:
    edits = replace(settings, annotator="edits", validation="given", rounds=1)
    results = run_rounds(edits, done.source, tmp_path / "out")
    labelling = Labelling.of(results, "random")
    assert labelling.accepted[0, 1] == 0
    assert 0 < labelling.shown_dsc[0, 1] < 1
    first, second = rounds_of(results)
    for one in second.training:
        whole = results.collection.images[one.image].boundary
        assert 0 < one.drawn < whole, "part of the outline was shown"
    assert sum(one.drawn for one in first.training) == pytest.approx(
        sum(results.collection.images[one.image].boundary for one in first.training)
    )


@pytest.mark.slow
def test_another_annotator_is_another_experiment(accepting: tuple[Results, Path], done: Done) -> None:
    results, folder = accepting
    with pytest.raises(ExperimentFolderError, match="annotator accepts:0, not exact"):
        run_rounds(replace(results.settings, annotator="exact"), done.source, folder)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"validation": "none"}, "given, any, independent, blind"),
        ({"accepted_weight": 1.5}, "accepted_weight is 1.5"),
        ({"keep_start": False}, "--keep-best"),
    ],
)
def test_invalid_settings_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ExperimentError, match=named):
        ExperimentSettings(**wrong)  # type: ignore[arg-type]


def test_the_settings_of_annotators_do_not_change_the_identity_of_older_folders() -> None:
    names = {"annotator", "validation", "accepted_weight", "keep_start"}
    assert not names & set(ExperimentSettings().identity())
    changed = ExperimentSettings(
        annotator="edits", validation="blind", accepted_weight=0.3, keep="best", keep_start=False
    )
    assert names <= set(changed.identity())
