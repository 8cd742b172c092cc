"""What a project is doing, in one sentence, with how far it is and how long it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from ml_backend.settings import Settings
from ml_backend.store import drafts, events, labels_seen, runs, scores, versions
from ml_backend.store.models import Draft, Project, ScoreState, TrainingRun, Version, VersionState, now

FIRST_DRAFT_STEPS = 10
"""Steps after a label after which masks are drawn again; then after 20, 40 …
(`model.training.continuous.DRAFT_STEPS`, which is not imported here, as it loads torch)."""

RECENT = timedelta(minutes=10)
"""A draft that is older promises nothing about the next one."""

_STEP = re.compile(r"step (\d+).*?, (\d+) s")


@dataclass(frozen=True)
class Progress:
    """What a project is doing.

    Attributes:
        state: learning, scoring, publishing, waiting, paused, archived, new or ready.
        sentence: the same in words.
        share: how far it is, in [0, 1]; None if that is not known.
    """

    state: str
    sentence: str
    share: float | None = None


def of_project(session: Session, settings: Settings, project: Project) -> Progress:
    """What a project is doing right now, by the database alone."""
    if project.archived_at is not None:
        return Progress("archived", "Archived: nothing is done for this project.")
    labels = labels_seen.count(session, project.id)
    pending = events.pending(session, project.id)
    if project.paused_at is not None:
        waiting = f" {_changes(pending.changes)} wait." if pending.changes else ""
        return Progress("paused", f"Learning is paused; masks and order stay as they are.{waiting}")
    current = versions.current(session, project.id)
    if current is not None and current.state is VersionState.SCORING:
        return _scoring(session, current)
    run = runs.running(session, project.id)
    if run is not None:
        return _learning(session, run, project.id, labels, pending.last_at)
    if current is None:
        return Progress("new", "Not ordered yet: the first order is made as soon as a worker runs.")
    if pending.changes and pending.fresh:
        return Progress("waiting", _why_waiting(settings, pending.changes, labels))
    learned = f"learned from {current.labels_used} labels" if current.labels_used else "no label learned yet"
    return Progress("ready", f"Up to date: {current.name} orders the images, {learned}.")


def about(seconds: float) -> str:
    """A duration as people say it: "about 20 s", "about 3 min"."""
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    return f"about {round(seconds / 60)} min"


def _changes(count: int) -> str:
    return "1 change of labels" if count == 1 else f"{count} changes of labels"


def _why_waiting(settings: Settings, changes: int, labels: int) -> str:
    known = labels + changes
    if settings.learn_from and known < settings.learn_from:
        more, quiet = settings.learn_from - known, settings.quiet_seconds
        return f"{_changes(changes)} so far; learning starts with {more} more, or after {quiet:.0f} s."
    return f"{_changes(changes)} wait for the next training, which starts when a worker is free."


def _scoring(session: Session, version: Version) -> Progress:
    counted = scores.count(session, version.id)
    total, pending = sum(counted.values()), counted[ScoreState.PENDING]
    if not total:
        return Progress("scoring", f"{version.name} is about to score the images.", 0.0)
    done = total - pending
    if not pending:
        written = counted[ScoreState.WRITTEN]
        return Progress(
            "publishing",
            f"{version.name} has scored {total} images; they are being published.",
            written / total,
        )
    left = ""
    elapsed = (now() - version.created_at).total_seconds()
    if done >= 3 and elapsed < RECENT.total_seconds():
        left = f"; the new order comes in {about(elapsed / done * pending)}"
    return Progress("scoring", f"{version.name} scores the images: {done} of {total}{left}.", done / total)


def _learning(
    session: Session, run: TrainingRun, project_id: int, labels: int, last_at: datetime | None
) -> Progress:
    draft = drafts.current(session, project_id)
    learned = draft.learned if draft is not None and draft.run_id == run.id else labels
    if not run.owner:
        return Progress("learning", f"The training waits for its turn: {run.message or 'no worker has it'}.")
    if runs.is_abandoned(session, run):
        return Progress("learning", "The worker that trained is gone; the next one continues its training.")
    matched = _STEP.search(run.message)
    if matched is None:
        said = run.message.removeprefix("has learned ")
        if run.message.startswith("has learned"):
            return Progress("learning", f"Has learned {said}.", 1.0)
        return Progress("learning", f"Learning: {run.message or 'reading labels and images'}.")
    round_ = events.of_run(session, run.id)
    moments = [moment for moment in (round_.last_at, last_at, run.started_at) if moment is not None]
    seconds = _until_next_masks(draft, max(moments), int(matched[1]), float(matched[2]))
    when = "" if seconds is None else f"; the next masks will be better in {about(seconds)}"
    start = f"Learning from {learned} labels" if learned else "Learning from the first labels"
    return Progress("learning", f"{start}{when}.")


def _until_next_masks(draft: Draft | None, since: datetime, step: int, seconds: float) -> float | None:
    """Seconds until tasks are drawn again; None if nothing can be said.

    Masks are drawn 10, 20, 40 … steps after the last label, so the time from the label to a draft doubles.
    """
    if draft is not None and draft.created_at > since:
        took = (draft.created_at - since).total_seconds()
        left = (since + timedelta(seconds=2 * took) - now()).total_seconds()
        return left if 0 < left < RECENT.total_seconds() else None
    if step <= 0 or seconds <= 0:
        return None
    left = FIRST_DRAFT_STEPS * seconds / step - (now() - since).total_seconds()
    return left if left > 0 else None
