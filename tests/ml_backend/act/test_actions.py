"""What people ask for, done by the job itself on a real store, queue and database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ml_backend.act.asking import RefusedError, UnknownError, ask
from ml_backend.act.performing import perform, resume_actions
from ml_backend.label_studio.client import LabelStudio
from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context, image_reader
from ml_backend.queue.queues import JobQueues
from ml_backend.score.pruning import _prune_weights
from ml_backend.settings import Settings
from ml_backend.store import actions, events, projects, runs, versions
from ml_backend.store.actions import Action
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Draft, Project, RunState, TrainingRun, Version, VersionState
from ml_backend.store.states import ActionKind, ActionState
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services

PROJECT = 3


class Place:
    """A project with a former, a published and a rejected version, each with weights of its own."""

    def __init__(self, services: Services, folder: Path) -> None:
        settings = services.settings
        self.database, self.queues, self.settings = services.database, services.queues, settings
        self.weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
        label_studio = LabelStudio(settings.label_studio_url, "0" * 40)
        images = image_reader(settings, label_studio)
        self.context = Context(settings, label_studio, self.database, self.weights, self.queues, images)
        with self.database.write() as session:
            project = projects.ensure(session, PROJECT, seed=0)
            for round, name in enumerate(("former", "published", "rejected")):
                (folder / name).mkdir()
                (folder / name / "card").write_text(name)
                version = versions.create(
                    session,
                    project,
                    round=round,
                    state=VersionState.SCORING,
                    labels=("Bone",),
                    weights_hash=self.weights.put(folder / name),
                    labels_used=10 * round,
                    metrics={"validation_dsc": 0.9, "comparison": {"sentence": "Better."}},
                )
                setattr(self, name, version)
                if name == "rejected":
                    version.state = VersionState.REJECTED
                else:
                    versions.publish(session, version)

    former: Version
    published: Version
    rejected: Version

    def ask(self, kind: ActionKind, target: str = "") -> Action:
        return ask(self.database, self.queues, kind, project_id=PROJECT, target=target, who="ann", via="page")

    def do(self, kind: ActionKind, target: str = "") -> Action:
        """Ask for it and do what the worker's job does; returns the row with its outcome."""
        asked = self.ask(kind, target)
        perform.__wrapped__(self.context, asked.id)  # type: ignore[attr-defined]
        with self.database.read() as session:
            return session.get_one(Action, asked.id)

    def versions(self) -> list[Version]:
        with self.database.read() as session:
            return versions.of_project(session, PROJECT)

    def waiting(self) -> set[str]:
        return {name for queue in self.queues.all() for name in queue.get_job_ids()}


@pytest.fixture
def place(services: Services, tmp_path: Path) -> Place:
    return Place(services, tmp_path)


def begin_training(place: Place) -> int:
    """A training of another process that has taken up one change."""
    with place.database.write() as session:
        events.add(session, PROJECT, "ANNOTATION_CREATED", task_ids=[7], changes=["annotation:7"])
        session.flush()
        run = runs.begin(session, PROJECT, ProcessId.current())
        assert run is not None
        return run.id


def test_rolling_back_makes_a_new_version_of_the_former_weights(place: Place) -> None:
    done = place.do(ActionKind.ROLL_BACK)
    newest = place.versions()[0]
    assert (done.state, done.target) == (ActionState.DONE, place.former.name)
    assert (newest.state, newest.weights_hash) == (VersionState.SCORING, place.former.weights_hash)
    assert newest.parent_id == place.former.id
    assert "ann" in newest.message
    assert "comparison" not in newest.metrics, "it was said of another champion"
    assert f"score-v{newest.id}" in place.waiting()


def test_the_action_says_who_when_and_what(place: Place) -> None:
    done = place.do(ActionKind.ROLL_BACK)
    assert (done.who, done.via, done.kind) == ("ann", "page", ActionKind.ROLL_BACK)
    assert done.ended_at is not None
    assert done.ended_at >= done.created_at
    assert place.former.name in done.outcome


