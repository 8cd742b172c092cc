"""A prediction that Label Studio refuses is its task's problem: named, shown empty, and last in the order."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import unwrap
from typing import Any, cast

import pytest

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.errors import PredictionsRefusedError
from ml_backend.queue.context import Context
from ml_backend.score import packing
from ml_backend.score.sending import send_version
from ml_backend.store import projects, scores, versions
from ml_backend.store.models import Score, ScoreState, VersionState
from ml_backend.web.app import Services
from tests.ml_backend.label_studio.refusing_studio import RefusingStudio
from tests.ml_backend.score.published import MASK

TASKS = range(1, 7)
REFUSED = 4


def has_mask(one: Mapping[str, Any]) -> bool:
    return bool(one["task"] == REFUSED and one["result"])


class Place:
    """A scored version that is to be sent."""

    def __init__(self, services: Services, studio: RefusingStudio) -> None:
        self.studio, self.database = studio, services.database
        with services.database.write() as session:
            project = projects.ensure(session, 1, seed=3)
            projects.set_label_config(session, project, default_config(["Bone"]))
            version = versions.create(
                session, project, round=1, state=VersionState.SCORING, labels=("Bone",), weights_hash="a" * 64
            )
            version.strategy = "disagreement"
            scores.plan(session, version.id, list(TASKS), chunk_size=9)
            for row in scores.of_version(session, version.id):
                row.score = row.priority = row.l_dsc = row.task_id / 10
                row.state, row.packed, row.picture = ScoreState.RANKED, packing.pack(None, MASK), "a.png"
        self.version = version
        unused: Any = None
        self.context = Context(
            services.settings, cast("LabelStudio", studio), self.database, unused, services.queues, unused
        )

    def send(self) -> None:
        unwrap(send_version)(self.context, self.version.id)

    def rows(self) -> dict[int, Score]:
        with self.database.read() as session:
            return {row.task_id: row for row in scores.of_version(session, self.version.id)}


@pytest.mark.parametrize("way", ["drops", "refuses"])
def test_the_others_are_shown_and_the_refused_one_is_named(services: Services, way: str) -> None:
    place = Place(services, RefusingStudio(TASKS, has_mask, way))
    place.send()
    assert sorted(one["task"] for one in place.studio.stored) == list(TASKS)
    rows = place.rows()
    assert {row.state for row in rows.values()} == {ScoreState.WRITTEN}
    assert {task for task, row in rows.items() if row.error} == {REFUSED}
    assert "Label Studio refuses its prediction: " in str(rows[REFUSED].error)
    for one in place.studio.stored:
        row = rows[one["task"]]
        assert one["score"] == row.score, "what is shown is what is known"
        assert one["result"] == ([] if one["task"] == REFUSED else MASK)
    assert rows[REFUSED].score == 1.0, "the lowest score is labelled first"
    assert rows[REFUSED].picture == "a.png"


class Killed(BaseException):
    """Ends a job as a kill does."""


def test_a_kill_after_a_refusal_leaves_no_task_without_a_score_and_none_with_two(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = RefusingStudio(TASKS, has_mask, "drops")
    place = Place(services, studio)

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(studio, "import_all", killed)
        with pytest.raises(Killed):
            place.send()
    with place.database.read() as session:
        assert scores.unfinished_chunks(session, place.version.id) == [0], "it is scored again"
    with place.database.write() as session:
        row = session.get_one(Score, (place.version.id, REFUSED))
        row.packed, row.error = packing.pack(None, MASK), None
    place.send()
    assert sorted(one["task"] for one in studio.stored) == list(TASKS)


def test_a_project_of_which_everything_is_refused_fails_as_a_whole(services: Services) -> None:
    place = Place(services, RefusingStudio(TASKS, lambda _one: True, "drops"))
    with pytest.raises(PredictionsRefusedError, match="0 of 6"):
        place.send()
    assert not any(row.error for row in place.rows().values())
