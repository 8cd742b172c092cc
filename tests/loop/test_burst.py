"""200 annotation events within a second while a training uses both cores, as the issue requires."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.regions.masks import results
from ml_backend.store.models import RunState
from model.research.phantom import Phantom, draw_phantom
from tests.label_studio.tiny_backend import TinyBackend
from tests.loop.board import Board, MakeBoard
from tests.loop.clients import Watch, burst
from tests.loop.service import Service
from tests.measured import MEASURED

EVENTS = 200
TIMEOUT = 1.0
"""Seconds that Label Studio waits for a webhook's answer, and for /health; it drops a later one."""
ATTEMPTS = 4
HEAVY = {
    "NETWORK_WIDTH": "16",
    "IMAGE_SIZE": "384",
    "TRAIN_STEPS": "",
    "TRAIN_SECONDS": "20",
    "OMP_NUM_THREADS": "2",
}


@pytest.fixture(scope="module")
def event(service: Service) -> dict[str, Any]:
    """A real ANNOTATION_CREATED event with the mask of an 800 × 1000 image, as Label Studio posts it."""
    client = service.label_studio
    project = client.create_project("Event", default_config(["Bone"]))["id"]
    mask = (draw_phantom(12, seed=1, size=(800, 1000)).mask > 0).astype(np.uint8)
    (task,) = client.create_tasks(project, [{"image": "http://localhost:1/x.png"}])
    with TinyBackend() as listener:
        client.create_webhook(project, f"{listener.url}/webhook", send_payload=True)
        client.submit_annotation(task, results(mask, Board.read_config(service, project)))
        service.wait(listener.events, "the event")
    client.delete_project(project)
    body: dict[str, Any] = listener.events()[0].body
    assert body["action"] == "ANNOTATION_CREATED"
    return body


def test_a_burst_of_annotations_leads_to_one_training_and_fast_responses(
    service: Service,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    event: dict[str, Any],
    record_property: Callable[[str, object], None],
) -> None:
    board = make_board(phantoms[:8])
    service.work(**HEAVY)
    board.annotate(3)
    service.wait(lambda: [run for run in board.runs() if run.message.startswith("step")], "the training")
    # The events of the burst are copies of one; only this annotation is new to the next training.
    board.annotate(1)

    event = event | {"project": service.label_studio.project(board.id)}
    size = 0
    for attempt in range(ATTEMPTS):
        bodies = [_numbered(event, 10**6 * (attempt + 1) + number) for number in range(EVENTS)]
        size = len(bodies[0])
        setup = json.dumps({"project": f"{board.id}.1", "schema": event["project"]["label_config"]}).encode()
        with (
            Watch(service.url, "GET", "/health", None, 0.01) as healths,
            Watch(service.url, "POST", "/setup", setup, 0.1) as setups,
        ):
            answers = burst(service.url, "/webhook", bodies, seconds=1.0, threads=16)
        for route, each in (("webhook", answers), ("health", healths), ("setup", setups)):
            record_property(MEASURED, f"/{route}, {size // 1000} kB an event: {each}")
        assert board.runs()[0].state is RunState.RUNNING, "the training ended before all events arrived"
        for each in (answers, healths, setups):
            assert set(each.statuses) == {200}
        if max(answers.seconds + healths.seconds) < TIMEOUT:
            break
    assert max(answers.seconds) < TIMEOUT
    assert max(healths.seconds) < TIMEOUT
    assert max(setups.seconds) < 3

    # Once the second training has read the labels, its length does not matter.
    service.wait(lambda: len(board.runs()) == 2, "the training for all of them")
    service.wait(lambda: board.runs()[0].message.startswith("step"), "its first step")
    service.work(**HEAVY | {"TRAIN_SECONDS": "1"})
    service.wait(lambda: not board.changes() and board.idle(), "the end of all trainings")
    assert len(board.runs()) == 2, "one that was running when the events arrived, and one for all of them"
    board.await_round(2)
    assert len(board.runs()) == 2


def _numbered(event: dict[str, Any], annotation: int) -> bytes:
    return json.dumps(event | {"annotation": event["annotation"] | {"id": annotation}}).encode()