def test_a_job_that_runs_twice_does_it_once(place: Place) -> None:
    done = place.do(ActionKind.ROLL_BACK)
    count = len(place.versions())
    perform.__wrapped__(place.context, done.id)  # type: ignore[attr-defined]
    assert len(place.versions()) == count


def test_two_clicks_are_one_action(place: Place) -> None:
    assert place.ask(ActionKind.PAUSE).id == place.ask(ActionKind.PAUSE).id


def test_rolling_back_twice_never_goes_back_to_what_was_left(place: Place) -> None:
    place.do(ActionKind.ROLL_BACK)
    with pytest.raises(RefusedError, match="no earlier version"):
        place.ask(ActionKind.ROLL_BACK)


def test_a_rejected_version_can_be_published(place: Place) -> None:
    place.do(ActionKind.PUBLISH, place.rejected.name)
    assert place.versions()[0].weights_hash == place.rejected.weights_hash


def test_a_running_training_ends_and_its_labels_are_learned_again(place: Place) -> None:
    run_id = begin_training(place)
    place.do(ActionKind.ROLL_BACK)
    with place.database.read() as session:
        run = session.get_one(TrainingRun, run_id)
        pending = events.pending(session, PROJECT)
    assert (run.state, run.version_id) == (RunState.FINISHED, None)
    assert (pending.changes, pending.fresh) == (1, True)
    with pytest.raises(runs.LeaseLostError), place.database.write() as session:
        runs.keep(session, run_id, ProcessId.current())


def test_a_draft_of_the_training_that_ended_is_gone(place: Place, tmp_path: Path) -> None:
    run_id = begin_training(place)
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "card").write_text("draft")
    key = place.weights.put(tmp_path / "draft")
    with place.database.write() as session:
        session.add(Draft(project_id=PROJECT, run_id=run_id, weights_hash=key, step=9, learned=1))
    place.do(ActionKind.ROLL_BACK)
    with place.database.read() as session:
        assert session.get(Draft, PROJECT) is None
    assert not place.weights.contains(key)


def test_a_version_that_is_on_its_way_can_be_called_off(place: Place) -> None:
    with place.database.write() as session:
        session.get_one(Version, place.rejected.id).state = VersionState.SCORING
    done = place.do(ActionKind.ROLL_BACK)
    assert done.target == place.published.name


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        (ActionKind.PUBLISH, "published", "is published already"),
        (ActionKind.DELETE, "published", "is in use"),
        (ActionKind.RELEASE, "former", "is not marked"),
        (ActionKind.RESUME, "", "is not paused"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    place: Place, kind: ActionKind, target: str, said: str
) -> None:
    name = getattr(place, target).name if target else ""
    with pytest.raises(RefusedError, match=said):
        place.ask(kind, name)


def test_a_version_of_another_project_is_unknown(place: Place) -> None:
    with place.database.write() as session:
        other = versions.create(
            session, projects.ensure(session, 4, seed=0), round=0, state=VersionState.SUPERSEDED
        )
    with pytest.raises(UnknownError, match="has no version"):
        place.ask(ActionKind.PUBLISH, other.name)


def test_weights_that_are_gone_are_refused_by_the_job(place: Place) -> None:
    assert place.former.weights_hash is not None
    place.weights.delete(place.former.weights_hash)
    done = place.do(ActionKind.PUBLISH, place.former.name)
    assert done.state is ActionState.REFUSED
    assert "no longer in the store" in done.outcome
    assert len(place.versions()) == 3


def test_deleting_deletes_the_weights_and_keeps_the_figures(place: Place) -> None:
    key = str(place.rejected.weights_hash)
    place.do(ActionKind.DELETE, place.rejected.name)
    assert not place.weights.contains(key)
    left = place.versions()[0]
    assert (left.name, left.weights_hash) == (place.rejected.name, None)
    assert left.metrics["validation_dsc"] == 0.9


