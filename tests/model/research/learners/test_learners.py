"""The comparison of ways to train: what it keeps equal, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.research.learners import compare
from model.research.learners.arms import REFERENCE, arms
from model.research.learners.compare import Job, pixels, run_job, run_jobs, settings_for
from model.research.learners.sets import SetPlan, sides
from model.research.learners.table import dsc, table
from model.training.dataset import Example

PLAN = SetPlan(Path("unused"), images=60, test=20, train=30, steps=100)


def test_no_arm_is_chosen_by_the_test_images() -> None:
    tested = set(range(20))
    for seed in range(4):
        training, final = sides(PLAN, "final", seed)
        assert set(final) == tested
        assert len(training) == 30
        learned, looked_at = sides(PLAN, "pilot", seed)
        assert not tested & {*training, *learned, *looked_at}
        assert not set(learned) & set(looked_at)
    assert sides(PLAN, "pilot", 0) != sides(PLAN, "pilot", 1)


def test_few_images_are_tested_by_folds() -> None:
    few = SetPlan(Path("unused"), images=9, test=3, train=6, steps=100)
    tested = [index for seed in range(3) for index in sides(few, "final", seed)[1]]
    assert sorted(tested) == list(range(9))


@pytest.mark.parametrize("arm", ["dice80+balanced", "dice80+crop192", "dice80+balanced+batch4", "dice80+x2"])
def test_arms_see_as_many_pixels_as_the_reference(arm: str) -> None:
    shapes = [(384, 288), (288, 384), (384, 384)]
    examples = [
        Example(f"{number}", np.zeros(shape, np.uint8), np.eye(*shape, dtype=np.uint8))
        for number, shape in enumerate(shapes)
    ]
    job = Job(arm, "set", 0, "final", Path("unused"), "cpu")
    budget = 200 * pixels(arms()[REFERENCE].settings(0, "cpu"), examples)
    settings = settings_for(arms()[arm], examples, budget, job)
    assert settings.steps is not None
    assert settings.steps * pixels(settings, examples) == pytest.approx(budget * arms()[arm].budget, rel=0.02)


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A folder of one set, "shapes", of six images."""
    for kind in ("images", "masks"):
        (tmp_path / "shapes" / kind).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((48, 48), np.uint8)
        mask[8 + number : 24 + number, 10:30] = 1
        cv2.imwrite(str(tmp_path / "shapes" / "masks" / f"{number}.png"), mask)
        cv2.imwrite(str(tmp_path / "shapes" / "images" / f"{number}.png"), 40 + 120 * mask)
    return tmp_path


class InterruptionError(Exception):
    """What ends a comparison in this test."""


@pytest.mark.slow
def test_a_comparison_that_was_interrupted_continues(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results.jsonl"
    jobs = [Job(arm, "shapes", 0, "final", shapes, "cpu", scale=0.01) for arm in (REFERENCE, "dice80")]
    monkeypatch.setattr(compare, "CHECKPOINT_STEPS", 2)

    def interrupt(*_: object) -> None:
        raise InterruptionError

    with monkeypatch.context() as patch:
        patch.setattr(compare, "measure", interrupt)
        with pytest.raises(InterruptionError):
            run_jobs(jobs, out, 1, lambda _: None)
    assert not out.read_text()
    checkpoint = tmp_path / "results.jsonl.unfinished" / jobs[0].name / "checkpoint.safetensors"
    assert checkpoint.exists()

    finished: list[str] = []
    run_jobs(jobs, out, 1, lambda found: finished.append(found["job"]))
    assert finished == [job.name for job in jobs]
    assert not checkpoint.exists()
    assert len(out.read_text().splitlines()) == 2
    run_jobs(jobs, out, 1, lambda found: finished.append(found["job"]))
    assert len(finished) == 2, "what is done is not repeated"


@pytest.mark.slow
def test_a_job_trains_on_a_folder_and_the_table_pairs_seeds(shapes: Path, tmp_path: Path) -> None:
    rows = [
        run_job(Job(arm, "shapes", 0, "final", shapes, "cpu", scale=0.002))
        for arm in (REFERENCE, "dice80+balanced")
    ]
    assert [row["steps"] for row in rows] == [1, 1]
    assert [len(row["images"]) for row in rows] == [2, 2]
    out = tmp_path / "results.jsonl"
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    difference = dsc(rows[1]) - dsc(rows[0])
    assert f"{difference:+.3f}".replace("-", "−") in table(out)
