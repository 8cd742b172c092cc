"""Images that could not be read: when they are tried again."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from ml_backend.score.failed_images import postpone
from ml_backend.store import projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Score, VersionState, now


def test_an_image_waits_longer_after_each_failure(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 1, seed=0)
        version = versions.create(session, project, round=0, state=VersionState.SCORING)
        scores.plan(session, version.id, [1, 2], chunk_size=2)
        row = session.get_one(Score, (version.id, 1))
        waits = []
        for _ in range(20):
            postpone(row)
            assert row.retry_at is not None
            waits.append(row.retry_at - now())
    assert waits[0] <= timedelta(0)
    assert all(earlier <= later + timedelta(seconds=5) for earlier, later in pairwise(waits))
    assert timedelta(hours=23) < waits[-1] <= timedelta(days=1)

    with database.write() as session:
        row = session.get_one(Score, (version.id, 1))
        assert scores.to_retry(session, version.id, now()) == []
        row.error = "It is unavailable."
        assert scores.retry_now(session, version.id, now()) == 1
    with database.read() as session:
        assert [one.task_id for one in scores.to_retry(session, version.id, now())] == [1]