def test_deleting_keeps_weights_that_another_version_uses(place: Place) -> None:
    place.do(ActionKind.ROLL_BACK)
    with place.database.write() as session:
        versions.publish(session, session.get_one(Version, place.versions()[0].id))
    place.do(ActionKind.DELETE, place.former.name)
    assert place.weights.contains(str(place.former.weights_hash))


def test_a_kept_version_is_not_deleted_until_it_is_released(place: Place) -> None:
    place.do(ActionKind.KEEP, place.rejected.name)
    with pytest.raises(RefusedError, match="release it first"):
        place.ask(ActionKind.DELETE, place.rejected.name)
    place.do(ActionKind.RELEASE, place.rejected.name)
    assert place.do(ActionKind.DELETE, place.rejected.name).state is ActionState.DONE


def test_pruning_spares_what_is_kept(place: Place, tmp_path: Path) -> None:
    place.do(ActionKind.KEEP, place.former.name)
    settings = place.settings.model_copy(update={"keep_versions": 1})
    with place.database.read() as session:
        published, *others = (session.get_one(Version, one.id) for one in (place.published, place.former))
    _prune_weights(replace(place.context, settings=settings), published, [place.rejected, *others])
    assert place.weights.contains(str(place.former.weights_hash))
    place.do(ActionKind.RELEASE, place.former.name)
    others[0].kept = False
    _prune_weights(replace(place.context, settings=settings), published, [place.rejected, *others])
    assert not place.weights.contains(str(place.former.weights_hash))


def test_while_learning_is_paused_no_training_starts(place: Place) -> None:
    run_id = begin_training(place)
    place.do(ActionKind.PAUSE)
    with place.database.write() as session:
        events.add(session, PROJECT, events.START_TRAINING)
        assert session.get_one(TrainingRun, run_id).owner == ""
    assert not consider(place.database, place.queues, place.settings, PROJECT)
    assert "train-3" not in place.waiting()
    with pytest.raises(RefusedError, match="resume it first"):
        place.ask(ActionKind.TRAIN)


def test_resuming_continues_the_training_that_was_running(place: Place) -> None:
    run_id = begin_training(place)
    place.do(ActionKind.PAUSE)
    place.do(ActionKind.RESUME)
    assert "train-3" in place.waiting()
    with place.database.write() as session:
        run = runs.begin(session, PROJECT, ProcessId.current())
        assert session.get_one(Project, PROJECT).paused_at is None
    assert run is not None
    assert run.id == run_id


def test_training_on_request(place: Place) -> None:
    place.do(ActionKind.TRAIN)
    assert "train-3" in place.waiting()


def test_an_action_whose_job_was_lost_is_requested_again(place: Place) -> None:
    asked = place.ask(ActionKind.PAUSE)
    place.queues.redis.flushall()
    resume_actions(place.database, place.queues)
    assert f"act-{asked.id}" in place.waiting()


def test_trying_a_job_again_that_has_not_failed_is_refused(place: Place) -> None:
    done = place.do(ActionKind.RETRY, "no-such-job")
    assert done.state is ActionState.REFUSED


def test_without_an_earlier_version_there_is_nothing_to_go_back_to(
    services: Services, queues: JobQueues, settings: Settings
) -> None:
    with services.database.write() as session:
        project = projects.ensure(session, 8, seed=0)
        versions.publish(session, versions.create(session, project, round=0, state=VersionState.SCORING))
    with pytest.raises(RefusedError, match="no earlier version"):
        ask(services.database, queues, ActionKind.ROLL_BACK, project_id=8, who="ann", via="page")


def test_the_record_of_a_project_is_listed_newest_first(place: Place) -> None:
    first, second = place.do(ActionKind.PAUSE), place.do(ActionKind.RESUME)
    with place.database.read() as session:
        assert [one.id for one in actions.recent(session, PROJECT)] == [second.id, first.id]
