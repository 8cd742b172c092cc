"""A project that has learned for some rounds, for what looks at its learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_backend.store import edits, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Edit, LabelSeen, Version, VersionState
from ml_backend.store.states import Provenance

PROJECT = 3
FLAT = (0.7, 0.88, 0.9, 0.901, 0.902)
"""Mean Dice after each round, with which it is time to stop."""
_HARD = np.linspace(-0.05, 0.05, 6)


def learned(
    database: Database,
    means: Sequence[float],
    *,
    quality: float = 0.9,
    by_task: bool = True,
) -> Version:
    """Publish a version after each ten labels; 40 tasks are unlabelled, and a label takes 30 s.

    Returns:
        The last version.
    """
    rng = np.random.default_rng(0)
    with database.write() as session:
        project = projects.ensure(session, PROJECT, seed=0)
        for number, value in enumerate(means, start=1):
            values = value + _HARD + rng.normal(0, 0.001, len(_HARD))
            metrics: dict[str, Any] = {"validation_dsc": value, "validation_images": len(_HARD)}
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
        session.add_all(
            LabelSeen(project_id=PROJECT, annotation_id=task, task_id=task, fingerprint="d")
            for task in (100, 101)
        )
        made = [
            Edit(
                project_id=PROJECT,
                annotation_id=number,
                task_id=number,
                digest="d",
                provenance=Provenance.DRAWN,
                per_label={},
                lead_time=seconds,
            )
            for number, seconds in ((1, 20.0), (2, 30.0), (3, 100.0), (4, None))
        ]
        edits.store(session, PROJECT, made, {1, 2, 3, 4})
    estimate(database, version, quality)
    return version


def estimate(database: Database, version: Version, quality: float) -> None:
    """Give all masks of a version this estimated Dice."""
    with database.write() as session:
        for row in scores.of_version(session, version.id):
            row.quality, row.margin = quality, 0.1
