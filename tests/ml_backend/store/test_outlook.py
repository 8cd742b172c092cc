"""When to stop, from what the database knows of a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ml_backend.store import edits, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Edit, LabelSeen, Version, VersionState
from ml_backend.store.outlook import Outlook, outlook
from ml_backend.store.states import Provenance

FLAT = (0.7, 0.88, 0.9, 0.901, 0.902)
HARD = np.linspace(-0.05, 0.05, 6)


def said(
    database: Database, means: Sequence[float], *, quality: float = 0.9, by_task: bool = True
) -> Outlook:
    """The outlook of a project with a version after each ten labels, 40 unlabelled tasks, 30 s a label."""
    rng = np.random.default_rng(0)
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        for number, value in enumerate(means, start=1):
            values = value + HARD + rng.normal(0, 0.001, len(HARD))
            metrics: dict[str, Any] = {"validation_dsc": value, "validation_images": len(HARD)}
            if by_task:
                metrics["image_dsc"] = [
                    {"task": task, "dsc": {"Bone": each}} for task, each in enumerate(values)
                ]
            version = versions.create(
                session,
                project,
                round=number,
                state=VersionState.SCORING,
                labels=["Bone"],
                labels_used=10 * number,
                metrics=metrics,
            )
        versions.publish(session, version)
        scores.plan(session, version.id, range(100, 142), chunk_size=50)
        for row in scores.of_version(session, version.id):
            row.quality, row.margin = quality, 0.1
        session.add_all(
            LabelSeen(project_id=3, annotation_id=task, task_id=task, fingerprint="d") for task in (100, 101)
        )
        made = [
            Edit(
                project_id=3,
                annotation_id=number,
                task_id=number,
                digest="d",
                provenance=Provenance.DRAWN,
                per_label={},
                lead_time=seconds,
            )
            for number, seconds in ((1, 20.0), (2, 30.0), (3, 100.0), (4, None))
        ]
        edits.store(session, 3, made, {1, 2, 3, 4})
    with database.read() as session:
        return outlook(session, 3, session.get_one(Version, version.id))


def test_a_project_that_gains_nothing_any_more_is_told_to_stop(database: Database) -> None:
    found = said(database, FLAT)
    assert (found.pool.tasks, found.pool.dsc) == (40, pytest.approx(0.9))
    assert found.sentence() == (
        "time to stop: DSC is 0.902, and labelling on would bring less than 0.01 (90% certain; 40 tasks are "
        "unlabelled)"
    )


def test_unlabelled_images_that_look_worse_keep_it_from_stopping(database: Database) -> None:
    sentence = said(database, FLAT, quality=0.6).sentence()
    assert sentence.startswith("when to stop: not yet to be told")
    assert "estimated at 0.60" in sentence


def test_labels_to_go_are_told_with_their_minutes(database: Database) -> None:
    found = said(database, [0.9 - 0.5 * float(np.exp(-n / 40)) for n in range(10, 91, 10)])
    assert found.forecast is not None
    assert found.forecast.verdict == "more"
    assert found.seconds == 30.0
    low, high = found.forecast.more.low, found.forecast.more.high
    assert found.sentence().startswith(f"about {low:.0f} to {high:.0f} more labels for the last 0.01 of DSC")
    assert found.sentence().endswith(f": {low / 2:.0f} to {high / 2:.0f} minutes at 30 s a label")


def test_versions_of_an_earlier_release_have_means_alone(database: Database) -> None:
    found = said(database, FLAT, by_task=False)
    assert found.curve.dsc.shape == (5, 1)
    assert found.curve.means == list(FLAT)


def test_too_few_rounds_are_counted(database: Database) -> None:
    assert said(database, FLAT[:2]).sentence() == (
        "when to stop: not yet to be told (2 of 4 validated rounds)"
    )


def test_only_comparable_versions_are_on_the_curve(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        for number, (labels, used, images) in enumerate(
            [(["Old"], 5, 9), (["Bone"], 30, 9), (["Bone"], 10, 9), (["Bone"], 20, 2), (["Bone"], 40, 9)]
        ):
            versions.create(
                session,
                project,
                round=number,
                state=VersionState.SCORING,
                labels=labels,
                labels_used=used,
                metrics={"validation_dsc": 0.5, "validation_images": images},
            )
    with database.read() as session:
        # The second has more labels than a later one, as after a deletion; the fourth has too few images.
        assert outlook(session, 3, None).curve.labels == (10, 40)
