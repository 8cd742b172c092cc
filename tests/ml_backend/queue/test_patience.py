"""A job that meets a fault around it is tried again until the fault ends; a bug is tried a few times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rq import SimpleWorker
from rq.job import Job
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from rq.serializers import JSONSerializer
from sqlalchemy.exc import OperationalError

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job, job_class
from ml_backend.queue.kinds import RETRY_SECONDS, SCORE_NEW
from ml_backend.queue.patience import JITTER, LONGEST_SECONDS
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings

NAME = "score-new-7"


class Case:
    """One job whose function fails as `fault` says."""

    def __init__(self, queues: JobQueues) -> None:
        self.queues, self.done = queues, 0
        self.fault: Exception | None = None
        (self.queue,) = [queue for queue in queues.all() if queue.name == SCORE_NEW.queue]
        self.scheduled = ScheduledJobRegistry(queue=self.queue)

        @job(SCORE_NEW)
        def work(_context: Context, project_id: int) -> None:
            assert project_id == 7
            if self.fault is not None:
                raise self.fault
            self.done += 1

        self.job_class = job_class({SCORE_NEW.name: work})
        queues.request_score_new(7)

    def try_once(self) -> float | None:
        """Execute the job; returns the seconds until its next try, None if there is none."""
        if NAME in self.scheduled.get_job_ids():
            self.scheduled.requeue(NAME)
        worker = SimpleWorker(
            [self.queue],
            connection=self.queues.redis,
            job_class=self.job_class,
            serializer=JSONSerializer,
        )
        worker.work(burst=True, logging_level="CRITICAL")
        if NAME not in self.scheduled.get_job_ids():
            return None
        found = Job.fetch(NAME, connection=self.queues.redis, serializer=JSONSerializer)
        assert found.ended_at is not None
        return (self.scheduled.get_scheduled_time(NAME) - found.ended_at).total_seconds()


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    client = connect_redis(Settings())
    yield Case(JobQueues(client))
    client.close()


@pytest.mark.parametrize(
    "fault",
    [
        LabelStudioError("Nothing answers."),
        LabelStudioError("The token is refused.", status=401),
        OperationalError("SELECT 1", {}, OSError("The database is away.")),
    ],
    ids=["away", "refused", "database"],
)
def test_a_passing_fault_never_uses_up_the_tries_and_the_waits_are_bounded(
    case: Case, fault: Exception
) -> None:
    case.fault = fault
    waits = [case.try_once() for _ in range(8)]
    expected = [*RETRY_SECONDS, *[LONGEST_SECONDS] * 5]
    for seconds, around in zip(waits, expected, strict=True):
        assert seconds == pytest.approx(around, abs=JITTER * around + 2), "Redis keeps whole seconds"
    (waiting,) = case.queues.waiting()
    assert (waiting.name, waiting.failures) == (NAME, 8)
    assert str(fault).splitlines()[0] in waiting.reason

    case.fault = None
    assert case.try_once() is None
    assert case.done == 1
    assert case.queues.waiting() == []


def test_when_label_studio_answers_again_nothing_waits_for_it_any_longer(case: Case) -> None:
    case.fault = LabelStudioError("Nothing answers.")
    case.try_once()
    assert case.queues.end_waiting() == 1
    assert case.queue.get_job_ids() == [NAME]


def test_a_bug_is_tried_again_a_few_times_and_is_named_meanwhile(case: Case) -> None:
    case.fault = KeyError("data")
    assert [case.try_once() is None for _ in range(4)] == [False, False, False, True]
    assert FailedJobRegistry(queue=case.queue).get_job_ids() == [NAME]


def test_a_job_about_something_that_is_gone_ends(case: Case) -> None:
    case.fault = LabelStudioError("There is no project 7.", status=404)
    assert case.try_once() is None
    assert FailedJobRegistry(queue=case.queue).get_job_ids() == []
