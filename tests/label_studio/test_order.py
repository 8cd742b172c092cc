"""The order: sampling and views, and the tasks that Label Studio's own buttons serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.blueprint import Order, annotator_of, assignment_version
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.connection import CannotConnectError
from ml_backend.label_studio.views import restore_annotator_views, set_order
from tests.connecting import HIGHEST_FIRST, connect
from tests.label_studio.tiny_backend import TinyBackend
from tests.people import plain_stream, sign_up

VERSION = "v1"
MakeTasks = Callable[[int], list[int]]


@pytest.fixture(scope="session")
def fay(server: LabelStudioServer) -> LabelStudio:
    return sign_up(server, "fay@example.com")


@pytest.fixture(scope="session")
def gus(server: LabelStudioServer) -> LabelStudio:
    return sign_up(server, "gus@example.com")


@pytest.fixture
def backend() -> Iterator[TinyBackend]:
    with TinyBackend() as backend:
        yield backend


@pytest.fixture
def ranking(client: LabelStudio, project: int, make_tasks: MakeTasks, backend: TinyBackend) -> list[int]:
    """A connected project's tasks, most informative first; their ids are in a different order."""
    connect(client, backend_url=backend.url, project=project)
    tasks = make_tasks(6)
    ranked = [tasks[place] for place in (3, 0, 5, 2, 4, 1)]
    predictions: list[dict[str, Any]] = [
        {"task": task, "result": [], "score": 0.9 - 0.1 * place, "model_version": VERSION}
        for place, task in enumerate(ranked)
    ]
    client.import_predictions(project, predictions)
    client.patch_project(project, model_version=VERSION)
    return ranked


def test_a_project_without_tasks_has_an_empty_order(client: LabelStudio, project: int) -> None:
    """So it is after `dsal connect --create` until images are there; Label Studio answers with HTTP 500."""
    assert client.ordered_scores(project, 10) == []


def test_the_default_stream_goes_by_id_and_skips_tasks_that_others_have_open(
    ranking: list[int], project: int, fay: LabelStudio, gus: LabelStudio
) -> None:
    tasks = sorted(ranking)
    assert plain_stream(fay, project) == tasks[0]
    assert plain_stream(gus, project) == tasks[1]
    # Opening again serves the same task, because it is locked for her.
    assert plain_stream(fay, project) == tasks[0]
    fay.submit_annotation(tasks[0], [])
    assert plain_stream(fay, project) == tasks[2]


def test_uncertainty_sampling_would_begin_at_the_wrong_end(
    ranking: list[int], project: int, client: LabelStudio, fay: LabelStudio
) -> None:
    client.patch_project(project, sampling="Uncertainty sampling")
    assert plain_stream(fay, project) == ranking[-1]


def test_the_shared_view_serves_one_task_to_two_people(
    ranking: list[int], project: int, client: LabelStudio, fay: LabelStudio, gus: LabelStudio
) -> None:
    (view,) = client.views(project)
    first, second = (person.next_task(project, view["id"]) for person in (fay, gus))
    assert first is not None
    assert second is not None
    assert first["id"] == second["id"] == ranking[0]


def test_an_assigned_task_is_served_to_its_annotator_only_and_by_score(
    ranking: list[int],
    project: int,
    client: LabelStudio,
    backend: TinyBackend,
    fay: LabelStudio,
    gus: LabelStudio,
) -> None:
    emails = ["fay@example.com", "gus@example.com"]
    views = connect(client, backend_url=backend.url, project=project, annotators=emails).annotators
    first, second, third, *_ = ranking
    client.assign(project, {third: emails[0], second: emails[1], first: emails[0]})
    for person, email, expected in ((fay, emails[0], [first, third]), (gus, emails[1], [second])):
        for task in expected:
            served = person.next_task(project, views[email])
            assert served is not None
            assert served["id"] == task
            # The assignment is neither drawn nor counted: the mean is the version's own score.
            assert [one["model_version"] for one in served["predictions"]] == [VERSION]
            assert task in client.opened(project)
            person.submit_annotation(task, [])
        assert person.next_task(project, views[email]) is None
    assert client.opened(project) == set()
    assert client.assigned(project, emails[0]).done == {first, third}
    assert client.assigned(project, emails[0]).waiting == frozenset()


