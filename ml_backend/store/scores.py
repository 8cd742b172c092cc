"""Scores of tasks under a version, and their states on the way to Label Studio."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, undefer

from ml_backend.store.models import Score, ScoreState

FIRST_WAIT = timedelta(minutes=5)
"""How long an image waits for its next try after the second failure; it doubles with each further one."""

LONGEST_WAIT = timedelta(days=1)


def plan(session: Session, version_id: int, task_ids: Sequence[int], *, chunk_size: int) -> list[int]:
    """Add pending scores for tasks that have none, in chunks of at most `chunk_size` tasks.

    Returns the numbers of the new chunks. A second call with the same tasks adds nothing and returns [].
    """
    known = set(session.scalars(select(Score.task_id).where(Score.version_id == version_id)))
    fresh = [task_id for task_id in dict.fromkeys(task_ids) if task_id not in known]
    last = session.scalar(select(func.max(Score.chunk)).where(Score.version_id == version_id))
    first = 0 if last is None else last + 1
    session.add_all(
        Score(version_id=version_id, task_id=task_id, chunk=first + index // chunk_size)
        for index, task_id in enumerate(fresh)
    )
    session.flush()
    return list(range(first, first + (len(fresh) + chunk_size - 1) // chunk_size))


def divide_again(session: Session, version_id: int, *, chunk_size: int) -> None:
    """Divide the pending scores into new chunks, after many have got their values from elsewhere.

    No number is used twice, as a job may be working on a former chunk.
    """
    first = (session.scalar(select(func.max(Score.chunk)).where(Score.version_id == version_id)) or 0) + 1
    query = select(Score).where(Score.version_id == version_id, Score.state == ScoreState.PENDING)
    for index, score in enumerate(session.scalars(query.order_by(Score.task_id))):
        score.chunk = first + index // chunk_size


def of_chunk(session: Session, version_id: int, chunk: int) -> list[Score]:
    """Scores of one chunk with their packed data, by task."""
    query = select(Score).where(Score.version_id == version_id, Score.chunk == chunk)
    return list(session.scalars(query.order_by(Score.task_id).options(undefer(Score.packed))))


def of_version(session: Session, version_id: int, *, packed: bool = False, due: bool = True) -> list[Score]:
    """Scores of a version, by task; with their packed data if `packed`, and only its own if not `due`."""
    query = select(Score).where(Score.version_id == version_id).order_by(Score.task_id)
    query = query if due else query.where(~Score.due)
    return list(session.scalars(query.options(undefer(Score.packed)) if packed else query))


def tasks_in(session: Session, version_id: int, state: ScoreState) -> list[int]:
    """Tasks whose score is in this state."""
    query = select(Score.task_id).where(Score.version_id == version_id, Score.state == state)
    return list(session.scalars(query.order_by(Score.task_id)))


def priorities(session: Session, version_id: int) -> dict[int, float]:
    """{task: priority} of a version's scores that have one."""
    query = select(Score.task_id, Score.priority).where(Score.version_id == version_id)
    return {task: priority for task, priority in session.execute(query) if priority is not None}


def is_blank(session: Session, version_id: int, task_id: int) -> bool:
    """Whether a version found nothing in a task's image."""
    score = session.get(Score, (version_id, task_id))
    return score is not None and score.blank


def drawn_by_run(session: Session, version_id: int | None, task_id: int) -> int | None:
    """The training whose draft drew the mask of a task's prediction; None if the version did."""
    score = None if version_id is None else session.get(Score, (version_id, task_id))
    return None if score is None else score.drawn_by_run


def due(session: Session, version_id: int) -> set[int]:
    """Tasks that still have mask and score of a version before."""
    query = select(Score.task_id).where(Score.version_id == version_id, Score.due)
    return set(session.scalars(query))


