"""Requests for jobs, and what the loop asks about those that wait or are executed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import redis
from rq import Worker
from rq.job import Job, JobStatus
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from ml_backend.queue.kinds import (
    ACT,
    ASSIGN,
    CONFIRM,
    EXAMINE,
    NOTIFY,
    ORDER,
    PRUNE,
    PUBLISH,
    QUICK,
    RANK,
    RECONCILE,
    REDRAW,
    RETRY_IMAGES,
    SCORE,
    SCORE_CHUNK,
    SCORE_DUE,
    SCORE_NEW,
    SCORE_VERSION,
    SEND,
    TRAINING,
    UPKEEP,
    JobKind,
)
from ml_backend.queue.locks import Locks
from ml_backend.queue.named_jobs import ENDED, FAILED_SECONDS, NamedJobQueues
from ml_backend.queue.unconfirmed import UnconfirmedProjects
from ml_backend.store.scores import Unfinished

MIN_CHUNKS = 2
"""Chunks of one version that may be queued or running at once, however few workers there are."""


class JobQueues(NamedJobQueues):
    """Requests jobs; requesting a job that is already waiting changes nothing.

    What there is to do is in the database and in Label Studio, so losing Redis loses no work. Each request
    method returns whether it added a job.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Use the queues on the Redis server of `client`."""
        super().__init__(client)
        self.unconfirmed = UnconfirmedProjects(client)
        self.locks = Locks(client, lambda name: self._status(name) is JobStatus.STARTED)

    def request_order(self, project_id: int) -> bool:
        """Request the project's first order, or an update of its order."""
        return self._request(ORDER, f"order-{project_id}", {"project_id": project_id})

    def request_score_new(self, project_id: int) -> bool:
        """Request scores of the tasks that the published version has not scored yet."""
        return self._request(SCORE_NEW, f"score-new-{project_id}", {"project_id": project_id})

    def request_score_version(self, version_id: int) -> bool:
        """Request the scores of all unlabelled tasks under a new version."""
        return self._request(SCORE_VERSION, f"score-v{version_id}", {"version_id": version_id})

    def plans_scores(self, version_id: int) -> bool:
        """Whether a job that plans a version's scores waits or is running; it requests what comes next."""
        return self._status(f"score-v{version_id}") in (JobStatus.QUEUED, JobStatus.STARTED)

    def request_score_chunk(self, version_id: int, chunk: int) -> bool:
        """Request the scores of one chunk of a version."""
        arguments = {"version_id": version_id, "chunk": chunk}
        return self._request(SCORE_CHUNK, self.chunk_name(version_id, chunk), arguments)

    @staticmethod
    def chunk_name(version_id: int, chunk: int) -> str:
        """Name of a chunk's job, and of the lock that a job has on each chunk that it scores."""
        return f"score-v{version_id}-c{chunk}"

    def others_wait(self, version_id: int | None = None) -> bool:
        """Whether any quick or scoring job is queued, other than the chunks of `version_id`."""
        waiting = [name for queue in (QUICK, SCORE) for name in self._queues[queue].get_job_ids()]
        own = None if version_id is None else self.chunk_name(version_id, 0)[:-1]
        return any(own is None or not name.startswith(own) for name in waiting)

    def upkeep_waits(self) -> bool:
        """Whether any upkeep job is queued, such as a comparison with Label Studio."""
        return bool(self._queues[UPKEEP].get_job_ids())

    def request_chunks(self, version_id: int, chunks: Sequence[int], *, again: bool = False) -> int:
        """Request a version's first unfinished chunks, as many as the workers can score at once.

        The others are requested as these end. So a project with ten thousand tasks has only a few chunks in
        the queue at a time, and projects take turns. Failed chunks are requested only with `again`. Returns
        the number of new jobs.
        """
        names = {chunk: self.chunk_name(version_id, chunk) for chunk in chunks}
        states = {
            chunk: JobStatus.STARTED if self.locks.is_locked(name) else self._status(name)
            for chunk, name in names.items()
        }
        busy = sum(state in (JobStatus.QUEUED, JobStatus.STARTED) for state in states.values())
        free = max(MIN_CHUNKS, Worker.count(queue=self._queues[SCORE])) - busy
        idle = [chunk for chunk, state in states.items() if state is None or (again and state in ENDED)]
        return sum(self.request_score_chunk(version_id, chunk) for chunk in idle[: max(free, 0)])

    def request_rank(self, version_id: int) -> bool:
        """Request the ranking of a version whose images are all measured."""
        return self._request(RANK, f"rank-v{version_id}", {"version_id": version_id})

    def request_send(self, version_id: int) -> bool:
        """Request that a version's predictions are sent, which are all computed and ranked."""
        return self._request(SEND, f"send-v{version_id}", {"version_id": version_id})

    def request_next_step(self, version_id: int, unfinished: Unfinished) -> int:
        """Request what comes next on a version's way to its publication; returns the number of new jobs."""
        if unfinished.chunks:
            return self.request_chunks(version_id, unfinished.chunks, again=True)
        if unfinished.to_rank:
            return self.request_rank(version_id)
        if unfinished.to_send:
            return self.request_send(version_id)
        return self.request_publish(version_id)

    def request_publish(self, version_id: int) -> bool:
        """Request the publication of a version."""
        return self._request(PUBLISH, f"publish-v{version_id}", {"version_id": version_id})

    def request_prune(self, version_id: int) -> bool:
        """Request the deletion of what a published version has replaced."""
        return self._request(PRUNE, f"prune-v{version_id}", {"version_id": version_id})

    def note_kept(self, version: str) -> None:
        """Note that a version's predictions that open pages may show are kept: the others may be deleted.

        By its name, as SQLite gives the id of a version that was purged to a later one.
        """
        self.redis.set(f"dsal-kept-{version}", 1, ex=FAILED_SECONDS)

    def is_kept(self, version: str) -> bool:
        """Whether that was noted; forgotten after a week, or with the queue."""
        return bool(self.redis.exists(f"dsal-kept-{version}"))

    def request_redraw(self, project_id: int) -> bool:
        """Request that the next tasks of a project are drawn by its newest weights."""
        return self._request(REDRAW, f"redraw-{project_id}", {"project_id": project_id})

    def request_score_due(self, version_id: int) -> bool:
        """Request that a published version scores the tasks that still have a former version's score."""
        return self._request(SCORE_DUE, self.due_name(version_id), {"version_id": version_id})

    @staticmethod
    def due_name(version_id: int) -> str:
        """Name of the job that scores what a version's candidates left, and of its lock."""
        return f"due-v{version_id}"

    def request_retry_images(self, version_id: int) -> bool:
        """Request a retry of the images that failed for a temporary reason."""
        return self._request(RETRY_IMAGES, f"retry-images-v{version_id}", {"version_id": version_id})

    def request_assignment(self, project_id: int, *, delay: float | None = None) -> bool:
        """Request an assignment of tasks, at once or `delay` seconds from now.

        A request with a delay postpones a scheduled assignment; a request without one starts it.
        """
        return self._request(ASSIGN, f"assign-{project_id}", {"project_id": project_id}, delay)

    def request_training(self, project_id: int, *, delay: float | None = None, postpone: bool = True) -> bool:
        """Request a training, at once or `delay` seconds from now.

        A request without a delay starts a scheduled training; one with a delay postpones it, unless
        `postpone` is False.
        """
        name = f"train-{project_id}"
        if not postpone and self.training_is_scheduled(project_id):
            return False
        return self._request(TRAINING, name, {"project_id": project_id}, delay)

    def training_is_scheduled(self, project_id: int) -> bool:
        """Whether a training of the project waits for its time: for its next try, or for a quiet moment."""
        return self._status(f"train-{project_id}") is JobStatus.SCHEDULED

    def training_waits(self, project_id: int) -> bool:
        """Whether a training of the project is queued, that is, waits only for a worker."""
        return self._status(f"train-{project_id}") is JobStatus.QUEUED

    def others_train(self, project_id: int) -> bool:
        """Whether a training of another project waits for a worker."""
        waiting = self._queues[TRAINING.queue].get_job_ids()
        jobs = Job.fetch_many(waiting, connection=self.redis, serializer=JSONSerializer)
        return any(
            job is not None and job.func_name == TRAINING.name and job.kwargs.get("project_id") != project_id
            for job in jobs
        )

    def is_scored_now(self, version_id: int, chunks: Iterable[int]) -> bool:
        """Whether a job that leads to a version's publication is queued or running.

        One that failed and waits for its retry does not count, so that a version that cannot be published
        holds nothing up. `chunks` are those that are unfinished.
        """
        parts = [self.chunk_name(version_id, chunk) for chunk in chunks]
        names = [f"{job}-v{version_id}" for job in ("score", "rank", "send", "publish")] + parts
        is_busy = (self._status(name) in (JobStatus.QUEUED, JobStatus.STARTED) for name in names)
        return any(is_busy) or any(self.locks.is_locked(name) for name in parts)

    def executing(self, kind: JobKind) -> set[int]:
        """The ids of the projects for which a worker executes a job of this kind.

        Such a job may not have recorded anything in the database yet.
        """
        registry = StartedJobRegistry(queue=self._queues[kind.queue])
        job_ids = registry.get_job_ids(cleanup=False)
        jobs = Job.fetch_many(job_ids, connection=self.redis, serializer=JSONSerializer)
        return {job.kwargs["project_id"] for job in jobs if job is not None and job.func_name == kind.name}

    def request_examination(self, project_id: int) -> bool:
        """Request that labels are examined that the present networks have not examined."""
        return self._request(EXAMINE, f"examine-{project_id}", {"project_id": project_id})

    def request_reconcile(self, *, delay: float | None = None) -> bool:
        """Request a comparison with Label Studio, at once or `delay` seconds from now."""
        return self._request(RECONCILE, "reconcile", {}, delay)

    def request_action(self, action_id: int) -> bool:
        """Request what a person asked for."""
        return self._request(ACT, f"act-{action_id}", {"action_id": action_id})

    def request_notice_of_version(self, version_id: int) -> bool:
        """Request a message that a version is published."""
        return self._request(NOTIFY, f"notify-v{version_id}", {"version_id": version_id})

    def request_notice_of_run(self, run_id: int) -> bool:
        """Request a message that a training failed."""
        return self._request(NOTIFY, f"notify-run-{run_id}", {"run_id": run_id})

    def request_notice_to_stop(self, project_id: int) -> bool:
        """Request a message that it is time to stop, if it is."""
        return self._request(NOTIFY, f"notify-stop-{project_id}", {"project_id": project_id})

    def request_confirmation(self, project_id: int) -> bool:
        """Request that Label Studio is asked for a project of which somebody without a password spoke.

        See `UnconfirmedProjects.add` for when that is refused; then it returns False.
        """
        added = self.unconfirmed.add(project_id)
        if added:
            self._request(CONFIRM, "confirm", {})
        return added

    def take_unconfirmed(self) -> list[int]:
        """The projects that wait for confirmation, a few at a time, with another job for the others."""
        taken = self.unconfirmed.take()
        if len(self.unconfirmed):
            self._request(CONFIRM, "confirm", {})
        return taken

    def forget_project(self, project_id: int, version_ids: Iterable[int]) -> None:
        """Delete all queued and scheduled jobs of a project and of its versions."""
        mine = {("project_id", project_id), *(("version_id", version_id) for version_id in version_ids)}
        for queue in self._queues.values():
            waiting = [*queue.get_job_ids(), *ScheduledJobRegistry(queue=queue).get_job_ids()]
            for job in Job.fetch_many(waiting, connection=self.redis, serializer=JSONSerializer):
                if job is not None and mine & set(job.kwargs.items()):
                    job.delete()
