"""A project to look at."""

from __future__ import annotations

import numpy as np
import pytest

from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.score import packing
from ml_backend.store import agreements, projects, versions
from ml_backend.store.agreements import TaskAgreement
from ml_backend.store.models import Edit, Project, Score, ScoreState, VersionState, now
from ml_backend.store.states import Provenance
from ml_backend.web.app import Services
from tests.ml_backend.page.rows import CONFIG, PICTURE, metrics


@pytest.fixture
def project(services: Services) -> Project:
    """A project with two versions, six scored tasks, of which the first has a cached image, and edits."""
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        project.title, project.label_config, project.called_at = "Hands <b>", CONFIG, now()
        for round, (labels, dsc) in enumerate(
            [(10, [0.7, 0.72, 0.75, 0.71, 0.69]), (20, [0.9, 0.91, 0.93, 0.92, 0.9])], 1
        ):
            version = versions.create(
                session,
                project,
                round=round,
                state=VersionState.SCORING,
                labels=("Bone", "Soft"),
                weights_hash=str(round) * 64,
                labels_used=labels,
                metrics=metrics(dsc),
            )
            versions.publish(session, version)
        version.strategy = "consistency"
        mask = np.zeros((30, 60), np.uint8)
        mask[5:20, 10:40] = 1
        packed = packing.pack(None, results(mask, parse(CONFIG)), "x")
        for task in range(1, 7):
            session.add(
                Score(
                    version_id=version.id,
                    task_id=task,
                    score=task / 10,
                    priority=task / 10,
                    quality=0.1 * task,
                    margin=0.05,
                    state=ScoreState.WRITTEN,
                    l_dsc=0.5,
                    m_dsc=0.5,
                    packed=packed,
                    picture=PICTURE if task == 6 else None,
                )
            )
        for number in range(6):
            accepted = Provenance.ACCEPTED if number < 4 else Provenance.EDITED
            session.add(
                Edit(
                    project_id=3,
                    annotation_id=number,
                    task_id=100 + number,
                    digest="",
                    provenance=accepted,
                    version=version.name,
                    dsc=0.97,
                    added_path=12,
                    lead_time=8.0,
                )
            )
        agreements.replace(session, 3, {7: TaskAgreement(2, 0.81)})
    return project
