"""Bodies of any size: what is taken of them, what is answered, and that no label is lost."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import settings as quickly
from hypothesis import strategies as st

from ml_backend.queue.kinds import TRAIN
from ml_backend.store.models import Event
from ml_backend.web.app import Services, create_app
from ml_backend.web.bodies import Body, objects_of
from ml_backend.web.payloads import EVENT
from ml_backend.web.selection import ANY, Everything, FullError, Scalar, Selection, SelectionError, Wanted
from tests.ml_backend.conftest import AUTHORIZATION

MB = 2**20
PROJECT = {"id": 3, "title": "Hands", "label_config": "<View/>"}


def events_of(services: Services) -> list[tuple[str, list[int], list[str]]]:
    with services.database.read() as session:
        return [(one.action, one.task_ids, one.changes) for one in session.query(Event)]


def jobs(client: FlaskClient, services: Services) -> set[str]:
    client.application.extensions["inbox"].settle()
    return {name for queue in services.queues.all() for name in queue.get_job_ids()}


def limited(services: Services, **limits: int) -> FlaskClient:
    settings = services.settings.model_copy(update=limits)
    client = create_app(Services(settings, services.database, services.queues)).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZATION
    return client


def test_an_annotation_of_several_megabytes_is_an_event_like_any_other(
    client: FlaskClient, services: Services
) -> None:
    region = {"type": "brushlabels", "value": {"format": "rle", "rle": [255, 0, 17] * (MB // 4)}}
    # Label Studio writes the annotation before its project.
    body = {
        "action": "ANNOTATION_CREATED",
        "annotation": {"id": 7, "result": [region], "was_cancelled": False},
    }
    body |= {"project": PROJECT, "task": {"id": 5, "data": {"accession": 2**70}}}
    answer = client.post("/webhook", json=body)
    assert (answer.status_code, answer.json) == (200, {"status": "accepted"})
    assert events_of(services) == [("ANNOTATION_CREATED", [5], ["annotation:7"])]
    jobs(client, services)
    assert services.queues.depths()[TRAIN] == 1


def test_tasks_beyond_the_limit_are_found_by_a_comparison(client: FlaskClient, services: Services) -> None:
    body = b'{"action":"ANNOTATIONS_DELETED","annotations":[' + b'{"id":1},' * 150_000
    answer = client.post(
        "/webhook", data=body + b'{"id":2}],"project":' + json.dumps(PROJECT).encode() + b"}"
    )
    assert answer.status_code == 413
    assert "MAX_WEBHOOK_BYTES" in answer.text
    assert "project 3 is compared with Label Studio" in answer.text
    ((action, _, changes),) = events_of(services)
    assert (action, set(changes)) == ("ANNOTATIONS_DELETED", {"annotation:1"})
    assert "reconcile" in jobs(client, services)
    assert services.queues.depths()[TRAIN] == 1


@pytest.mark.parametrize("body", [b'{"action":"' + b"x" * 5000, b'{"tasks":[' + b'{"id":1},' * 1000])
def test_an_event_that_does_not_say_its_project_in_time_has_all_compared(
    services: Services, body: bytes
) -> None:
    client = limited(services, max_body_bytes=4000, max_webhook_bytes=1000)
    answer = client.post("/webhook", data=body)
    assert answer.status_code == 413
    assert "all projects are compared with Label Studio" in answer.text
    assert jobs(client, services) == {"reconcile"}


def test_each_route_has_its_limit_and_says_it(services: Services) -> None:
    client = limited(services, max_body_bytes=1000)
    call = client.post("/predict", data=b'{"tasks": [' + b"{}," * 1000)
    assert (call.status_code, call.json) == (
        413,
        {"error": "The call is larger than 1000 bytes: send fewer tasks at once, or raise MAX_BODY_BYTES."},
    )
    setup = client.post("/setup", data=b" " * (MB + 1))
    assert setup.status_code == 413
    assert f"{MB} bytes" in setup.text


def test_a_large_call_is_answered_task_by_task(client: FlaskClient) -> None:
    rle = {"result": [{"value": {"rle": [0, 255] * 100_000}}]}
    tasks: list[Any] = [{"id": number, "data": {"image": "x"}, "predictions": [rle]} for number in range(3)]
    assert client.post("/predict", json={"tasks": [*tasks, {}], "project": "3.1"}).json == {
        "results": [[]] * 4
    }


def test_a_call_of_too_many_tasks_is_refused_with_a_sentence(client: FlaskClient) -> None:
    answer = client.post("/predict", data=b'{"project":3,"tasks":[' + b"{}," * 200_000 + b"{}]}")
    assert answer.status_code == 413
    assert "more than 100000 tasks" in answer.text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def chosen(value: Any, wanted: Wanted | None) -> Any:
    """What a selection must keep, written without a stream."""
    if isinstance(wanted, Everything):
        return value
    if isinstance(wanted, Scalar):
        return type(value)() if isinstance(value, dict | list) else value
    if isinstance(value, list):
        return [chosen(one, wanted) for one in value]
    if isinstance(value, dict):
        assert wanted is not None
        found = {key: wanted.get(key, wanted.get(ANY)) for key in value}
        return {key: chosen(one, found[key]) for key, one in value.items() if found[key] is not None}
    return value


@quickly(max_examples=300, deadline=None)
@given(VALUES, st.integers(1, 40))
def test_a_stream_keeps_what_is_chosen_wherever_it_is_cut(value: Any, size: int) -> None:
    wanted: Wanted = {"a": Scalar(), "b": {"c": Everything(), ANY: Scalar()}, "": {ANY: {ANY: Scalar()}}}
    for text in (value, {"a": value, "b": [{"c": value, "d": value}, value], "": {"x": value}}):
        data = json.dumps(text).encode()
        selection = Selection(wanted, MB, MB)
        assert selection.read(data[at : at + size] for at in range(0, len(data), size)) == chosen(
            text, wanted
        )
        assert objects_of(data) >= len(data)


@quickly(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE-+ntf\\u ', max_size=60).map(str.encode)
)
def test_garbage_is_refused_or_read_but_never_a_bug(data: bytes) -> None:
    with suppress(SelectionError, FullError):
        Selection(EVENT, MB, MB).read([data])


def test_deep_nesting_ends_soon() -> None:
    with pytest.raises(SelectionError, match="nested"):
        Selection(EVENT, MB, MB).read([b'{"x":' + b"[" * 10_000])


def test_a_long_text_is_read_in_pieces_that_are_large_after_the_beginning() -> None:
    """The parser begins a text anew with each piece, so an image of 80 MB took 36 s."""
    body = Body(io.BytesIO(b"x" * (20 * MB)), 20 * MB, complete=True)
    sizes = [len(piece) for piece in body.chunks()]
    assert sum(sizes) == 20 * MB
    assert max(sizes[:16]) <= MB // 16, "of the beginning, small parts can be taken alone"
    assert len(sizes) < 60
