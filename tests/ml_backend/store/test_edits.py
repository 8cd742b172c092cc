"""Edits are stored by annotation and summed up by version."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ml_backend.store import edits, projects
from ml_backend.store.database import Database
from ml_backend.store.models import Edit, KeptPrediction, now
from ml_backend.store.states import Provenance

CAT = "p3-r001-calm-cat"


def edit(number: int, provenance: Provenance, version: str | None = CAT, **more: object) -> Edit:
    return Edit(
        project_id=3,
        annotation_id=number,
        task_id=number,
        digest="d",
        provenance=provenance,
        version=version,
        **{"per_label": {}} | more,
    )


def test_help_is_summed_up_by_version(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        found = [
            edit(1, Provenance.ACCEPTED, dsc=1.0, per_label={"Bone": 1.0}, added_path=0, lead_time=2.0),
            edit(2, Provenance.EDITED, dsc=0.8, per_label={"Bone": 0.8}, added_path=40, lead_time=30.0),
            edit(3, Provenance.EDITED, dsc=0.6, per_label={"Bone": 0.6}, added_path=80),
            edit(4, Provenance.DRAWN, None, lead_time=90.0),
        ]
        edits.store(session, 3, found, {1, 2, 3, 4})
    with database.read() as session:
        helps = edits.helps(session, 3)
    help_ = helps[CAT]
    assert (help_.shown, help_.accepted_share) == (3, pytest.approx(1 / 3))
    assert (help_.dsc, help_.per_label, help_.added_path) == (0.8, {"Bone": 0.8}, 40.0)
    assert help_.lead_time == 16.0
    assert (helps[None].shown, helps[None].accepted_share, helps[None].dsc) == (0, None, None)
    assert helps[None].lead_time == 90.0


def test_an_edit_is_replaced_and_goes_with_its_annotation(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        edits.store(session, 3, [edit(1, Provenance.ACCEPTED), edit(2, Provenance.DRAWN)], {1, 2})
    with database.write() as session:
        edits.store(session, 3, [edit(1, Provenance.EDITED, dsc=0.9)], {1})
    with database.read() as session:
        found = edits.of_project(session, 3)
    assert {number: one.provenance for number, one in found.items()} == {1: Provenance.EDITED}


def test_the_version_of_a_kept_prediction_is_known_as_long_as_the_prediction(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        edits.keep(session, 3, 10, CAT)
        session.get_one(KeptPrediction, (3, 10)).kept_at = now() - timedelta(days=4)
        edits.keep(session, 3, 11, CAT)
        edits.keep(session, 3, 11, CAT)
    with database.write() as session:
        edits.keep(session, 3, 12, CAT)
    with database.read() as session:
        assert edits.kept(session, 3) == {11: CAT, 12: CAT}
