"""Examinations of labels: which are due, how far they are, and the networks that examine them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.store import events, projects, runs, versions
from ml_backend.store.models import Examination, ExaminedLabel, LabelSeen, Project, VersionState

FEWEST = 6
"""Labelled tasks that are worth dividing (`model.training.cross_fitting.MIN_IMAGES`, which loads torch)."""


@dataclass(frozen=True)
class Extent:
    """How far an examination is.

    Attributes:
        done: labels that the present networks have examined.
        labels: labels that the last training saw.
        trained, networks: how many of the networks are trained.
        is_finished: whether nothing was left to do when it ended last.
        message: what it does now, or why it stopped, in words.
    """

    done: int
    labels: int
    trained: int
    networks: int
    is_finished: bool
    message: str

    def sentence(self) -> str:
        """The same in words."""
        if self.is_finished:
            return self.message or f"all {self.done} labels are examined"
        found = f"{self.done} of {max(self.labels, self.done)} labels are examined"
        if self.trained < self.networks:
            found += f"; {self.trained} of {self.networks} networks are trained for that"
        return f"{found}; {self.message}" if self.message else found


def get(session: Session, project_id: int) -> Examination | None:
    """The examination of a project; None if it never began."""
    return session.get(Examination, project_id)


def begin(
    session: Session, project_id: int, labels: Iterable[str], tasks: int, held: Iterable[Iterable[int]]
) -> tuple[Examination, list[str]]:
    """Plan new networks, one for each group of tasks that it is not to learn.

    Returns the examination, and the hashes of the former networks' weights, which nothing needs any more.
    """
    former = session.get(Examination, project_id)
    surplus = [] if former is None else [fold["weights"] for fold in former.folds if fold["weights"]]
    if former is not None:
        session.delete(former)
        session.flush()
    folds = [{"held": sorted(part), "version": "", "weights": ""} for part in held]
    examination = Examination(project_id=project_id, labels=list(labels), tasks=tasks, folds=folds)
    session.add(examination)
    session.flush()
    return examination, surplus


def note_weights(session: Session, project_id: int, number: int, version: str, weights: str) -> None:
    """Note that the network of a fold is trained."""
    examination = session.get_one(Examination, project_id)
    examination.folds = [
        {**fold, "version": version, "weights": weights} if place == number else fold
        for place, fold in enumerate(examination.folds)
    ]


def is_due(session: Session, project: Project, examine_from: int) -> bool:
    """Whether labels are to be examined, and nothing that people wait for is to be done for the project."""
    if not examine_from or not is_free(session, project.id):
        return False
    tasks = session.scalar(
        select(func.count(LabelSeen.task_id.distinct())).where(LabelSeen.project_id == project.id)
    )
    if (tasks or 0) < max(examine_from, FEWEST):
        return False
    examination = get(session, project.id)
    return examination is None or examination.finished != stamp(session, project)


def is_free(session: Session, project_id: int) -> bool:
    """Whether no label of a project waits for a training, and it is neither trained nor scored."""
    run = runs.running(session, project_id)
    return (
        projects.may_learn(session, project_id)
        and run is None
        and not events.pending(session, project_id).fresh
        and all(
            version.state is not VersionState.SCORING for version in versions.of_project(session, project_id)
        )
    )


def stamp(session: Session, project: Project) -> str:
    """A hash of the labels that the last training saw, and of the labeling config."""
    rows = session.execute(
        select(LabelSeen.annotation_id, LabelSeen.fingerprint)
        .where(LabelSeen.project_id == project.id)
        .order_by(LabelSeen.annotation_id)
    ).all()
    return hashlib.sha256(repr((project.label_config, [tuple(row) for row in rows])).encode()).hexdigest()


def extent(session: Session, project: Project) -> Extent | None:
    """How far the examination of a project is; None if it never began."""
    examination = get(session, project.id)
    if examination is None:
        return None
    present = [fold["version"] for fold in examination.folds if fold["version"]]
    done = session.scalar(
        select(func.count())
        .select_from(ExaminedLabel)
        .where(ExaminedLabel.project_id == project.id, ExaminedLabel.version.in_(present))
    )
    labels = session.scalar(
        select(func.count()).select_from(LabelSeen).where(LabelSeen.project_id == project.id)
    )
    is_finished = bool(examination.finished) and examination.finished == stamp(session, project)
    return Extent(
        done or 0, labels or 0, len(present), len(examination.folds), is_finished, examination.message
    )
