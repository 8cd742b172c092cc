"""The adapter for the framework.

A few lines with the framework's contract stand in for it here; test_framework_start.py and
tests/label_studio/test_framework.py have the framework itself.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ml_backend.label_studio.config import default_config
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.models import Event, VersionState
from ml_backend.web import framework
from ml_backend.web.app import Services
from ml_backend.web.framework import Adapter, FrameworkMissingError, model_class
from tests.framework import MODEL

CONFIG = default_config(["Bone"])
PROJECT = {"id": 3, "title": "Hands", "label_config": CONFIG}


@pytest.fixture
def adapter(settings: Settings) -> Iterator[Adapter]:
    opened = Adapter(settings)
    yield opened
    opened.close()


def test_nothing_is_opened_before_it_is_used(adapter: Adapter, settings: Settings) -> None:
    assert not settings.model_dir.exists()
    assert adapter.take("PROJECT_DELETED", {"project": PROJECT}) is False
    assert not settings.model_dir.exists()


def test_a_project_becomes_known_and_is_asked_to_be_ordered(adapter: Adapter, services: Services) -> None:
    name = adapter.version(3, CONFIG)
    with services.database.read() as session:
        project = projects.get(session, 3)
        assert project is not None
        assert name == versions.current_name(session, project)
    assert services.queues.depths()["dsal-quick"] == 1


def test_predictions_are_the_published_version_s(adapter: Adapter, services: Services) -> None:
    name = adapter.version(3, CONFIG)
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(session, project, round=0, state=VersionState.SCORING, labels=["Bone"])
        versions.publish(session, version)
    tasks = [{"id": number, "data": {"image": "/data/upload/3/a.png"}} for number in (5, 6)]
    answers = adapter.predict(tasks, 3)
    assert [one["model_version"] for answer in answers for one in answer] == [name, name]
    assert all(0.0 <= one["score"] <= 1.0 for answer in answers for one in answer)


def test_an_unordered_project_gets_no_predictions_and_a_job(adapter: Adapter, services: Services) -> None:
    assert adapter.predict([{"id": 5, "data": {}}], 3) == [[]]
    assert services.queues.depths()["dsal-quick"] == 1


def test_an_event_is_noted_and_starts_a_training_in_the_queue_only(
    adapter: Adapter, services: Services
) -> None:
    body = {"project": PROJECT, "annotation": {"id": 7, "result": []}, "task": {"id": 5, "data": {}}}
    assert adapter.take("ANNOTATION_CREATED", body)
    assert adapter.take("START_TRAINING", {"project": PROJECT})
    adapter.close()
    with services.database.read() as session:
        noted = session.scalars(select(Event).order_by(Event.id)).all()
    assert [event.action for event in noted] == ["ANNOTATION_CREATED", "START_TRAINING"]
    assert noted[0].changes == ["annotation:7"]
    assert noted[0].task_ids == [5]
    assert services.queues.training_waits(3)


def test_what_cannot_be_understood_is_no_event(adapter: Adapter) -> None:
    assert adapter.take("ANNOTATION_CREATED", {"project": {"id": "x"}}) is False
    assert adapter.take("ANNOTATION_CREATED", {}) is False


STAND_IN = """
from label_studio_sdk.label_interface import LabelInterface

class LabelStudioMLBase:
    def __init__(self, project_id=None, label_config=None):
        self.project_id = project_id or ""
        self.values = {}
        if label_config is not None:
            self.use_label_config(label_config)
        self.setup()

    def use_label_config(self, label_config):
        self.label_interface = LabelInterface(config=label_config)

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value):
        self.values[key] = value
"""


def install(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `label_studio_ml.model` be this text."""
    package = folder / "packages" / "label_studio_ml"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model.py").write_text(text)
    for name in [name for name in sys.modules if name.partition(".")[0] == "label_studio_ml"]:
        monkeypatch.delitem(sys.modules, name)
    # So that what is imported during the test is forgotten after it.
    for name in ("label_studio_ml", "label_studio_ml.model"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    monkeypatch.syspath_prepend(package.parent)


@pytest.fixture
def dsal_model(
    adapter: Adapter, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> type[Any]:
    """The class as the framework gets it."""
    install(STAND_IN, tmp_path, monkeypatch)
    monkeypatch.setattr(framework, "Adapter", lambda _settings: adapter)
    return model_class(settings)


def stored_config(services: Services) -> str:
    with services.database.read() as session:
        project = projects.get(session, 3)
        assert project is not None
        return project.label_config


def test_a_model_names_the_version_that_serves(dsal_model: type[Any], services: Services) -> None:
    model = dsal_model("3", CONFIG)
    assert model.get("model_version").startswith("p3-r000-")
    assert model.predict([{"id": 5, "data": {}}]) == [[]]
    assert model.fit("START_TRAINING", {"project": PROJECT}) == {"status": "accepted"}


@pytest.mark.parametrize("name", ["None", "", None, "hands", "-1", "9999999999"])
def test_a_call_that_names_no_project_gets_no_predictions(
    dsal_model: type[Any], settings: Settings, caplog: pytest.LogCaptureFixture, name: str | None
) -> None:
    model = dsal_model(name, CONFIG)
    assert model.get("model_version") is None
    assert model.predict([{"id": 5, "data": {}}, {"id": 6, "data": {}}]) == [[], []]
    (record,) = caplog.records
    assert record.message == "A call of /predict names no project: its tasks get no predictions."
    assert not settings.model_dir.exists()


@pytest.mark.parametrize(
    "declaration",
    ['<?xml version="1.0"?>', "<?xml version='1.0' encoding='UTF-8'?>\n", "\ufeff<?xml version='1.0'?>"],
)
def test_an_xml_declaration_is_kept_from_the_framework_only(
    dsal_model: type[Any], services: Services, declaration: str
) -> None:
    declared = declaration + CONFIG
    model = dsal_model("3", declared)
    assert model.label_interface.get_control("mask").labels == ["Bone"]
    assert stored_config(services) == declared
    # The event has the same text, and a call without any changes nothing: the project does not become new.
    model.fit(
        "ANNOTATION_CREATED", {"project": PROJECT | {"label_config": declared}, "annotation": {"id": 7}}
    )
    dsal_model("3")
    dsal_model("3", "")
    assert stored_config(services) == declared


def test_without_the_framework_a_sentence_says_how_to_install_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "label_studio_ml", None)
    monkeypatch.delitem(sys.modules, "label_studio_ml.model", raising=False)
    with pytest.raises(FrameworkMissingError, match=r"label_studio_ml.*requirements-framework\.txt"):
        model_class(settings)


def test_without_what_the_framework_imports_the_sentence_names_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("from semver import Version", tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "semver", None)
    with pytest.raises(FrameworkMissingError, match=r"semver.*requirements-framework\.txt") as caught:
        model_class(settings)
    assert caught.value.name == "semver"


def test_a_script_called_model_would_hide_our_package(tmp_path: Path) -> None:
    """Why docs/operations.md has another name for it."""
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "_wsgi.py").write_text("from model import DsalModel")
    run = subprocess.run(
        [sys.executable, tmp_path / "_wsgi.py"],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "'model' is not a package" in run.stderr
