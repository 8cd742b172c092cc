from ml_backend.queue.kinds import EXAMINE, SCORE
from ml_backend.queue.queues import JobQueues


def test_a_chunk_that_a_turn_works_on_is_requested_by_nobody(queues: JobQueues) -> None:
    with queues.locks.exclusive(queues.chunk_name(1, 0), 60):
        assert queues.is_scored_now(1, [0])
        assert queues.request_chunks(1, [0, 1, 2]) == 1, "two at once: one is worked on, one is added"
        assert queues.depths()[SCORE] == 1
    assert queues.request_chunks(1, [0, 1, 2]) == 1


def test_only_other_work_ends_a_turn(queues: JobQueues) -> None:
    queues.request_chunks(1, [0, 1])
    assert not queues.others_wait(1)
    assert queues.others_wait(11), "another version's chunks wait"
    queues.request_training(1)
    assert not queues.others_wait(1), "trainings have a lane of their own"
    queues.request_score_new(1)
    assert queues.others_wait(1)


def test_an_examination_that_waits_takes_no_training_its_turn(queues: JobQueues) -> None:
    queues.request_training(3)
    queues.request_examination(4)
    assert not queues.others_train(3)
    queues.request_training(5)
    assert queues.others_train(3)


def test_the_queues_are_idle_beside_an_examination_and_upkeep_that_runs(queues: JobQueues) -> None:
    queues.request_examination(4)
    assert queues.is_idle(EXAMINE)
    for request in (queues.request_order, queues.request_redraw, queues.request_training):
        request(3)
        assert not queues.is_idle(EXAMINE)
        queues.forget_project(3, ())
        assert queues.is_idle(EXAMINE)
    queues.request_training(3, delay=100)
    assert queues.is_idle(EXAMINE), "a training that waits for a quiet moment"
