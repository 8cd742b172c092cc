"""What is recorded of a scored task before its prediction is sent, and the prediction that is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from ml_backend.score import packing
from ml_backend.score.prediction import Scored
from ml_backend.store import scores
from ml_backend.store.models import ScoreState, Version


def record(
    session: Session, version: Version, found: Sequence[Scored], state: ScoreState = ScoreState.WRITING
) -> None:
    """Record the scores before they are sent, so that a kill in between leaves no unknown score.

    Rows that are sent later store their regions. Those that are only measured keep the priority they had, if
    any. Those that are sent at once drop what was packed before: it may be that of a former image.
    """
    rows = {row.task_id: row for row in scores.of_tasks(session, version.id, [one.task_id for one in found])}
    for one in found:
        row = rows[one.task_id]
        row.l_dsc, row.m_dsc, row.blank, row.error = one.l_dsc, one.m_dsc, one.blank, one.error
        row.hidden, row.quality, row.margin = one.hidden, one.quality, one.margin
        row.score, row.state, row.drawn_by_run, row.due = one.score, state, None, False
        row.picture = one.picture
        is_sent_now = state is ScoreState.WRITING
        row.packed = None if is_sent_now else packing.pack(one.measurement, one.result, one.image)
        if state is not ScoreState.MEASURED:
            row.priority = one.priority


def prediction(one: Scored, version: str) -> dict[str, Any]:
    """The prediction that Label Studio gets for a scored task."""
    return {"task": one.task_id, "result": one.result, "score": one.score, "model_version": version}
