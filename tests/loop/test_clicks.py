"""Prompts through a real Label Studio: a click mends the mask that is on the page."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.label_studio.config.smart_tags import BOXES, POINTS
from ml_backend.label_studio.regions.emptied import EMPTIED
from ml_backend.label_studio.regions.masks import label_map, results
from ml_backend.store.models import LabelSeen, Version
from model.consistency import dice
from model.research.phantom import draw_phantom
from tests.loop.board import Board
from tests.loop.service import Service

HAND = draw_phantom(9, seed=4, size=(320, 400))
BONES = HAND.bones > 0
SIZE = BONES.shape


@pytest.fixture
def board(service: Service, boards: list[Board]) -> Board:
    """An interactive project without any version: the shipped weights answer."""
    made = Board.connected(service, [HAND], "Clicks", interactive=True)
    boards.append(made)
    # The first answer takes longer, as it loads torch and the weights.
    service.wait(lambda: ask(made, point(*middle(19)))["result"], "an answer in time")
    return made


def middle(bone: int) -> tuple[float, float]:
    """A place (x, y) on a bone, in percent of the image."""
    rows, columns = np.nonzero(HAND.bones == bone)
    return float(np.median(columns) + 0.5) / SIZE[1] * 100, float(np.median(rows) + 0.5) / SIZE[0] * 100


def prompt(tag: str, kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": secrets.token_hex(5),
        "from_name": tag,
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        "value": {**value, kind: ["Bone"]},
        **more,
    }


def point(x: float, y: float, *, positive: bool = True) -> dict[str, Any]:
    """A click as the editor sends it, in percent."""
    return prompt(POINTS, "keypointlabels", {"x": x, "y": y, "width": 0.25}, is_positive=positive)


def box(bone: int) -> dict[str, Any]:
    """A box around a bone, as the editor sends it."""
    rows, columns = np.nonzero(HAND.bones == bone)
    top, left = rows.min() / SIZE[0] * 100, columns.min() / SIZE[1] * 100
    height, width = (np.ptp(rows) + 1) / SIZE[0] * 100, (np.ptp(columns) + 1) / SIZE[1] * 100
    value = {"x": left, "y": top, "width": width, "height": height, "rotation": 0}
    return prompt(BOXES, "rectanglelabels", value)


def ask(board: Board, *prompts: dict[str, Any]) -> dict[str, Any]:
    """Ask as the editor does, through Label Studio; returns what it gives the editor."""
    (task,) = board.truth
    body = {"task": task, "context": {"result": list(prompts)}}
    path = f"/api/ml/{board.backend}/interactive-annotating"
    answer = board.service.ask_label_studio("POST", path, json=body)
    assert not answer.get("errors"), answer
    found: dict[str, Any] = answer["data"]
    return found


def draft(board: Board, regions: list[dict[str, Any]]) -> None:
    """Save what is on the page, as the editor does 5 seconds after a change."""
    (task,) = board.truth
    path = f"/api/tasks/{task}/drafts"
    board.service.ask_label_studio("POST", path, json={"result": regions, "lead_time": 1})


def mask(board: Board, *states: list[dict[str, Any]]) -> NDArray[np.bool_]:
    """The mask (H, W) of a page on which these answers were accepted one after the other."""
    page: dict[str, dict[str, Any]] = {}
    for state in states:
        page |= {region["id"]: region for region in state}
    reading = label_map(list(page.values()), board.config, (SIZE[0], SIZE[1]))
    assert not reading.unreadable
    assert reading.label_map is not None
    found: NDArray[np.bool_] = reading.label_map == 1
    return found


def regions_of(board: Board, drawn: NDArray[np.bool_]) -> list[dict[str, Any]]:
    return results(drawn.astype(np.uint8), board.config)


def test_a_click_on_an_empty_page_draws_the_bone_under_it(board: Board) -> None:
    answer = ask(board, point(*middle(8)))
    assert dice(mask(board, answer["result"]), HAND.bones == 8) > 0.8
    (region,) = answer["result"]
    assert region["from_name"] == "mask"


def test_a_box_on_an_empty_page_draws_the_bone_in_it(board: Board) -> None:
    assert dice(mask(board, ask(board, box(3))["result"]), HAND.bones == 3) > 0.8


def test_a_draft_is_mended_by_a_click_and_a_speck_removed_by_another(board: Board) -> None:
    speck = np.zeros_like(BONES)
    speck[5:20, 5:30] = True
    page = regions_of(board, (BONES & (HAND.bones != 8)) | speck)
    draft(board, page)
    grown = ask(board, point(*middle(8)))["result"]
    assert dice(mask(board, page, grown), BONES | speck) > 0.98
    # The click is quicker than the page saves: the first answer is remembered.
    emptied = ask(board, point(17.0 / SIZE[1] * 100, 12.0 / SIZE[0] * 100, positive=False))["result"]
    assert [region["meta"]["text"] for region in emptied] == [[EMPTIED]]
    assert dice(mask(board, page, grown, emptied), BONES) > 0.98


def test_a_second_click_extends_what_the_first_drew(board: Board) -> None:
    first = ask(board, point(*middle(3)))["result"]
    second = ask(board, point(*middle(8)))["result"]
    both = mask(board, first, second)
    assert dice(both, np.isin(HAND.bones, (3, 8))) > 0.8


def test_what_cannot_be_answered_comes_back_as_the_prompt_with_a_sentence(board: Board) -> None:
    beside = point(150, 20)
    (told,) = ask(board, beside)["result"]
    assert told["id"] == beside["id"]
    assert told["meta"]["text"] == ["The point is outside the image."]


def test_an_image_that_cannot_be_read_gives_a_sentence(board: Board) -> None:
    (task,) = board.truth
    board.service.ask_label_studio(
        "PATCH", f"/api/tasks/{task}/", json={"data": {"image": "/data/upload/0/missing.png"}}
    )
    asked = point(*middle(3))
    (told,) = ask(board, asked)["result"]
    assert told["id"] == asked["id"]
    assert "missing.png" in told["meta"]["text"][0] or "Task" in told["meta"]["text"][0]


def test_an_ordinary_call_is_answered_as_before(board: Board) -> None:
    (task,) = board.truth
    (data,) = board.service.label_studio.task_data(board.id, [task]).values()
    assert board.predict([{"id": task, "data": data, "project": board.id}]) == [[]]


def test_the_next_training_learns_the_mended_mask_and_not_the_prompts(board: Board) -> None:
    service, (mended,) = board.service, board.truth
    page, click = regions_of(board, BONES & (HAND.bones != 8)), point(*middle(8))
    draft(board, page)
    grown = ask(board, click)["result"]
    expected = mask(board, page, grown)
    assert dice(expected, BONES) > 0.98
    kept = {region["id"]: region for region in [*page, *grown]}
    submitted = service.label_studio.submit_annotation(mended, [*kept.values(), click])
    for task in board.add([draw_phantom(9, seed=seed, size=(320, 400)) for seed in (5, 6)]):
        board.submit(task)
    service.work(PROMPT_EPISODES="2")
    version = service.wait(trained_version(board), "a trained version")
    assert version.metrics["problems"] == []
    with service.database.read() as session:
        assert session.get_one(LabelSeen, (board.id, int(submitted["id"]))).task_id == mended
    (stored,) = service.ask_label_studio("GET", f"/api/tasks/{mended}/annotations/")
    reading = label_map(stored["result"], board.config, (SIZE[0], SIZE[1]))
    assert not reading.unreadable
    assert reading.label_map is not None
    assert np.array_equal(reading.label_map == 1, expected)


def trained_version(board: Board) -> Callable[[], Version | None]:
    """A function that returns the published version once it has learned."""

    def found() -> Version | None:
        version = board.published()
        return version if version is not None and version.weights_hash and version.labels_used else None

    return found
