"""Reading only the labels that changed, compared with reading all of them, in a real Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from ml_backend.label_studio.client import AnnotatedTask, LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.learn.label_updates import LabelReader
from ml_backend.learn.labels import Chosen, sort_out
from ml_backend.queue.context import Context
from ml_backend.setting_values import Rule
from ml_backend.settings import Settings
from tests.label_studio.conftest import CONFIG
from tests.label_studio.regions import prediction, region

RULE: Rule = "all"


class Counting:
    """A client that counts the exports."""

    def __init__(self, client: LabelStudio) -> None:
        self._client = client
        self.exports = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def labelled_tasks(self, project: int) -> Iterator[AnnotatedTask]:
        self.exports += 1
        return self._client.labelled_tasks(project)


@pytest.fixture
def counting(client: LabelStudio) -> Counting:
    return Counting(client)


@pytest.fixture
def reader(counting: Counting, project: int) -> LabelReader:
    context = SimpleNamespace(label_studio=counting, settings=Settings(annotations=RULE))
    return LabelReader(cast(Context, context), project, parse(CONFIG))


@pytest.fixture
def exported(client: LabelStudio, project: int) -> Callable[[], Chosen]:
    """A function that gives the labels as an export has them."""
    return lambda: sort_out(client.labelled_tasks(project), RULE)


def send(client: LabelStudio, method: str, path: str, **options: Any) -> None:
    """Send a request that the client has no call for, as its user."""
    headers = {"Authorization": client.authorization()}
    requests.request(method, f"{client.url}{path}", headers=headers, timeout=30, **options).raise_for_status()


def test_only_changed_tasks_are_read_and_nothing_is_missed(
    client: LabelStudio,
    project: int,
    make_tasks: Callable[[int], list[int]],
    counting: Counting,
    reader: LabelReader,
    exported: Callable[[], Chosen],
) -> None:
    tasks = make_tasks(6)
    client.import_predictions(project, [prediction(tasks[1], 0.5)])
    (shown,) = client.predictions(tasks[1])
    first = client.submit_annotation(tasks[0], [region()])
    assert reader.read() == exported()

    accepted = client.submit_annotation(
        tasks[1], shown["result"], lead_time=3.5, parent_prediction=shown["id"]
    )
    found = reader.read()
    assert found == exported()
    (label,) = found.labelled[1].counting
    assert (label.id, label.parent_prediction, label.lead_time) == (accepted["id"], shown["id"], 3.5)

    client.submit_annotation(tasks[0], [])  # a second opinion: nothing to draw
    client.submit_annotation(tasks[2], [], skip=True)
    client.submit_annotation(tasks[3], [region()])
    assert reader.read() == exported()
    assert [len(one.counting) for one in reader.read().labelled] == [2, 1, 1]
    assert counting.exports == 1, "what had been read is not read again"

    send(client, "PATCH", f"/api/annotations/{first['id']}/", json={"result": [region(), region()]})
    found = reader.read()
    assert found == exported()
    assert len(found.labelled[0].counting[0].result) == 2


@pytest.mark.parametrize("target", ["annotation", "task"])
def test_what_was_deleted_is_no_longer_learned_from(
    client: LabelStudio,
    make_tasks: Callable[[int], list[int]],
    reader: LabelReader,
    exported: Callable[[], Chosen],
    target: str,
) -> None:
    tasks = make_tasks(3)
    labels = [client.submit_annotation(task, [region()]) for task in tasks[:2]]
    assert len(reader.read().labelled) == 2
    number = labels[0]["id"] if target == "annotation" else tasks[0]
    send(client, "DELETE", f"/api/{target}s/{number}/")
    client.submit_annotation(tasks[2], [region()])
    found = reader.read()
    assert [one.task_id for one in found.labelled] == tasks[1:]
    assert found == exported()
