from __future__ import annotations

from rq import Queue, Worker
from rq.serializers import JSONSerializer

from ml_backend.label_studio.config import default_config
from ml_backend.queue import recovery
from ml_backend.queue.kinds import EXAMINE, TRAIN
from ml_backend.reconcile import resume
from ml_backend.store import (
    assignments,
    events,
    examinations,
    labels_seen,
    projects,
    runs,
    scores,
    versions,
)
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import ProjectState, RunState, ScoreState, VersionState, now
from ml_backend.web.app import Services


def test_unfinished_work_is_requested_again_after_redis_was_lost(services: Services) -> None:
    database, queues = services.database, services.queues
    with database.write() as session:
        projects.ensure(session, 1, seed=0)
        for project_id in (2, 3, 4):
            projects.ensure(session, project_id, seed=0).state = ProjectState.READY
        events.add(session, 2, "ANNOTATION_CREATED", changes=[f"annotation:{n}" for n in range(10)])
        planned = {
            part: versions.create(
                session, projects.ensure(session, 3, seed=0), round=round, state=VersionState.SCORING
            ).id
            for round, part in enumerate(("none", "half", "all", "measured"))
        }
        scores.plan(session, planned["half"], [1, 2, 3], chunk_size=2)
        scores.set_state(session, planned["half"], [1, 2], ScoreState.WRITTEN)
        scores.plan(session, planned["all"], [1], chunk_size=2)
        scores.set_state(session, planned["all"], [1], ScoreState.WRITTEN)
        scores.plan(session, planned["measured"], [1], chunk_size=2)
        scores.set_state(session, planned["measured"], [1], ScoreState.MEASURED)
        lost = runs.begin(session, 4, ProcessId("gone", "1", 1, 1), force=True)
        assert lost is not None
        lost.heartbeat_at -= 2 * runs.LEASE
    resume.resume_orders(database, queues)
    resume.resume_trainings(services.settings, database, queues)
    waiting = {job_id for queue in queues.all() for job_id in queue.get_job_ids()}
    assert waiting == {
        "order-1",
        "train-2",
        "train-4",
        f"score-v{planned['none']}",
        f"score-v{planned['half']}-c1",
        f"publish-v{planned['all']}",
        f"rank-v{planned['measured']}",
    }


def test_a_project_without_a_usable_labeling_config_gets_no_order_until_it_changes(
    services: Services,
) -> None:
    database, queues = services.database, services.queues
    with database.write() as session:
        projects.note(session, 1, '<View><Image name="image" value="$image"/></View>', seed=0)
    assert resume.resume_orders(database, queues) == 0
    with database.write() as session:
        assert projects.note(session, 1, default_config(["Bone"]), seed=0)
    assert resume.resume_orders(database, queues) == 1


def test_a_job_that_has_begun_and_recorded_nothing_yet_is_not_missing(services: Services) -> None:
    database, queues = services.database, services.queues
    with database.write() as session:
        projects.ensure(session, 1, seed=0)
        projects.ensure(session, 2, seed=0).state = ProjectState.READY
        events.add(session, 2, "ANNOTATION_CREATED", changes=[f"annotation:{n}" for n in range(10)])
    assert queues.request_order(1)
    assert queues.request_training(2)
    taken = list(queues.all())
    worker = Worker(taken, f"{ProcessId.current()}#0", connection=queues.redis, serializer=JSONSerializer)
    for _ in range(2):
        found = Queue.dequeue_any(taken, None, connection=queues.redis, serializer=JSONSerializer)
        assert found is not None
        job, _queue = found
        worker.prepare_execution(job)
        with queues.redis.pipeline() as pipeline:
            job.prepare_for_execution(worker.name, pipeline=pipeline)
            pipeline.execute()

    assert resume.resume_orders(database, queues) == 0
    assert resume.resume_trainings(services.settings, database, queues) == 0
    assert sum(queues.depths().values()) == 0

    # The worker died: its jobs are put back, and no others are added.
    assert recovery.requeue_abandoned(queues, f"{ProcessId.current()}#1") == 2
    assert resume.resume_orders(database, queues) == 0
    assert resume.resume_trainings(services.settings, database, queues) == 0
    assert sum(queues.depths().values()) == 2


def test_batches_and_assignments_are_refilled_after_a_time_without_workers(services: Services) -> None:
    database, queues = services.database, services.queues
    with database.write() as session:
        for number in (1, 2, 3, 4):
            projects.ensure(session, number, seed=0)
        projects.ensure(session, 2, seed=0).shows_batch = True
        assignments.set_annotators(session, 3, ["ann@x", "bob@x"])
        archived = projects.ensure(session, 4, seed=0)
        archived.shows_batch, archived.archived_at = True, now()
    resume.resume_assignments(database, queues)
    assert sorted(job for queue in queues.all() for job in queue.get_job_ids()) == ["assign-2", "assign-3"]


def learned(services: Services, project_id: int, tasks: int) -> None:
    """Note that a training has seen one label of each of so many tasks."""
    with services.database.write() as session:
        projects.ensure(session, project_id, seed=0).state = ProjectState.READY
        labels = {n: LabelDigest(n, "digest") for n in range(1, tasks + 1)}
        labels_seen.replace(session, project_id, labels)


def test_labels_are_examined_only_while_nothing_else_is_to_be_done(services: Services) -> None:
    database, queues = services.database, services.queues
    settings = services.settings.model_copy(update={"examine_from": 8})

    def requested() -> list[str]:
        resume.resume_examinations(settings, database, queues)
        (queue,) = [queue for queue in queues.all() if queue.name == TRAIN]
        found = queue.get_job_ids()
        queues.forget_project(1, ())
        return found

    learned(services, 1, 7)
    assert requested() == [], "too few"
    learned(services, 1, 8)
    assert requested() == ["examine-1"]
    off = settings.model_copy(update={"examine_from": 0})
    resume.resume_examinations(off, database, queues)
    assert queues.is_idle(EXAMINE)
    assert queues.depths()[TRAIN] == 0, "it can be switched off"

    queues.request_order(2)
    assert requested() == [], "another job waits"
    queues.forget_project(2, ())
    with database.write() as session:
        events.add(session, 1, "ANNOTATION_CREATED", changes=["annotation:9"])
    assert requested() == [], "a label waits, though it starts no training yet"
    with database.write() as session:
        run = runs.begin(session, 1, ProcessId.current(), force=True)
        assert run is not None
    assert requested() == [], "the project is trained"
    with database.write() as session:
        runs.finish(session, session.merge(run), RunState.FINISHED)
        version = versions.create(
            session, projects.ensure(session, 1, seed=0), round=1, state=VersionState.SCORING
        )
    assert requested() == [], "its images are scored"
    with database.write() as session:
        versions.publish(session, session.merge(version))
    assert requested() == ["examine-1"]

    with database.write() as session:
        begun, _ = examinations.begin(session, 1, ["Bone"], 8, [[1, 2], [3]])
        begun.finished = examinations.stamp(session, projects.ensure(session, 1, seed=0))
    assert requested() == [], "all labels are examined"
    learned(services, 1, 9)
    assert requested() == ["examine-1"], "but not the new one"
