"""What `dsal status` says about the masks that a version was trained on, and those that it shows."""

from __future__ import annotations

import pytest

from ml_backend.cli.status import _drawn_masks, _masks
from ml_backend.store import projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, Version, VersionState

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="p" toName="image"{}><Label value="Root"/><Label value="Canal"/></PolygonLabels></View>"""
METRICS = {
    "problems": [
        f"No mask of task {task} can be read, draw it again: The region has no label." for task in (3, 4)
    ],
    "nested_labels": [["Canal", "Root", 3]],
}


def sentences(knob: str = "", *, again: bool = False) -> list[str]:
    version = Version(name="p1-r001", metrics=METRICS)
    return list(_masks(version, Project(id=1, label_config=CONFIG.format(knob)), again=again))


def test_nested_labels_are_named_with_the_rule_that_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = sentences()
    assert kept.startswith(
        "Labels are nested: Canal within Root in 3 tasks; where they overlap, the smaller region"
    )
    monkeypatch.setenv("OVERLAP", "later")
    (lost,) = sentences()
    assert "the later region gets the pixels" in lost
    assert sentences(' model_overlap="smaller"') == [kept]


def test_what_could_not_be_read_is_said_again_after_a_training_that_made_no_version() -> None:
    said = sentences(again=True)
    assert said[:2] == METRICS["problems"]
    assert not any("can be read" in sentence for sentence in sentences())


def test_tasks_that_wait_for_the_score_of_the_published_version_are_counted(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 1, seed=0)
        version = versions.create(session, project, round=1, state=VersionState.SCORING)
        scores.plan(session, version.id, [1, 2, 3], chunk_size=3)
        for row in scores.of_version(session, version.id):
            row.due = row.task_id > 1
    with database.read() as session:
        version = session.get_one(Version, version.id)
        (said,) = _drawn_masks(session, version, session.get_one(Project, 1))
    assert said == "2 tasks still have mask and score of the version before; they are scored next"
