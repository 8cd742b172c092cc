import re

from hypothesis import given
from hypothesis import strategies as st

from ml_backend.store import labels_seen, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Part, ProjectState, Score, ScoreState, Version, VersionState
from ml_backend.store.version_names import version_name


def add_version(database: Database, round: int) -> int:
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        return versions.create(session, project, round=round, state=VersionState.SCORING).id


@given(st.integers(1, 10**6), st.integers(0, 10**4), st.integers())
def test_names_are_readable_and_deterministic(project: int, round: int, seed: int) -> None:
    name = version_name(project, round, seed)
    assert re.fullmatch(r"p\d+-r\d{3,}-[a-z]+-[a-z]+", name)
    assert name == version_name(project, round, seed)


def test_names_of_rounds_and_projects_differ() -> None:
    names = {version_name(project, round, 0) for project in range(1, 30) for round in range(100)}
    assert len(names) == 29 * 100


def test_the_current_name_is_that_of_the_published_version(database: Database) -> None:
    first = add_version(database, 0)
    with database.read() as session:
        project = projects.get(session, 3)
        assert project is not None
        assert versions.published(session, 3) is None
        assert versions.current_name(session, project) == version_name(3, 0, 0)
        assert versions.next_round(session, 3) == 1
    second = add_version(database, 1)
    for version_id in (first, second):
        with database.write() as session:
            versions.publish(session, session.get_one(Version, version_id))
    with database.read() as session:
        assert versions.current_name(session, project) == version_name(3, 1, 0)
        assert [version.state for version in versions.of_project(session, 3)] == ["published", "superseded"]
        assert versions.count(session)[VersionState.SUPERSEDED] == 1
        assert versions.in_state(session, VersionState.SCORING) == []


def test_before_the_first_publication_only_weights_being_scored_draw(database: Database) -> None:
    def drawing() -> int | None:
        with database.read() as session:
            version = versions.first_to_draw(session, 3)
        return None if version is None else version.id

    assert drawing() is None
    first = add_version(database, 0)
    assert drawing() is None, "the seeded random order has no weights"
    with database.write() as session:
        session.get_one(Version, first).weights_hash = "aa"
    assert drawing() == first
    with database.write() as session:
        session.get_one(Version, first).state = VersionState.FAILED
    assert drawing() is None


def test_a_round_has_one_version(database: Database) -> None:
    assert add_version(database, 1) == add_version(database, 1)


def test_a_successor_has_the_weights_and_figures_of_a_version_and_waits_for_its_scores(
    database: Database,
) -> None:
    with database.write() as session:
        version = versions.create(
            session,
            projects.ensure(session, 3, seed=0),
            round=4,
            state=VersionState.PUBLISHED,
            labels=["Bone"],
            weights_hash="aa",
            labels_used=9,
            metrics={"validation_dsc": 0.9, "comparison": {}},
        )
        successor = versions.create_successor(session, version, "as somebody asked", without=["comparison"])
    assert (successor.round, successor.state, successor.parent_id) == (5, VersionState.SCORING, version.id)
    assert (successor.weights_hash, successor.labels, successor.labels_used) == ("aa", ["Bone"], 9)
    assert (successor.metrics, successor.message) == ({"validation_dsc": 0.9}, "as somebody asked")


def test_a_changed_labeling_config_makes_a_project_new_again(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        assert projects.set_label_config(session, project, "<View/>\n")
        project.state = ProjectState.READY
        assert not projects.set_label_config(session, project, "  <View/>")
        assert project.state is ProjectState.READY
        assert projects.set_label_config(session, project, "<View></View>")
        assert project.state is ProjectState.NEW


def test_scores_are_planned_once_and_counted(database: Database) -> None:
    version = add_version(database, 1)
    with database.write() as session:
        assert scores.plan(session, version, [5, 4, 3, 4], chunk_size=2) == [0, 1]
        assert scores.plan(session, version, [3, 4, 5], chunk_size=2) == []
        assert scores.plan(session, version, [5, 9], chunk_size=2) == [2]
        assert [score.task_id for score in scores.of_chunk(session, version, 0)] == [4, 5]
        scores.set_state(session, version, [4, 5, 9], ScoreState.WRITTEN)
    with database.read() as session:
        assert scores.unfinished_chunks(session, version) == [1]
        counted = {"pending": 1, "measured": 0, "ranked": 0, "writing": 0, "written": 3}
        assert scores.count(session, version) == counted
    with database.write() as session:
        scores.set_state(session, version, [3], ScoreState.MEASURED)
    with database.read() as session:
        assert scores.unfinished_chunks(session, version) == [], "it waits for the ranking"
    with database.write() as session:
        scores.set_state(session, version, [3], ScoreState.RANKED)
    with database.read() as session:
        assert scores.unfinished(session, version) == scores.Unfinished([1], 0, 0), "its regions are lost"
    with database.write() as session:
        session.get_one(Score, (version, 3)).packed = b"measurement and regions"
        assert scores.unfinished(session, version) == scores.Unfinished([], 0, 1)
        scores.begin_sending(session, version)
        assert scores.to_send(session, version) == [3], "it may have been sent, or not"
        scores.drop_packed(session, [version + 1])
        assert session.get_one(Score, (version, 3)).packed
        scores.drop_packed(session, [version])
    with database.read() as session:
        assert session.get_one(Score, (version, 3)).packed is None
    with database.write() as session:
        scores.remove_tasks(session, version, [3])
    with database.read() as session:
        assert scores.unfinished_chunks(session, version) == []
        assert [score.task_id for score in scores.of_version(session, version)] == [4, 5, 9]


def test_new_changed_and_deleted_labels_are_distinguished(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        labels_seen.replace(
            session, 3, {1: LabelDigest(11, "a"), 2: LabelDigest(12, "b"), 3: LabelDigest(13, "c")}
        )
    with database.read() as session:
        seen = {2: LabelDigest(12, "b"), 3: LabelDigest(13, "other"), 4: LabelDigest(14, "d")}
        found = labels_seen.difference(session, 3, seen)
        assert (found.new, found.changed, found.deleted, len(found)) == ({4}, {3}, {1}, 3)
        assert labels_seen.count(session, 3) == 3
        assert labels_seen.labelled_tasks(session, 3) == {11, 12, 13}
        assert labels_seen.labelled_tasks(session, 3, [12, 99]) == {12}


def test_a_side_of_the_split_never_changes(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        labels_seen.extend_split(session, 3, {1: Part.TRAINING, 2: Part.VALIDATION})
    with database.write() as session:
        whole = labels_seen.extend_split(session, 3, {1: Part.VALIDATION, 5: Part.VALIDATION})
    assert whole == {1: Part.TRAINING, 2: Part.VALIDATION, 5: Part.VALIDATION}
    with database.read() as session:
        assert labels_seen.split(session, 3) == whole
