"""TaskAgreement between annotators is stored by task and reported by project."""

from __future__ import annotations

import pytest

from ml_backend.store import agreements, projects
from ml_backend.store.agreements import TaskAgreement
from ml_backend.store.database import Database


def test_agreements_are_replaced_summarized_and_ordered(database: Database) -> None:
    with database.write() as session:
        for number in (3, 4, 5):
            projects.ensure(session, number, seed=0)
        agreements.replace(session, 3, {1: TaskAgreement(2, 0.1), 9: TaskAgreement(2, 0.2)})
        agreements.replace(session, 4, {7: TaskAgreement(2, 0.5)})
    with database.write() as session:
        agreements.replace(
            session,
            3,
            {
                2: TaskAgreement(2, 0.9),
                1: TaskAgreement(4, 0.4),
                6: TaskAgreement(3, 0.8),
                5: TaskAgreement(2, 0.4),
            },
        )
    with database.read() as session:
        found = agreements.summaries(session)
        assert found.keys() == {3, 4}
        assert (found[3].dsc, found[3].tasks) == (pytest.approx(0.625), 4)
        worst = agreements.lowest(session, 3, 3)
        assert list(worst.items()) == [
            (1, TaskAgreement(4, 0.4)),
            (5, TaskAgreement(2, 0.4)),
            (6, TaskAgreement(3, 0.8)),
        ]
        assert agreements.lowest(session, 5, 3) == {}
