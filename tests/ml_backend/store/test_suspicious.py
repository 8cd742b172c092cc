"""Which labels are listed, before and after people have looked at them."""

from __future__ import annotations

from ml_backend.store import projects, suspicious
from ml_backend.store.database import Database
from ml_backend.store.models import ExaminedLabel
from ml_backend.store.suspicious import CurrentLabel

THEN, LATER = "2026-11-27T10:00:00Z", "2026-11-27T11:00:00Z"


def label(number: int, score: float, digest: str = "d") -> ExaminedLabel:
    return ExaminedLabel(
        project_id=3,
        annotation_id=number,
        task_id=10 * number,
        digest=digest,
        changed_at=THEN,
        score=score,
        is_suspicious=score >= 0.5,
        reason="300 pixels of Tibia where the network sees nothing",
        regions=[{"given": "Tibia", "seen": None, "pixels": 300, "certainty": 0.9, "box": [1, 2, 3, 4]}],
        picture=b"png",
    )


def examined(database: Database, *found: ExaminedLabel) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        suspicious.record(session, 3, found)


def listed(database: Database) -> list[int]:
    with database.read() as session:
        return [row.annotation_id for row in suspicious.listed(session, 3)]


def update(database: Database, **current: tuple[str, str]) -> None:
    with database.write() as session:
        now = {int(key[1:]): CurrentLabel(*value) for key, value in current.items()}
        suspicious.update(session, 3, now)


def test_the_most_suspicious_comes_first_and_good_ones_are_not_listed(database: Database) -> None:
    examined(database, label(1, 0.6), label(2, 0.9), label(3, 0.2))
    assert listed(database) == [2, 1]
    with database.read() as session:
        assert suspicious.count(session, 3) == 3
        first = suspicious.with_picture(session, 3, 2)
    assert first is not None
    assert (first.picture, first.regions[0]["box"]) == (b"png", [1, 2, 3, 4])


def test_only_the_most_suspicious_keep_their_pictures(database: Database) -> None:
    examined(database, label(1, 0.6), label(2, 0.9), label(3, 0.2), label(4, 0.7))
    with database.write() as session:
        suspicious.keep_pictures(session, 3, most=2)
    with database.read() as session:
        assert suspicious.pictured(session, 3) == {2, 4}
        assert suspicious.with_picture(session, 3, 1) is None


def test_a_label_that_is_not_listed_yet_keeps_its_picture_while_there_is_room(database: Database) -> None:
    examined(database, label(1, 0.3), label(2, 0.9), label(3, 0.2))
    with database.write() as session:
        suspicious.keep_pictures(session, 3, most=2)
    with database.read() as session:
        assert suspicious.pictured(session, 3) == {1, 2}


def test_a_label_submitted_again_unchanged_is_confirmed_for_good(database: Database) -> None:
    examined(database, label(1, 0.6), label(2, 0.9))
    update(database, a1=("d", LATER), a2=("d", THEN))
    assert listed(database) == [2]
    examined(database, label(1, 0.6), label(2, 0.9))
    assert listed(database) == [2], "the next examination does not ask again"
    examined(database, label(1, 0.6, digest="another"), label(2, 0.9))
    assert listed(database) == [2, 1], "another mask is another label"


def test_changed_and_deleted_labels_are_forgotten(database: Database) -> None:
    examined(database, label(1, 0.6), label(2, 0.9))
    update(database, a1=("redrawn", LATER))
    assert listed(database) == []
    with database.read() as session:
        assert suspicious.count(session, 3) == 0