def no_longer_due(session: Session, version_id: int, task_ids: Iterable[int]) -> None:
    """Leave these tasks with the mask and score that they have."""
    chosen = Score.version_id == version_id, Score.task_id.in_(list(task_ids))
    session.execute(update(Score).where(*chosen).values(due=False))


def of_tasks(session: Session, version_id: int, task_ids: Sequence[int]) -> list[Score]:
    """The version's scores of these tasks with their packed data, by task."""
    query = select(Score).where(Score.version_id == version_id, Score.task_id.in_(task_ids))
    return list(session.scalars(query.order_by(Score.task_id).options(undefer(Score.packed))))


_SENDABLE = Score.state.in_((ScoreState.RANKED, ScoreState.WRITING)) & Score.packed.is_not(None)


def unfinished_chunks(session: Session, version_id: int) -> list[int]:
    """Numbers of the chunks with scores to compute; those that only have to be ranked or sent are done."""
    done = Score.state.in_((ScoreState.WRITTEN, ScoreState.MEASURED)) | _SENDABLE
    query = select(Score.chunk).where(Score.version_id == version_id, ~done).distinct()
    return sorted(session.scalars(query))


def to_send(session: Session, version_id: int) -> list[int]:
    """Tasks whose prediction is ready and, as far as is known, not in Label Studio."""
    query = select(Score.task_id).where(Score.version_id == version_id, _SENDABLE)
    return list(session.scalars(query.order_by(Score.task_id)))


def begin_sending(session: Session, version_id: int) -> None:
    """Record that all predictions that are ready may be in Label Studio from now on."""
    ready = Score.version_id == version_id, _SENDABLE
    session.execute(update(Score).where(*ready).values(state=ScoreState.WRITING))


@dataclass(frozen=True)
class Unfinished:
    """What is left to do before a version can be published, in this order.

    Attributes:
        chunks: numbers of the chunks with scores to compute.
        to_rank: number of scores that wait for the ranking.
        to_send: number of predictions that are ready.
    """

    chunks: list[int]
    to_rank: int
    to_send: int


def unfinished(session: Session, version_id: int) -> Unfinished:
    """What is left to do before a version can be published."""
    chunks = unfinished_chunks(session, version_id)
    to_rank = count(session, version_id)[ScoreState.MEASURED]
    return Unfinished(chunks, to_rank, len(to_send(session, version_id)))


def count(session: Session, version_id: int) -> dict[ScoreState, int]:
    """Number of the version's scores by state, zeros included."""
    query = select(Score.state, func.count()).where(Score.version_id == version_id).group_by(Score.state)
    counted = dict(session.execute(query).all())
    return {state: counted.get(state, 0) for state in ScoreState}


@dataclass(frozen=True)
class ShownCounts:
    """What annotators are shown of a version's masks.

    Attributes:
        drawn: number of tasks that open with a mask.
        hidden: number of tasks whose mask is below the floor, and so not shown.
        blank: number of tasks in which the network found nothing.
        hidden_quality: mean estimated Dice of the hidden masks; None if there are none.
    """

    drawn: int
    hidden: int
    blank: int
    hidden_quality: float | None


def shown(session: Session, version_id: int) -> ShownCounts:
    """What annotators are shown of a version's masks; images that could not be read do not count."""
    query = (
        select(Score.hidden, Score.blank, func.count(), func.avg(Score.quality))
        .where(Score.version_id == version_id, Score.l_dsc.is_not(None), Score.error.is_(None))
        .group_by(Score.hidden, Score.blank)
    )
    found = {(hidden, blank): (count, quality) for hidden, blank, count, quality in session.execute(query)}
    hidden, quality = found.get((True, False), (0, None))
    return ShownCounts(
        found.get((False, False), (0, None))[0], hidden, found.get((False, True), (0, None))[0], quality
    )


def set_state(session: Session, version_id: int, task_ids: Iterable[int], state: ScoreState) -> None:
    """Set the state of these tasks' scores; only those that become pending lose their packed data."""
    chosen = Score.task_id.in_(list(task_ids))
    values = {"state": state} | ({"packed": None} if state is ScoreState.PENDING else {})
    session.execute(update(Score).where(Score.version_id == version_id, chosen).values(values))


