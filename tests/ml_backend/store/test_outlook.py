"""When to stop, from what the database knows of a project."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version, VersionState
from ml_backend.store.outlook import Outlook, outlook
from tests.ml_backend.store.rounds import FLAT, PROJECT, learned


def said(
    database: Database, means: Sequence[float], *, quality: float = 0.9, by_task: bool = True
) -> Outlook:
    """The outlook of a project that has learned for some rounds."""
    version = learned(database, means, quality=quality, by_task=by_task)
    with database.read() as session:
        return outlook(session, PROJECT, session.get_one(Version, version.id))


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
