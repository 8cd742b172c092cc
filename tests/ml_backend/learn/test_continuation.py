"""With LEARN_FROM=0, a training that only continues another makes way for whoever waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml_backend.label_studio.client import LabelStudio
from ml_backend.learn import continuation
from ml_backend.learn.continuation import Continuation
from ml_backend.learn.label_feed import StoppedError
from ml_backend.queue.context import Context, image_reader
from ml_backend.store import events, projects, runs
from ml_backend.store.liveness import ProcessId
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services

PROJECT, OTHER = 3, 4


@pytest.fixture
def context(services: Services, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(continuation, "LOOK_SECONDS", 0.0)
    settings = services.settings.model_copy(
        update={"learn_from": 0, "turn_seconds": 0.0, "quiet_seconds": 3600.0, "retrain_every": 2}
    )
    studio = LabelStudio(settings.label_studio_url, "0" * 40)
    weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    with services.database.write() as session:
        for project in (PROJECT, OTHER):
            projects.ensure(session, project, seed=0)
    reader = image_reader(settings, studio)
    return Context(settings, studio, services.database, weights, services.queues, reader)


def begun(context: Context, *actions: str, changes: tuple[str, ...] = ()) -> Continuation:
    """A run that has consumed events with these actions."""
    with context.database.write() as session:
        for action in actions:
            events.add(session, PROJECT, action, changes=changes)
        run = runs.begin(session, PROJECT, ProcessId.current())
        assert run is not None
    return Continuation(context, PROJECT, run.id)


def label(context: Context, number: int) -> None:
    with context.database.write() as session:
        events.add(session, PROJECT, "ANNOTATION_CREATED", changes=[f"annotation:{number}"])


def test_it_goes_on_while_nobody_waits(context: Context) -> None:
    run = begun(context, events.CONTINUE_TRAINING)
    label(context, 1)
    context.queues.request_training(PROJECT)
    run.make_way()


def test_it_makes_way_for_another_project_once_its_turn_is_over(context: Context) -> None:
    long = replace(context, settings=context.settings.model_copy(update={"turn_seconds": 3600.0}))
    run = begun(long, events.CONTINUE_TRAINING)
    context.queues.request_training(OTHER)
    run.make_way()
    run.context = context
    with pytest.raises(StoppedError, match="another project") as stopped:
        run.make_way()
    assert stopped.value.delay is not None, "it is requested again"


def test_it_makes_way_for_a_round_of_its_own_project(context: Context) -> None:
    run = begun(context, events.CONTINUE_TRAINING)
    label(context, 1)
    run.make_way()
    label(context, 2)
    with pytest.raises(StoppedError, match="new labels"):
        run.make_way()


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", events.START_TRAINING])
def test_a_training_that_somebody_waits_for_is_finished(context: Context, action: str) -> None:
    changes = ("annotation:9",) if action == "ANNOTATION_CREATED" else ()
    run = begun(context, action, changes=changes)
    context.queues.request_training(OTHER)
    run.make_way()
    run = begun(context, events.CONTINUE_TRAINING)
    run.make_way()