def drop_packed(session: Session, version_ids: Iterable[int]) -> None:
    """Drop the packed data of these versions, from which no other order will be made any more."""
    waiting = Score.version_id.in_(list(version_ids)), Score.packed.is_not(None)
    session.execute(update(Score).where(*waiting).values(packed=None))


def remove_tasks(session: Session, version_id: int, task_ids: Iterable[int]) -> None:
    """Delete the scores of these tasks."""
    for score in session.scalars(
        select(Score).where(Score.version_id == version_id, Score.task_id.in_(list(task_ids)))
    ):
        session.delete(score)
    session.flush()


def adopt(session: Session, version_id: int, task_ids: Iterable[int]) -> None:
    """Add written scores for predictions that Label Studio has from another source, such as /predict."""
    for task_id in task_ids:
        if session.get(Score, (version_id, task_id)) is None:
            session.add(Score(version_id=version_id, task_id=task_id, chunk=-1, state=ScoreState.WRITTEN))
    session.flush()


def to_retry(session: Session, version_id: int, moment: datetime) -> list[Score]:
    """Scores of images that are due for a retry at `moment`, the longest due first.

    One that would have to wait longer than it ever should was postponed before the clock was set back.
    """
    query = select(Score).where(Score.version_id == version_id, Score.retry_at.is_not(None))
    rows = session.scalars(query.order_by(Score.retry_at, Score.task_id))
    return [
        row
        for row in rows
        if row.retry_at is not None and not timedelta(0) < row.retry_at - moment <= retry_wait(row.tries)
    ]


def retry_wait(tries: int) -> timedelta:
    """How long an image waits after so many failures in a row: not at all after the first."""
    return min(FIRST_WAIT * 2 ** min(tries - 2, 16), LONGEST_WAIT) if tries > 1 else timedelta(0)


def retry_now(session: Session, version_id: int, moment: datetime) -> int:
    """Make all failed images due for a retry, whatever the reason of the failure; returns their number."""
    failed = (Score.version_id == version_id, Score.error.is_not(None))
    task_ids = list(session.scalars(select(Score.task_id).where(*failed)))
    session.execute(update(Score).where(*failed).values(retry_at=moment))
    return len(task_ids)


def unreadable(session: Session, version_id: int) -> int:
    """Number of tasks without a score of their own: their image cannot be read, or their mask is refused."""
    query = select(func.count()).where(Score.version_id == version_id, Score.error.is_not(None))
    return session.scalar(query.select_from(Score)) or 0


def next_in_order(
    session: Session, version_id: int, *, highest_first: bool, without: Collection[int], limit: int
) -> list[Score]:
    """The first tasks in a version's order, without these; no packed data is loaded."""
    order = Score.priority.desc() if highest_first else Score.priority
    query = select(Score).where(Score.version_id == version_id, Score.priority.is_not(None))
    found: list[Score] = []
    for row in session.scalars(query.order_by(order, Score.task_id)).yield_per(200):
        if row.task_id not in without:
            found.append(row)
        if len(found) >= limit:
            break
    return found


def qualities(session: Session, version_id: int) -> list[tuple[float, float | None]]:
    """(estimated Dice, margin) of each mask of a version that has an estimate."""
    query = select(Score.quality, Score.margin).where(
        Score.version_id == version_id, Score.quality.is_not(None)
    )
    return [(quality, margin) for quality, margin in session.execute(query) if quality is not None]


def quality_extent(session: Session, version_id: int) -> tuple[int, float | None]:
    """Number and mean of a version's estimates; they change when masks are drawn again."""
    query = select(func.count(Score.quality), func.avg(Score.quality)).where(Score.version_id == version_id)
    count, mean = session.execute(query).one()
    return count, mean