def test_an_unassigned_task_leaves_the_view_and_keeps_its_prediction(
    ranking: list[int], project: int, client: LabelStudio
) -> None:
    task = ranking[0]
    client.assign(project, {task: "fay@example.com"})
    assert client.assigned(project, "fay@example.com").waiting == {task}
    # This address contains the other.
    assert client.assigned(project, "ay@example.com").waiting == frozenset()
    client.unassign(task, "fay@example.com")
    client.unassign(task, "fay@example.com")
    assert client.assigned(project, "fay@example.com").waiting == frozenset()
    assert [one["model_version"] for one in client.predictions(task)] == [VERSION]


def test_a_begun_task_is_open(
    ranking: list[int], project: int, client: LabelStudio, fay: LabelStudio
) -> None:
    fay._dict("POST", f"/api/tasks/{ranking[2]}/drafts", json={"result": [], "lead_time": 1.0})
    assert client.opened(project) == {ranking[2]}


def test_annotators_are_set_and_a_second_run_changes_nothing(
    client: LabelStudio, project: int, backend: TinyBackend, fay: LabelStudio, gus: LabelStudio
) -> None:
    both = ["Fay@example.com", "gus@example.com"]
    first = connect(client, backend_url=backend.url, project=project, annotators=both)
    assert list(first.annotators) == ["fay@example.com", "gus@example.com"]
    before = client.views(project)
    for annotators in (both, None):
        again = connect(client, backend_url=backend.url, project=project, annotators=annotators)
        assert again.unchanged
        assert again.annotators == first.annotators
    assert client.views(project) == before
    alone = connect(client, backend_url=backend.url, project=project, annotators=["gus@example.com"])
    assert list(alone.annotators) == ["gus@example.com"]
    assert len(client.views(project)) == 2


def test_changed_rules_are_restored_but_not_columns_or_deleted_views(
    client: LabelStudio, project: int, backend: TinyBackend, fay: LabelStudio, gus: LabelStudio
) -> None:
    emails = ["fay@example.com", "gus@example.com"]
    connection = connect(client, backend_url=backend.url, project=project, annotators=emails)
    fays, guss = connection.annotators.values()
    data = next(view["data"] for view in client.views(project) if view["id"] == fays)
    other = {"conjunction": "and", "items": []}
    columns = {"explore": ["tasks:id"], "labeling": []}
    client.patch_view(fays, project, {**data, "filters": other, "hiddenColumns": columns})
    client.delete_view(guss)
    for expected in (["fay@example.com"], []):
        assert restore_annotator_views(client, project, client.views(project), HIGHEST_FIRST) == expected
    views = {annotator_of(view): view["data"] for view in client.views(project)}
    assert set(views) == {None, "fay@example.com"}
    assigned = views["fay@example.com"]["filters"]["items"][-1]
    assert assigned["value"] == [assignment_version("fay@example.com")]
    assert views["fay@example.com"]["hiddenColumns"] == columns


def test_an_unknown_annotator_is_reported(client: LabelStudio, project: int, backend: TinyBackend) -> None:
    with pytest.raises(CannotConnectError, match=r"no user nobody@example\.com"):
        connect(client, backend_url=backend.url, project=project, annotators=["nobody@example.com"])


def test_all_views_change_direction_together(
    client: LabelStudio, project: int, backend: TinyBackend, fay: LabelStudio, gus: LabelStudio
) -> None:
    emails = ["fay@example.com", "gus@example.com"]
    connection = connect(client, backend_url=backend.url, project=project, annotators=emails)
    ours = {connection.view, *connection.annotators.values()}
    for highest_first, ordering, sampling in (
        (False, ["tasks:predictions_score"], "Uncertainty sampling"),
        (True, ["-tasks:predictions_score"], "Sequential sampling"),
    ):
        before = {view["id"]: view["data"] for view in client.views(project)}
        set_order(client, project, Order(highest_first))
        after = {view["id"]: view["data"] for view in client.views(project)}
        assert after == {
            view: {**data, "ordering": ordering} if view in ours else data for view, data in before.items()
        }
        assert client.project(project)["sampling"] == sampling
