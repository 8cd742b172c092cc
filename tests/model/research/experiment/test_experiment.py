"""A small experiment from images to table, summary and figures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.loss import LossWeights
from model.network import NetworkSettings
from model.pretrained import pretrained_version
from model.research.experiment.curves import quality_estimate
from model.research.experiment.parallel import one_thread
from model.research.experiment.records import ExperimentFolderError, lock_folder
from model.research.experiment.report import COLUMNS, write_table
from model.research.experiment.rounds import run_rounds
from model.research.experiment.settings import ExperimentError, ExperimentSettings
from model.research.experiment.statistics import normalised_area
from model.research.experiment.trial import round_seed
from model.strategies import NAMES
from model.training.checkpoint import FILE
from model.training.run import TrainingSettings, train
from tests.model.research.experiment.conftest import ARMS, Done

pytestmark = pytest.mark.slow
"""They share one experiment, whose trainings take long."""


def rows(done: Done) -> list[dict[str, str]]:
    with done.report.table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_arms_of_a_seed_have_the_same_start(done: Done) -> None:
    records = done.report.results.records
    for seed in range(2):
        first, second = (records[arm][seed][0] for arm in ("random", "consistency"))
        assert first.labelled.tolist() == second.labelled.tolist()
        assert np.array_equal(first.r_dsc, second.r_dsc), "the same weights, evaluated twice"
    assert records["random"][0][0].labelled.tolist() != records["random"][1][0].labelled.tolist()


def test_labels_grow_by_the_chosen_images_of_the_pool(done: Done) -> None:
    results = done.report.results
    for arm in ("random", "consistency"):
        for rounds in results.records[arm]:
            assert [len(record.labelled) for record in rounds] == [3, 5, 7]
            for before, after in pairwise(rounds):
                assert after.labelled.tolist() == [*before.labelled.tolist(), *before.chosen.tolist()]
            for record in rounds:
                assert len(set(record.labelled.tolist())) == len(record.labelled)
                assert set(record.labelled.tolist()) <= set(results.split.training)
                assert record.images[record.test].tolist() == list(results.split.test)
                assert record.images[record.validation].tolist() == list(results.split.validation)
                pool = set(record.images[record.pool].tolist())
                assert pool == set(results.split.training) - set(record.labelled.tolist())
    for rounds in results.records["full"]:
        assert all(record.labelled.tolist() == list(results.split.training) for record in rounds)


def test_consistency_chooses_the_highest_scores_of_the_pool(done: Done) -> None:
    for rounds in done.report.results.records["consistency"]:
        for record in rounds:
            pool = record.score[record.pool]
            by_image = dict(zip(record.images.tolist(), record.score.tolist(), strict=True))
            chosen = [by_image[index] for index in record.chosen.tolist()]
            assert chosen == sorted(pool, reverse=True)[: len(chosen)]
            assert np.allclose(record.score, (record.l_dsc + record.m_dsc) / 2)


def test_the_table_has_a_row_for_every_image_that_was_measured(done: Done) -> None:
    found = rows(done)
    assert tuple(found[0]) == COLUMNS
    keys = [(row["arm"], row["seed"], row["round"], row["image"]) for row in found]
    assert len(set(keys)) == len(keys)
    records = done.report.results.records
    assert len(keys) == sum(
        len(record.images) for seeds in records.values() for rounds in seeds for record in rounds
    )
    for row in found:
        assert (row["hd95"] != "") == (row["role"] == "test")
        assert row["role"] in ("test", "validation", "pool")
        assert row["role"] == "pool" or row["chosen"] == ""
        assert 0 <= float(row["r_dsc"]) <= 1
        assert float(row["boundary_length"]) > 0
    chosen = [row["chosen"] for row in found if row["chosen"]]
    assert sorted(chosen) == sorted(["1", "2"] * (2 * 2 * 3))


def test_the_summary_follows_from_the_table(done: Done) -> None:
    summary = json.loads((done.folder / "summary.json").read_text())
    assert summary == done.report.summary
    assert list(summary["arms"]) == ["random", "consistency"]
    for arm, found in summary["arms"].items():
        for seed in range(2):
            curve = []
            for number in range(3):
                dsc = [
                    float(row["r_dsc"])
                    for row in rows(done)
                    if (row["arm"], row["seed"], row["round"]) == (arm, str(seed), str(number))
                    and row["role"] == "test"
                ]
                curve.append(np.mean(dsc))
            area = normalised_area(np.array([3.0, 5.0, 7.0]), np.array(curve))
            assert found["aubc"]["by_seed"][seed] == pytest.approx(area, abs=1e-5)
        assert [entry["labels"] for entry in found["rounds"]] == [3, 5, 7]
    less = summary["arms"]["consistency"]["aubc_less_random"]
    areas = {arm: summary["arms"][arm]["aubc"]["by_seed"] for arm in summary["arms"]}
    assert less["mean"] == pytest.approx(np.mean(np.subtract(areas["consistency"], areas["random"])))
    assert less["p"] == less["p_holm"], "one comparison needs no correction"
    assert summary["arms"]["random"]["forwards_per_image"] == 0
    assert summary["arms"]["consistency"]["forwards_per_image"] == 1


def test_every_figure_is_written(done: Done) -> None:
    names = sorted(path.name for path in done.report.figures)
    assert names == [
        "batches-consistency.png",
        "batches-random.png",
        "effort.png",
        "learning.png",
        "quality.png",
    ]
    for path in done.report.figures:
        picture = cv2.imread(str(path))
        assert picture is not None, path
        assert min(picture.shape[:2]) >= 300
        assert picture.std() > 5


@pytest.mark.slow
def test_seeds_arms_and_rounds_can_be_added_and_existing_ones_are_kept(done: Done, tmp_path: Path) -> None:
    little = replace(done.settings, arms=ARMS[:2], seeds=1, rounds=1)
    out = tmp_path / "out"
    run_rounds(little, done.source, out)
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.npz"))}
    assert len(before) == 4
    results = run_rounds(done.settings, done.source, out)
    assert all(path.read_bytes() == data for path, data in before.items())
    assert write_table(results, out).read_bytes() == done.report.table.read_bytes()


def test_from_scratch_every_round_starts_from_the_same_weights(done: Done, tmp_path: Path) -> None:
    settings = replace(done.settings, fine_tune=False, seeds=1, arms=ARMS[1:], rounds=1)
    results = run_rounds(settings, done.source, tmp_path / "out")
    assert len(results.records["full"][0]) == 1
    scratch, fine_tuned = (
        load_file(folder / "rounds" / "start" / "seed-0" / FILE) for folder in (tmp_path / "out", done.folder)
    )
    assert all(torch.equal(scratch[name], fine_tuned[name]) for name in scratch), (
        "the first round is the same"
    )
    labelled = results.records["consistency"][0][1].labelled.tolist()
    settings_alone = TrainingSettings(steps=4, batch=2, seed=round_seed(0, 0), precision="fp32", device="cpu")
    with one_thread():
        alone = train(
            [results.collection.images[index].example for index in labelled],
            [],
            labels=("bone",),
            network=NetworkSettings(2, 4),
            settings=settings_alone,
        )
    kept = load_file(tmp_path / "out" / "rounds" / "consistency" / "seed-0" / FILE)
    found = alone.network.state_dict()
    assert all(torch.allclose(kept[name], found[name], atol=1e-4) for name in kept)


def test_a_folder_belongs_to_one_experiment(done: Done, tmp_path: Path) -> None:
    with pytest.raises(ExperimentFolderError, match="steps 4, not 5"):
        run_rounds(replace(done.settings, steps=5), done.source, done.folder)
    with pytest.raises(ExperimentFolderError, match="norm batch, not group"):
        run_rounds(replace(done.settings, norm="group"), done.source, done.folder)
    with lock_folder(done.folder), pytest.raises(ExperimentFolderError, match="Another experiment uses"):
        run_rounds(done.settings, done.source, done.folder)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExperimentFolderError, match="files but no experiment"):
        run_rounds(done.settings, done.source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_subjects_come_from_a_file(done: Done, tmp_path: Path) -> None:
    stems = sorted(path.stem for path in done.source.images.iterdir())
    table = tmp_path / "subjects.csv"
    lines = [f"{stem},{number // 2}" for number, stem in enumerate(stems)]
    table.write_text("\n".join(["stem,subject", *lines]))
    found = replace(done.source, subjects=table).read(48)
    assert [image.subject for image in found.images] == [str(number // 2) for number in range(len(stems))]
    table.write_text("\n".join(["stem,subject", *lines[1:]]))
    with pytest.raises(ExperimentError, match=stems[0]):
        replace(done.source, subjects=table).read(48)
    table.write_text("image,patient\n")
    with pytest.raises(ExperimentError, match="columns stem and subject"):
        replace(done.source, subjects=table).read(48)


def test_another_norm_is_another_experiment(done: Done, tmp_path: Path) -> None:
    settings = replace(done.settings, arms=("random",), seeds=1, rounds=1, norm="instance")
    run_rounds(settings, done.source, tmp_path / "out")
    weights = load_file(tmp_path / "out" / "rounds" / "random" / "seed-0" / FILE)
    assert "decoder.0.block.first_norm.weight" in weights
    assert not any("running" in name for name in weights)
    with pytest.raises(ExperimentFolderError, match="norm instance, not batch"):
        run_rounds(replace(settings, norm="batch"), done.source, tmp_path / "out")


@pytest.mark.slow
def test_every_strategy_can_be_an_arm(done: Done, tmp_path: Path) -> None:
    arms = (*NAMES, *(f"disagreement+{suffix}" for suffix in ("power", "clusters")))
    settings = replace(done.settings, arms=arms, seeds=1, rounds=1, steps=1, dropout=0.2)
    results = run_rounds(settings, done.source, tmp_path / "out")
    for arm in arms:
        first, second = results.records[arm][0]
        assert len(set(first.chosen.tolist())) == settings.per_round
        assert len(second.labelled) == settings.start + settings.per_round
        assert ((first.own_score >= 0) & (first.own_score <= 1)).all()


def test_too_many_start_labels_are_refused(done: Done, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="smaller --start"):
        run_rounds(replace(done.settings, start=12), done.source, tmp_path / "out")


def test_the_summary_contains_the_coverage_of_the_quality_estimate(done: Done) -> None:
    scores = np.linspace(0.5, 0.9, 9)
    off = np.full(9, 0.05) * (-1) ** np.arange(9)
    record = replace(
        done.report.results.records["random"][0][0],
        images=np.arange(20),
        validation=np.arange(20) < 9,
        blank=np.arange(20) == 19,
        confidence=np.concatenate([scores, scores, [0.7, 0.0]]),
        r_dsc=np.concatenate([scores + off, scores, [0.2, 0.0]]),
        hd95=np.where(np.arange(20) < 9, np.nan, 1.0),
    )
    coverage, margin = quality_estimate(record)
    assert coverage == pytest.approx(0.9), (
        "nine masks as good as estimated, one far worse; the blank one is left out"
    )
    assert 0.05 <= margin <= 0.15
    few = replace(record, validation=np.arange(20) < 4, hd95=np.where(np.arange(20) < 4, np.nan, 1.0))
    assert np.isnan(quality_estimate(few)).all()
    old = replace(record, confidence=np.full(20, np.nan))
    assert np.isnan(quality_estimate(old)).all(), "records of earlier versions have no confidence"
    entry = done.report.summary["arms"]["random"]["rounds"][0]
    assert entry["estimate_coverage"] is None, "four validation images are too few"


@pytest.mark.slow
def test_pseudo_labels_join_the_training_but_do_not_count_as_labels(done: Done, tmp_path: Path) -> None:
    settings = replace(
        done.settings, arms=("random", "random+pseudo"), seeds=1, rounds=1, initial=pretrained_version()
    )
    results = run_rounds(settings, done.source, tmp_path / "out")
    plain, pseudo = (results.records[arm][0] for arm in settings.arms)
    assert not plain[0].blank[plain[0].pool].all(), "there are masks to use as pseudo-labels"
    for one, other in zip(plain, pseudo, strict=True):
        assert one.labelled.tolist() == other.labelled.tolist(), "random choices do not depend on the weights"
    assert np.array_equal(plain[0].r_dsc, pseudo[0].r_dsc), "round 0 has no pseudo-labels"
    first, second = (load_file(tmp_path / "out" / "rounds" / arm / "seed-0" / FILE) for arm in settings.arms)
    assert any(not torch.equal(first[name], second[name]) for name in first), "they were used for training"


@pytest.mark.slow
def test_a_strategy_can_choose_the_first_labels_with_initial_weights(done: Done, tmp_path: Path) -> None:
    settings = replace(
        done.settings, arms=("random",), seeds=1, rounds=1, initial=pretrained_version(), start_by="core-set"
    )
    chosen = run_rounds(settings, done.source, tmp_path / "core-set").records["random"][0][0]
    random_start = replace(settings, start_by="random")
    drawn = run_rounds(random_start, done.source, tmp_path / "random").records["random"][0][0]
    assert len(set(chosen.labelled.tolist())) == len(drawn.labelled) == 3
    assert chosen.labelled.tolist() != drawn.labelled.tolist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start_by": "core-set"}, "give --from"),
        ({"start_by": "mc-dropout", "initial": pretrained_version()}, "another strategy"),
        ({"start_by": "best", "initial": pretrained_version()}, "not a query strategy"),
        ({"norm": "group", "initial": pretrained_version()}, "--norm or --from"),
        ({"norm": "layer"}, "batch, instance, group"),
        ({"arms": ("full+pseudo",)}, "not a query strategy"),
        ({"arms": ("mc-dropout+pseudo",)}, "--dropout"),
    ],
)
def test_invalid_arms_and_starts_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ExperimentError, match=says):
        ExperimentSettings(**options)


def test_later_settings_do_not_change_the_identity_of_older_folders() -> None:
    named = ExperimentSettings(loss=LossWeights(), balanced=False).identity()
    assert not {"start_by", "norm", "balanced", "crop"} & set(named)
    assert set(named["loss"]) == {"lower", "middle", "final"}
    other = ExperimentSettings(start_by="core-set", initial=pretrained_version(), loss=LossWeights(dice=0.5))
    assert other.identity()["start_by"] == "core-set"
    assert other.identity()["loss"]["dice"] == 0.5
