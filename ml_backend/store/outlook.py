"""When to stop: what a project's versions and its pool say about further labels, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.store.models import Edit, LabelSeen, Score, Version
from ml_backend.store.versions import dsc_by_task
from model.quality import MIN_IMAGES
from model.stopping import MIN_ROUNDS, STEP, SURE, Forecast, forecast

RECENT = 50
"""Latest annotations from which the time of a label is taken: people become quicker."""


@dataclass(frozen=True)
class LearningCurve:
    """Validation figures of a project's versions, oldest first, each with more labels than the one before.

    Attributes:
        versions: their names.
        labels: labelled tasks of each.
        dsc: (versions, validation tasks) Dice, NaN where unknown; one column if only means are known.
    """

    versions: tuple[str, ...]
    labels: tuple[int, ...]
    dsc: NDArray[np.float64]

    @property
    def means(self) -> list[float]:
        """Mean Dice of each version over the images that it was validated on."""
        return [float(value) for value in np.nanmean(self.dsc, axis=1)] if len(self.dsc) else []


@dataclass(frozen=True)
class Pool:
    """The tasks without labels: their number, and the mean estimated Dice of their masks, None if unknown."""

    tasks: int
    dsc: float | None


@dataclass(frozen=True)
class Outlook:
    """What further labels will bring.

    Attributes:
        curve: what it rests on.
        pool: the tasks that are left.
        forecast: None with too few rounds.
        seconds: median time of an annotation, None if unknown.
    """

    curve: LearningCurve
    pool: Pool
    forecast: Forecast | None
    seconds: float | None

    @property
    def minutes(self) -> tuple[float, float] | None:
        """Least and most minutes to go, if a number of labels can be said and a label's time is known."""
        if self.forecast is None or self.forecast.verdict != "more" or self.seconds is None:
            return None
        more = self.forecast.more
        return more.low * self.seconds / 60, more.high * self.seconds / 60

    @property
    def is_time_to_stop(self) -> bool:
        """Whether further labels would hardly bring anything."""
        return self.forecast is not None and self.forecast.verdict == "stop"

    def sentence(self) -> str:
        """The outlook in words."""
        found = self.forecast
        if found is None:
            rounds = len(self.curve.versions)
            return f"when to stop: not yet to be told ({rounds} of {MIN_ROUNDS} validated rounds)"
        if found.verdict == "unknown":
            return f"when to stop: not yet to be told ({found.reason})"
        if found.verdict == "stop":
            return (
                f"time to stop: DSC is {found.now.median:.3f}, and labelling on would bring less than "
                f"{STEP:g} ({SURE:.0%} certain; {self.pool.tasks} tasks are unlabelled)"
            )
        low, high = round(found.more.low), round(found.more.high)
        how_many = f"about {low} to {high}" if low else f"at most about {high}"
        sentence = (
            f"{how_many} more labels for the last {STEP:g} of DSC "
            f"(now {found.now.median:.3f}, in the end about {found.end.median:.3f})"
        )
        if self.minutes is not None and self.seconds is not None:
            least, most = self.minutes
            sentence += f": {least:.0f} to {most:.0f} minutes at {self.seconds:.0f} s a label"
        return sentence


def outlook(session: Session, project_id: int, published: Version | None) -> Outlook:
    """What further labels will bring to a project; `published` is its published version."""
    curve, pool = learning_curve(session, project_id), unlabelled(session, project_id, published)
    found = None
    if len(curve.labels) >= MIN_ROUNDS:
        found = forecast(
            curve.labels, curve.dsc, left=pool.tasks if published is not None else None, pool=pool.dsc
        )
    return Outlook(curve, pool, found, seconds_a_label(session, project_id))


def learning_curve(session: Session, project_id: int) -> LearningCurve:
    """The versions whose validation figures can be compared: with the latest one's labels, and enough images.

    Of versions with as many labels, or with more than a later one, only the later counts.
    """
    query = select(Version).where(Version.project_id == project_id).order_by(Version.round.desc())
    chosen: list[Version] = []
    for version in session.scalars(query):
        figures = version.metrics
        if figures.get("validation_dsc") is None or figures.get("validation_images", 0) < MIN_IMAGES:
            continue
        if chosen and (version.labels_used >= chosen[-1].labels_used or version.labels != chosen[0].labels):
            continue
        chosen.append(version)
    chosen.reverse()
    dsc = _by_task(chosen)
    return LearningCurve(tuple(one.name for one in chosen), tuple(one.labels_used for one in chosen), dsc)


def unlabelled(session: Session, project_id: int, published: Version | None) -> Pool:
    """The tasks that the published version has scored and that no training has seen with a label."""
    if published is None:
        return Pool(0, None)
    labelled = select(LabelSeen.task_id).where(LabelSeen.project_id == project_id)
    # Without a margin an estimate is rough; a hidden or blank mask counts as it is estimated.
    known = func.avg(Score.quality).filter(Score.margin.is_not(None))
    query = select(func.count(), known).where(
        Score.version_id == published.id, Score.task_id.not_in(labelled), Score.error.is_(None)
    )
    tasks, dsc = session.execute(query).one()
    return Pool(int(tasks), None if dsc is None else float(dsc))


def seconds_a_label(session: Session, project_id: int) -> float | None:
    """Median time of the latest annotations in seconds; None if Label Studio gave none."""
    query = select(Edit.lead_time).where(Edit.project_id == project_id, Edit.lead_time.is_not(None))
    times = list(session.scalars(query.order_by(Edit.annotation_id.desc()).limit(RECENT)))
    return float(median(time for time in times if time is not None)) if times else None


def _by_task(versions: Sequence[Version]) -> NDArray[np.float64]:
    """(versions, tasks) Dice by validation task, or one column of means if a version has means alone."""
    known = [dsc_by_task(version) for version in versions]
    if not versions or not all(known):
        return np.array([[version.metrics["validation_dsc"]] for version in versions]).reshape(-1, 1)
    tasks = sorted({task for one in known for task in one})
    return np.array([[one.get(task, np.nan) for task in tasks] for one in known], np.float64)
