import threading

import pytest

from ml_backend.queue import kinds
from ml_backend.queue.kinds import TRAIN
from ml_backend.store import events
from ml_backend.store.models import Event
from ml_backend.web.app import Services
from ml_backend.web.inbox import Arrival, Inbox


@pytest.fixture
def inbox(services: Services) -> Inbox:
    return Inbox(services.settings, services.database, services.queues)


def annotation(number: int, action: str = "ANNOTATION_CREATED") -> Arrival:
    return Arrival(3, action, changes=(f"annotation:{number}",), jobs=(kinds.TRAINING,))


def test_events_of_many_threads_are_all_stored_and_request_one_training(
    inbox: Inbox, services: Services
) -> None:
    def take(first: int) -> None:
        for number in range(first, first + 10):
            inbox.take(annotation(number))

    threads = [threading.Thread(target=take, args=(first,)) for first in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inbox.settle()
    with services.database.read() as session:
        assert session.query(Event).count() == 80
        assert events.pending(session, 3).changes == 80
    assert services.queues.depths()[TRAIN] == 1
    assert services.queues.training_waits(3)


def test_an_event_that_cannot_be_written_does_not_affect_others(inbox: Inbox, services: Services) -> None:
    gate = threading.Barrier(5)
    refused: list[Exception] = []

    def take(arrival: Arrival) -> None:
        gate.wait()
        try:
            inbox.take(arrival)
        except OverflowError as error:
            refused.append(error)

    arrivals = [annotation(1), annotation(2), Arrival(2**70, "TASKS_CREATED"), annotation(3), annotation(4)]
    threads = [threading.Thread(target=take, args=(arrival,)) for arrival in arrivals]
    with services.database.write():  # Blocks all writes, so that the events are written together.
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    with services.database.read() as session:
        assert events.pending(session, 3).changes == 4
    assert len(refused) == 1


def test_no_answer_waits_for_a_redis_that_hangs(inbox: Inbox, services: Services) -> None:
    services.queues.redis.client_pause(2000)
    inbox.take(annotation(1))
    with services.database.read() as session:
        assert events.pending(session, 3).changes == 1
    inbox.settle()
    assert services.queues.depths()[TRAIN] == 1
