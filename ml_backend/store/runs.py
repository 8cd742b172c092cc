"""Training runs; a running one is the lease on its project, kept by heartbeats."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from ml_backend.items import OutsideFault
from ml_backend.store import events, liveness
from ml_backend.store.clock import clock
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Event, RunState, TrainingRun, Version, now

LEASE = timedelta(seconds=60)
"""A running run on another host without a heartbeat for this long counts as abandoned."""


class LeaseLostError(OutsideFault, RuntimeError):
    """Another process has taken the training over."""


def running(session: Session, project_id: int) -> TrainingRun | None:
    """The project's running run, abandoned or not, or None."""
    return session.scalars(_running(project_id)).one_or_none()


def is_abandoned(session: Session, run: TrainingRun) -> bool:
    """Whether nobody continues a running run: it has no owner, or a dead one.

    An owner on another host is dead if it has sent no heartbeat for `LEASE`. A heartbeat that lies as far
    ahead was sent before the clock was set back, and a living owner would have sent others since.
    """
    if not run.owner:
        return True
    alive = liveness.alive(run.owner)
    return abs(clock(session) - run.heartbeat_at) > LEASE if alive is None else not alive


def abandoned(session: Session) -> list[TrainingRun]:
    """The abandoned runs of all projects."""
    query = select(TrainingRun).where(TrainingRun.state == RunState.RUNNING)
    return [run for run in session.scalars(query) if is_abandoned(session, run)]


def running_now(session: Session) -> set[int]:
    """Ids of the running runs of all projects, abandoned ones and those that wait for their turn included."""
    return set(session.scalars(select(TrainingRun.id).where(TrainingRun.state == RunState.RUNNING)))


def last(session: Session, project_id: int) -> TrainingRun | None:
    """The project's latest run in any state, or None."""
    query = select(TrainingRun).where(TrainingRun.project_id == project_id)
    return session.scalars(query.order_by(TrainingRun.id.desc()).limit(1)).one_or_none()


def that_consumed(session: Session, event_id: int) -> TrainingRun | None:
    """The run that takes an event into account; None until there is one."""
    event = session.get(Event, event_id)
    if event is None or event.consumed_by_run is None:
        return None
    return session.get(TrainingRun, event.consumed_by_run)


def of_project(session: Session, project_id: int) -> list[TrainingRun]:
    """All runs of the project, newest first."""
    query = select(TrainingRun).where(TrainingRun.project_id == project_id)
    return list(session.scalars(query.order_by(TrainingRun.id.desc())))


def that_made(session: Session, project_id: int, weights_hash: str) -> int | None:
    """The training that produced these weights; None for initial weights."""
    query = (
        select(TrainingRun.id)
        .join(Version, Version.id == TrainingRun.version_id)
        .where(TrainingRun.project_id == project_id, Version.weights_hash == weights_hash)
    )
    return session.scalar(query.order_by(TrainingRun.id).limit(1))


def of_versions_before(session: Session, version: Version) -> set[int]:
    """The trainings that produced the versions of the project that are older than this one."""
    query = select(TrainingRun.id).where(
        TrainingRun.project_id == version.project_id, TrainingRun.version_id < version.id
    )
    return set(session.scalars(query))


def count(session: Session) -> dict[RunState, int]:
    """Number of runs of all projects by state, zeros included."""
    query = select(TrainingRun.state, func.count()).group_by(TrainingRun.state)
    counted = dict(session.execute(query).all())
    return {state: counted.get(state, 0) for state in RunState}


def begin(session: Session, project_id: int, owner: ProcessId, *, force: bool = False) -> TrainingRun | None:
    """Take the project's lease and consume all pending events; needs a writing session.

    An abandoned run is continued, with the same id and one more attempt. Returns None if another process is
    training the project, or if nothing is pending and `force` is False.

    Raises:
        sqlalchemy.exc.IntegrityError: on PostgreSQL, another process has begun a run at the same moment.
    """
    run = session.scalars(_running(project_id).with_for_update()).one_or_none()
    if run is not None:
        if run.owner != str(owner) and not is_abandoned(session, run):
            return None
        run.owner, run.heartbeat_at, run.attempts = str(owner), clock(session), run.attempts + 1
    elif force or events.pending(session, project_id):
        run = TrainingRun(project_id=project_id, owner=str(owner), heartbeat_at=clock(session))
        session.add(run)
    else:
        return None
    session.flush()
    events.consume(session, project_id, run.id)
    return run


def keep(session: Session, run_id: int, owner: ProcessId) -> None:
    """Store a heartbeat.

    Raises:
        LeaseLostError: the run no longer belongs to `owner`.
    """
    mine = (
        TrainingRun.id == run_id,
        TrainingRun.state == RunState.RUNNING,
        TrainingRun.owner == str(owner),
    )
    kept = session.execute(
        update(TrainingRun).where(*mine).values(heartbeat_at=clock(session)).returning(TrainingRun.id)
    )
    if kept.one_or_none() is None:
        raise LeaseLostError(f"Training run {run_id} was taken over, paused or ended; this process stops.")


def release(session: Session, run_id: int, owner: ProcessId, message: str) -> None:
    """Give up the lease of a run that is to be continued, by whichever process takes it next."""
    keep(session, run_id, owner)
    run = session.get_one(TrainingRun, run_id)
    run.owner, run.message = "", message


def let_go(session: Session, project_id: int, message: str) -> bool:
    """Take a running run from its process, to be continued later; False if there is none.

    The process notices it with its next heartbeat, and stops.
    """
    run = running(session, project_id)
    if run is None:
        return False
    run.owner, run.message = "", message
    session.flush()
    return True


def stop(session: Session, project_id: int, message: str) -> bool:
    """End a running run without a version; False if there is none. Its events are pending and fresh again.

    Its process notices it with its next heartbeat, and stops.
    """
    run = running(session, project_id)
    if run is None:
        return False
    session.execute(
        update(Event)
        .where(Event.consumed_by_run == run.id)
        .values(consumed_by_run=None)
        .execution_options(synchronize_session=False)
    )
    finish(session, run, RunState.FINISHED, message=message)
    return True


def finish(
    session: Session,
    run: TrainingRun,
    state: RunState,
    *,
    message: str = "",
    labels: int = 0,
    version_id: int | None = None,
) -> None:
    """End a run and release its lease; events consumed by a failed run are pending again."""
    ended = now()
    run.state, run.message, run.labels, run.version_id = state, message, labels, version_id
    run.finished_at, run.seconds = ended, (ended - run.started_at).total_seconds()
    session.add(run)
    session.flush()


def _running(project_id: int) -> Select[TrainingRun]:
    return select(TrainingRun).where(
        TrainingRun.project_id == project_id, TrainingRun.state == RunState.RUNNING
    )
