"""Notices reach a real HTTP server, say nothing that is secret, and go to no refused address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ml_backend.act.notifying import NoticeError, of_failure, of_version, send
from ml_backend.queue.context import JobError
from ml_backend.settings import Settings
from ml_backend.store.models import Project, TrainingRun, Version

HANDS = Project(id=3, title="Hands", seed=0)


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The address of a server, and what was posted to it; /away answers with a redirect."""
    got: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/away":
                self.send_response(307)
                self.send_header("Location", "/elsewhere")
            else:
                got.append(json.loads(body))
                self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def test_a_published_version_is_told_as_slack_reads_it(
    receiver: tuple[str, list[dict[str, object]]],
) -> None:
    address, got = receiver
    metrics = {"validation_dsc": 0.912, "validation_images": 8}
    send(address, of_version(HANDS, Version(id=1, name="p3-r001-x", labels_used=34, metrics=metrics)))
    (message,) = got
    assert message["text"] == (
        "Project 3 “Hands”: p3-r001-x is published, from 34 labels; validation DSC 0.912 on 8 images."
    )


def test_the_reason_of_a_failure_is_not_told() -> None:
    run = TrainingRun(id=9, message="https://user:secret@pacs/ does not answer")
    assert "secret" not in json.dumps(of_failure(HANDS, run))


@pytest.mark.parametrize("path", ["/broken", "/away"])
def test_an_answer_that_is_no_success_is_tried_again(
    receiver: tuple[str, list[dict[str, object]]], path: str
) -> None:
    with pytest.raises(NoticeError):
        send(receiver[0] + path, {"text": "x"})


def test_metadata_addresses_are_refused() -> None:
    with pytest.raises(JobError, match="refused"):
        send("http://169.254.169.254/latest", {"text": "x"})


def test_an_error_does_not_tell_the_address() -> None:
    with pytest.raises(NoticeError) as caught:
        send("http://127.0.0.1:9/hook/secret", {"text": "x"})
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="http"):
        Settings(notify_url="slack")
