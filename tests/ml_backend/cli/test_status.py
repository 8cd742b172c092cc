"""What `dsal status` says about the masks that the latest version was trained on."""

from __future__ import annotations

import pytest

from ml_backend.cli.status import _masks
from ml_backend.store.models import Project, Version

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
