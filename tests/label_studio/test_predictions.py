"""Predictions in Label Studio: storing, counting, renaming, and the order that they give."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio import deletion
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.data_manager import TO_LABEL, by_score
from ml_backend.label_studio.errors import LabelStudioError
from tests.label_studio.regions import prediction, region
from tests.label_studio.subpath_proxy import SubpathProxy

MakeTasks = Callable[[int], list[int]]


@pytest.fixture
def view(client: LabelStudio, project: int) -> int:
    data = {
        "title": "By score",
        "type": "list",
        "target": "tasks",
        "ordering": by_score(True),
        "filters": TO_LABEL,
    }
    return int(client.create_view(project, data)["id"])


def test_predictions_are_stored_counted_and_found_by_exact_version(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(6)
    assert client.import_predictions(project, [prediction(task, 0.5) for task in tasks[:4]]).created == 4
    client.import_predictions(project, [prediction(tasks[0], 0.5, "v1-longer")])
    assert client.model_versions(project) == {"v1": 4, "v1-longer": 1}
    assert client.predictions_of(project, tasks, "v1") == set(tasks[:4])
    assert client.predictions_of(project, tasks, "v1-longer") == {tasks[0]}
    assert client.predictions_of(project, tasks, "v") == set()
    assert client.predictions_of(project, [], "v1") == set()


@pytest.mark.parametrize(
    "damage",
    [{"score": 1.5}, {"result": [{**region(), "from_name": "nobody"}]}],
    ids=["score above one", "unknown tag"],
)
def test_a_prediction_that_label_studio_drops_is_named_and_the_other_stored(
    client: LabelStudio, project: int, make_tasks: MakeTasks, damage: dict[str, Any]
) -> None:
    tasks = make_tasks(2)
    sent = [prediction(tasks[0], 0.5), {**prediction(tasks[1], 0.5), **damage}]
    imported = client.import_predictions(project, sent)
    assert (imported.created, set(imported.refused)) == (1, {tasks[1]})
    assert client.predictions_of(project, tasks, "v1") == {tasks[0]}


def test_tasks_deleted_meanwhile_are_left_out_and_reported(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(5)
    client.delete_task(tasks[2])
    outcome = client.import_predictions(project, [prediction(task, 0.5) for task in tasks])
    assert (outcome.created, outcome.missing) == (4, (tasks[2],))
    assert client.model_versions(project) == {"v1": 4}


def test_large_predictions_are_sent_in_bounded_bodies(
    proxy: SubpathProxy, server: LabelStudioServer, project: int, make_tasks: MakeTasks, monkeypatch: Any
) -> None:
    monkeypatch.setattr("ml_backend.label_studio.predictions.BODY_BYTES", 250_000)
    client = LabelStudio(proxy.url, server.token)
    large = [255] * 25_000
    sent = (prediction(task, 0.5, rle=large) for task in make_tasks(6))
    assert client.import_predictions(project, sent).created == 6
    assert proxy.seen["POST", f"/api/projects/{project}/import/predictions"] == 3


def test_the_order_follows_the_published_version(
    client: LabelStudio, project: int, view: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(4)
    first = [prediction(task, score, "v1") for task, score in zip(tasks, (0.1, 0.2, 0.3, 0.4), strict=True)]
    client.import_predictions(project, first)
    client.import_predictions(
        project,
        [prediction(tasks[0], 0.9, "v2"), prediction(tasks[3], 0.2, "v2"), prediction(tasks[1], 0.0, "v2")],
    )
    client.patch_project(project, model_version="v1")
    assert [task for task, _ in client.ordered_scores(project, 10)] == tasks[::-1]
    client.patch_project(project, model_version="v2")
    assert client.ordered_scores(project, 10) == [
        (tasks[0], 0.9),
        (tasks[3], 0.2),
        (tasks[1], 0.0),
        (tasks[2], None),
    ]
    assert client.ordered_scores(project, 1) == [(tasks[0], 0.9)]
    shown = client.next_task(project, view)
    assert shown is not None
    assert shown["id"] == tasks[0]
    assert [each["model_version"] for each in shown["predictions"]] == ["v2"]


def test_a_version_is_deleted_in_small_transactions_until_somebody_waits(
    client: LabelStudio, project: int, make_tasks: MakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = make_tasks(4)
    for version in ("v1", "v1-longer", "v2"):
        client.import_predictions(project, [prediction(task, 0.5, version) for task in tasks])
    monkeypatch.setattr(deletion, "TOGETHER_SECONDS", 2.5 * deletion.EACH_SECONDS)
    monkeypatch.setattr(deletion, "PAGE", 1)
    monkeypatch.setattr(deletion, "SHARE", 0.0)
    answers = iter([True, False])
    assert not client.delete_model_version(project, "v1", goes_on=lambda: next(answers))
    assert client.model_versions(project) == {"v1": 3, "v1-longer": 4, "v2": 4}
    assert client.delete_model_version(project, "v1")
    assert client.delete_model_version(project, "v1"), "there is nothing left to delete"
    assert client.model_versions(project) == {"v1-longer": 4, "v2": 4}


def test_only_a_version_with_predictions_can_be_published(client: LabelStudio, project: int) -> None:
    with pytest.raises(LabelStudioError, match="Model version doesn't exist") as refused:
        client.patch_project(project, model_version="nowhere")
    assert refused.value.status == 400


def test_an_annotator_gets_highest_scores_first_until_none_is_left(
    client: LabelStudio, project: int, view: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(4)
    client.import_predictions(project, [prediction(task, number / 10) for number, task in enumerate(tasks)])
    client.patch_project(project, model_version="v1")
    handed: list[int] = []
    while (shown := client.next_task(project, view)) is not None:
        handed.append(shown["id"])
        client.submit_annotation(shown["id"], [region()], lead_time=1.5, skip=len(handed) == 2)
    assert handed == tasks[::-1]
    labelled = {each.id: each for each in client.labelled_tasks(project)}
    assert [each.id for each in labelled.values() if not each.accepted] == [tasks[2]]
    assert client.ordered_scores(project, 10) == []


# --- open pages ---


def annotate_from(client: LabelStudio, task: int, prediction: int) -> None:
    """Submit an annotation as a page does that was opened with this prediction."""
    body = {"result": [region()], "parent_prediction": prediction}
    client._dict("POST", f"/api/tasks/{task}/annotations/", json=body)


def test_an_annotation_is_refused_once_its_prediction_is_deleted(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    gone, renamed = make_tasks(2)
    client.import_predictions(project, [prediction(task, 0.5) for task in (gone, renamed)])
    numbers = {task: client.predictions(task)[0]["id"] for task in (gone, renamed)}
    client.rename_prediction(numbers[renamed], "kept")
    client.delete_model_version(project, "v1")
    assert client.model_versions(project) == {"kept": 1}
    (kept,) = client.predictions(renamed)
    assert (kept["id"], kept["result"], kept["score"]) == (numbers[renamed], [region()], 0.5)

    annotate_from(client, renamed, numbers[renamed])
    with pytest.raises(LabelStudioError, match="Invalid pk"):
        annotate_from(client, gone, numbers[gone])
    assert client.labelled_now(project, [gone, renamed]) == {renamed}

    client.delete_prediction(numbers[renamed])
    for again in (client.delete_prediction, partial(client.rename_prediction, version="v1")):
        with pytest.raises(LabelStudioError) as refused:
            again(numbers[renamed])
        assert refused.value.status == 404


def test_a_prediction_that_is_drawn_again_keeps_its_place_and_its_open_pages(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    (task,) = make_tasks(1)
    client.import_predictions(project, [prediction(task, 0.5)])
    (before,) = client.predictions(task)
    again = {**region(), "id": "again"}
    client.patch_project(project, model_version="v1")
    client.redraw_prediction(before["id"], [again])
    assert client.ordered_scores(project, 10, highest_first=True) == [(task, 0.5)]
    (after,) = client.predictions(task)
    assert after["result"] == [again]
    assert [after[key] for key in ("id", "score", "model_version", "task")] == [
        before[key] for key in ("id", "score", "model_version", "task")
    ]
    assert client.model_versions(project) == {"v1": 1}
    annotate_from(client, task, before["id"])
    assert client.labelled_now(project, [task]) == {task}


def test_the_tasks_labelled_last_are_found_by_version(
    client: LabelStudio, project: int, make_tasks: MakeTasks
) -> None:
    tasks = make_tasks(5)
    client.import_predictions(project, [prediction(task, 0.5) for task in tasks[:4]])
    for task in (tasks[2], tasks[4], tasks[0], tasks[1]):
        client.submit_annotation(task, [region()])
    assert client.labelled_last(project, "v1", 9) == {tasks[0], tasks[1], tasks[2]}
    assert client.labelled_last(project, "v1", 2) == {tasks[0], tasks[1]}
    assert client.labelled_last(project, "v2", 9) == set()
