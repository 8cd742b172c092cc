"""A failure on one item, told from a Label Studio that fails altogether."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ml_backend.items import contained
from ml_backend.label_studio import one_item
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.one_item import OneItemError
from tests.ml_backend.label_studio.api_server import PAT, ApiServer, Reply

ONE, WHO = "/api/predictions/7/", "/api/current-user/whoami"
LIST = "/api/predictions/"
FAILS = Reply(500, {"detail": "a bug"})


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr(one_item, "WAITS", (0.0, 0.0))
    monkeypatch.setattr("ml_backend.label_studio.http_client.BACKOFF_SECONDS", 0.0)
    with ApiServer() as studio:
        studio.grant_tokens()
        studio.replies[WHO] = [Reply(body={"id": 1})]
        yield studio


@pytest.fixture
def client(studio: ApiServer) -> LabelStudio:
    return LabelStudio(studio.url, PAT)


def test_predictions_that_cannot_be_read_are_that_task_s_problem(
    studio: ApiServer, client: LabelStudio
) -> None:
    studio.replies[LIST] = [FAILS]
    said: list[str] = []
    with contained("Task 3", said.append):
        client.predictions(3)
    assert "the predictions of task 3" in said[0]
    assert "answers otherwise" in said[0]


def test_a_label_studio_that_fails_altogether_is_no_task_s_problem(
    studio: ApiServer, client: LabelStudio
) -> None:
    studio.replies[LIST] = studio.replies[WHO] = studio.replies[ONE] = [FAILS]
    for call in (lambda: client.predictions(3), lambda: client.redraw_prediction(7, [])):
        with pytest.raises(LabelStudioError) as error:
            call()
        assert error.value.is_outside


def test_a_prediction_that_cannot_be_changed_is_tried_again_and_then_left(
    studio: ApiServer, client: LabelStudio
) -> None:
    studio.replies[ONE] = [FAILS, Reply(body={})]
    client.redraw_prediction(7, [])
    assert studio.count("PATCH", ONE) == 2

    studio.replies[ONE] = [FAILS]
    with pytest.raises(OneItemError) as error:
        client.rescore_prediction(7, 0.5)
    assert not error.value.is_outside
    assert studio.count("PATCH", ONE) == 2 + 3


def test_what_is_gone_or_refused_is_not_tried_again(studio: ApiServer, client: LabelStudio) -> None:
    studio.replies[ONE] = [Reply(404, {"detail": "Not found."})]
    with pytest.raises(LabelStudioError) as error:
        client.delete_prediction(7)
    assert error.value.status == 404
    assert studio.count("DELETE", ONE) == 1
    assert studio.count("GET", WHO) == 0
