"""Several people annotate the same tasks: which annotations count, agreement, and irrelevant changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.regions.masks import results
from ml_backend.learn.outcome import UNCHANGED
from ml_backend.store import agreements, labels_seen
from ml_backend.store.models import LabelSeen, Part, Version
from model.research.phantom import Phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service
from tests.people import sign_up


@pytest.fixture(scope="session")
def people(server: LabelStudioServer) -> tuple[LabelStudio, LabelStudio]:
    """Two more users of the same Label Studio."""
    return sign_up(server, "ivy@example.com"), sign_up(server, "joe@example.com")


def counted(board: Board) -> set[int]:
    """Ids of the annotations that the last training saw."""
    with board.service.database.read() as session:
        return {row.annotation_id for row in session.query(LabelSeen).filter_by(project_id=board.id)}


def agreed(board: Board) -> dict[int, float]:
    """Agreement between annotators by task."""
    with board.service.database.read() as session:
        return {task: one.dsc for task, one in agreements.lowest(session, board.id, 100).items()}


def validating(board: Board) -> set[int]:
    """The tasks on the validation side."""
    with board.service.database.read() as session:
        return {
            task for task, part in labels_seen.split(session, board.id).items() if part is Part.VALIDATION
        }


def set_rule(board: Board, rule: str) -> None:
    """Set the rule in the labeling config."""
    config = board.service.label_studio.project(board.id)["label_config"]
    head, _, rest = config.partition("<BrushLabels ")
    rest = (
        rest.partition('model_annotations="')[2].partition('" ')[2] if "model_annotations" in rest else rest
    )
    changed = f'{head}<BrushLabels model_annotations="{rule}" {rest}'
    board.service.label_studio.patch_project(board.id, label_config=changed)


def examples(version: Version) -> tuple[int, int]:
    """Numbers of training and validation examples."""
    return version.metrics["training_images"], version.metrics["validation_images"]


def save_draft(service: Service, person: LabelStudio, task: int, regions: list[dict[str, Any]]) -> int:
    """Save a draft as the editor does during drawing; returns its id."""
    answer = service.ask_label_studio(
        "POST", f"/api/tasks/{task}/drafts", by=person, json={"result": regions}
    )
    return int(answer["id"])


def submit_draft(
    service: Service, person: LabelStudio, task: int, regions: list[dict[str, Any]], draft: int
) -> int:
    """Submit a draft; returns the annotation id."""
    body = {"result": regions, "draft_id": draft}
    answer = service.ask_label_studio("POST", f"/api/tasks/{task}/annotations/", by=person, json=body)
    return int(answer["id"])


def test_several_annotators(
    service: Service,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    people: tuple[LabelStudio, LabelStudio],
) -> None:
    ada, bob = people
    board = make_board(phantoms[:6])
    service.rest()
    set_rule(board, "all")
    one, two, three, four = sorted(board.truth)[:4]

    def narrow(task: int) -> list[dict[str, Any]]:
        """The upper half of the true mask."""
        mask = (board.truth[task].mask > 0).astype(np.uint8)
        mask[len(mask) // 2 :] = 0
        return results(mask, board.config)

    def submit(person: LabelStudio, task: int, regions: list[dict[str, Any]], **more: Any) -> int:
        return int(person.submit_annotation(task, regions, **more)["id"])

    # Two that differ, two that agree with the first as ground truth, one beside a skip, and a draft.
    first, second = submit(ada, one, narrow(one)), submit(bob, one, board.regions(one))
    truth, other = submit(ada, two, board.regions(two)), submit(bob, two, board.regions(two))
    service.ask_label_studio("PATCH", f"/api/annotations/{truth}/", json={"ground_truth": True})
    alone = submit(ada, three, board.regions(three))
    submit(bob, three, [], skip=True)
    draft = save_draft(service, bob, four, board.regions(four))
    service.wait(lambda: board.changes() == 5, "five annotations, neither skip nor draft")
    service.work()

    # Each annotation is an example, all of a task are on one side, and ground truth excludes the others.
    version = board.await_round(1)
    assert version.labels_used == 3
    assert counted(board) == {first, second, truth, alone}
    apart = sum({one: 2, two: 1, three: 1}[task] for task in validating(board))
    assert examples(version) == (4 - apart, apart)

    # Agreement does not depend on which annotations count.
    bone = board.truth[one].mask > 0
    upper = np.count_nonzero(bone[: len(bone) // 2])
    half = 2 * upper / (upper + np.count_nonzero(bone))
    assert agreed(board) == pytest.approx({one: half, two: 1.0})
    shown = service.command("status").stdout
    assert f"mean DSC {(half + 1) / 2:.3f} over 2 tasks" in shown
    assert f"task {one} {half:.3f} (2), task {two} 1.000 (2)" in shown
    (gauge,) = [
        line
        for line in service.call("GET", "/metrics").text.splitlines()
        if line.startswith(f'dsal_annotator_agreement{{project="{board.id}"}}')
    ]
    assert float(gauge.split()[-1]) == pytest.approx((half + 1) / 2)

    # With the majority rule each task is one example. Three changes: a draft is submitted, a ground truth is
    # unset, and an annotation is deleted. Converting an annotation to a draft sends no event.
    set_rule(board, "majority")
    service.ask_label_studio("POST", f"/api/annotations/{alone}/convert-to-draft", json={})
    late = submit_draft(service, bob, four, board.regions(four), draft)
    service.ask_label_studio("PATCH", f"/api/annotations/{truth}/", json={"ground_truth": False})
    service.label_studio.delete_annotation(second)
    version = board.await_round(2)
    assert counted(board) == {first, truth, other, late}
    assert sum(examples(version)) == version.labels_used == 3
    assert agreed(board) == {two: 1.0}

    # A text about a region does not trigger a new version.
    remark = {
        "type": "textarea",
        "from_name": "note",
        "to_name": "image",
        "id": "x",
        "value": {"text": ["blurred"]},
    }
    service.label_studio.patch_annotation(late, [*board.regions(four), remark])
    service.wait(lambda: len(board.runs()) == 3 and board.runs()[0].finished_at, "the end of the third run")
    assert (board.runs()[0].state, board.runs()[0].message) == ("finished", UNCHANGED)
    assert board.changes() == 0
    assert len(board.versions()) == 3
    assert board.shown_version() == version.name
