import time
from dataclasses import replace

import pytest
from rq.registry import ScheduledJobRegistry
from rq.serializers import JSONSerializer

from ml_backend.learn.trigger import after_training, consider
from ml_backend.queue.kinds import TRAIN
from ml_backend.store import events, labels_seen, projects, runs
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import RunState, TrainingRun
from ml_backend.web.app import Services

ELSEWHERE = replace(ProcessId.current(), host="elsewhere")


@pytest.fixture(autouse=True)
def project(services: Services) -> None:
    with services.database.write() as session:
        projects.ensure(session, 3, seed=0)


def happen(
    services: Services, *changes: str, action: str = "ANNOTATION_CREATED", learn_from: int = 0
) -> None:
    """An event, as a project sees it that learns only in rounds unless `learn_from` is given."""
    with services.database.write() as session:
        events.add(session, 3, action, changes=changes)
    settings = services.settings.model_copy(update={"learn_from": learn_from})
    consider(services.database, services.queues, settings, 3)


def annotate(services: Services, first: int, last: int) -> None:
    for number in range(first, last + 1):
        happen(services, f"annotation:{number}")


def begin(services: Services) -> int:
    """Take the waiting job like a worker, and begin its run."""
    services.queues.redis.flushall()
    with services.database.write() as session:
        run = runs.begin(session, 3, ELSEWHERE)
        assert run is not None
        return run.id


def end(services: Services, run_id: int, state: RunState = RunState.FINISHED) -> None:
    with services.database.write() as session:
        runs.finish(session, session.get_one(TrainingRun, run_id), state)
    settings = services.settings.model_copy(update={"learn_from": 0})
    after_training(services.database, services.queues, settings, 3)


def waits(services: Services) -> bool:
    return services.queues.training_waits(3)


def due_in(services: Services) -> float | None:
    registry = ScheduledJobRegistry(TRAIN, connection=services.queues.redis, serializer=JSONSerializer)
    score = services.queues.redis.zscore(registry.key, "train-3")
    return None if score is None else float(score) - time.time()


def test_the_tenth_changed_annotation_starts_a_training(services: Services) -> None:
    annotate(services, 1, 9)
    assert not waits(services)
    happen(services, "annotation:9")
    assert not waits(services)
    happen(services, "annotation:10", action="ANNOTATIONS_DELETED")
    assert waits(services)


def test_from_the_second_label_on_each_is_learned_at_once(services: Services) -> None:
    happen(services, "annotation:1", learn_from=2)
    assert not waits(services)
    happen(services, "annotation:1", action="ANNOTATION_UPDATED", learn_from=2)
    assert not waits(services), "it is the same label"
    happen(services, "annotation:2", learn_from=2)
    assert waits(services)


def test_labels_of_earlier_rounds_count_among_those_that_learning_needs(services: Services) -> None:
    with services.database.write() as session:
        labels_seen.replace(session, 3, {7: LabelDigest(5, "d")})
    happen(services, "annotation:8", learn_from=2)
    assert waits(services)


def test_a_released_run_is_continued_when_something_happens(services: Services) -> None:
    annotate(services, 1, 10)
    run = begin(services)
    with services.database.write() as session:
        runs.release(session, run, ELSEWHERE, "waits")
    happen(services, "annotation:11")
    assert waits(services)
    with services.database.write() as session:
        again = runs.begin(session, 3, ProcessId.current())
        assert again is not None
        assert (again.id, again.attempts) == (run, 2)


def test_a_released_run_waits_for_its_turn_unless_something_happens(services: Services) -> None:
    annotate(services, 1, 10)
    run = begin(services)
    with services.database.write() as session:
        runs.release(session, run, ELSEWHERE, "waits")
    services.queues.request_training(3, delay=1)
    for _ in range(2):
        consider(services.database, services.queues, services.settings, 3)
        assert due_in(services) == pytest.approx(1, abs=2)
    services.queues.redis.flushall()
    consider(services.database, services.queues, services.settings, 3)
    assert due_in(services) is not None, "a lost turn is scheduled again"


def test_a_single_change_triggers_a_training_after_a_quiet_time(services: Services) -> None:
    happen(services, "annotation:1")
    assert due_in(services) == pytest.approx(services.settings.quiet_seconds, abs=3)
    assert services.queues.depths()[TRAIN] == 1


def test_events_without_label_changes_trigger_nothing(services: Services) -> None:
    for action in ("TASKS_CREATED", "PROJECT_UPDATED", "ANNOTATION_CREATED"):
        happen(services, action=action)
    assert services.queues.depths()[TRAIN] == 0


def test_a_requested_training_starts_at_once(services: Services) -> None:
    happen(services, "annotation:1")
    happen(services, action=events.START_TRAINING)
    assert waits(services)


def test_two_hundred_events_lead_to_one_training_and_at_most_one_more(services: Services) -> None:
    annotate(services, 1, 100)
    assert services.queues.depths()[TRAIN] == 1
    run = begin(services)
    annotate(services, 101, 200)
    assert services.queues.depths()[TRAIN] == 0
    end(services, run)
    assert services.queues.depths()[TRAIN] == 1
    assert waits(services)
    end(services, begin(services))
    assert services.queues.depths()[TRAIN] == 0


def test_few_changes_during_a_training_wait_for_a_quiet_time(services: Services) -> None:
    annotate(services, 1, 10)
    run = begin(services)
    annotate(services, 11, 13)
    end(services, run)
    assert not waits(services)
    assert due_in(services) == pytest.approx(services.settings.quiet_seconds, abs=5)


def test_a_request_during_a_training_is_not_forgotten(services: Services) -> None:
    annotate(services, 1, 10)
    run = begin(services)
    happen(services, action=events.START_TRAINING)
    end(services, run)
    assert waits(services)


def test_a_failed_training_is_not_repeated_without_a_new_event(services: Services) -> None:
    annotate(services, 1, 10)
    end(services, begin(services), RunState.FAILED)
    assert services.queues.depths()[TRAIN] == 0
    happen(services, "annotation:11")
    assert waits(services)


def test_an_abandoned_training_is_requested_again(services: Services) -> None:
    annotate(services, 1, 10)
    run = begin(services)
    with services.database.write() as session:
        begun = session.get_one(TrainingRun, run)
        begun.heartbeat_at = begun.heartbeat_at - 2 * runs.LEASE
    consider(services.database, services.queues, services.settings, 3)
    assert waits(services)
