"""What stands behind the framework's door; tests/label_studio/test_framework.py has the framework itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from ml_backend.label_studio.config import default_config
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.models import Event, VersionState
from ml_backend.web.app import Services
from ml_backend.web.framework import Door, FrameworkMissingError, model_class

CONFIG = default_config(["Bone"])
PROJECT = {"id": 3, "title": "Hands", "label_config": CONFIG}


@pytest.fixture
def door(settings: Settings) -> Iterator[Door]:
    opened = Door(settings)
    yield opened
    opened.close()


def test_nothing_is_opened_before_it_is_used(door: Door, settings: Settings) -> None:
    assert not settings.model_dir.exists()
    assert door.take("PROJECT_DELETED", {"project": PROJECT}) is False
    assert not settings.model_dir.exists()


def test_a_project_becomes_known_and_is_asked_to_be_ordered(door: Door, services: Services) -> None:
    name = door.version(3, CONFIG)
    with services.database.read() as session:
        project = projects.get(session, 3)
        assert project is not None
        assert name == versions.current_name(session, project)
    assert services.queues.depths()["dsal-quick"] == 1


def test_predictions_are_the_published_version_s(door: Door, services: Services) -> None:
    name = door.version(3, CONFIG)
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(session, project, round=0, state=VersionState.SCORING, labels=["Bone"])
        versions.publish(session, version)
    tasks = [{"id": number, "data": {"image": "/data/upload/3/a.png"}} for number in (5, 6)]
    answers = door.predict(tasks, 3)
    assert [one["model_version"] for answer in answers for one in answer] == [name, name]
    assert all(0.0 <= one["score"] <= 1.0 for answer in answers for one in answer)


def test_an_unordered_project_gets_no_predictions_and_a_job(door: Door, services: Services) -> None:
    assert door.predict([{"id": 5, "data": {}}], 3) == [[]]
    assert services.queues.depths()["dsal-quick"] == 1


def test_an_event_is_noted_and_starts_a_training_in_the_queue_only(door: Door, services: Services) -> None:
    body = {"project": PROJECT, "annotation": {"id": 7, "result": []}, "task": {"id": 5, "data": {}}}
    assert door.take("ANNOTATION_CREATED", body)
    assert door.take("START_TRAINING", {"project": PROJECT})
    door.close()
    with services.database.read() as session:
        noted = session.scalars(select(Event).order_by(Event.id)).all()
    assert [event.action for event in noted] == ["ANNOTATION_CREATED", "START_TRAINING"]
    assert noted[0].changes == ["annotation:7"]
    assert noted[0].task_ids == [5]
    assert services.queues.training_waits(3)


def test_what_cannot_be_understood_is_no_event(door: Door) -> None:
    assert door.take("ANNOTATION_CREATED", {"project": {"id": "x"}}) is False
    assert door.take("ANNOTATION_CREATED", {}) is False


@pytest.mark.skipif(
    importlib.util.find_spec("label_studio_ml") is not None, reason="The framework is installed here."
)
def test_without_the_framework_a_sentence_says_how_to_install_it(settings: Settings) -> None:
    with pytest.raises(FrameworkMissingError, match=r"requirements-framework\.txt"):
        model_class(settings)
