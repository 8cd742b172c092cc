"""Answers are remembered until the page has saved them, or has not accepted them."""

from __future__ import annotations

from typing import Any

import redis

from ml_backend.interact.page import Page
from ml_backend.interact.remembered import Remembered


def region(name: str, rle: int) -> dict[str, Any]:
    return {"id": name, "type": "brushlabels", "value": {"rle": [rle]}}


def values(page: Page) -> dict[str, list[int]]:
    return {result["id"]: result["value"]["rle"] for result in page.results}


def test_a_second_click_sees_the_answers_to_the_first(redis_url: str) -> None:
    remembered = Remembered(redis.Redis.from_url(redis_url))
    page = Page([region("a", 1), region("b", 1)], "draft 1")
    remembered.note(1, 5, page, ["p1"], [region("a", 2), region("new", 2)])
    second = remembered.on_page(1, 5, page, ["p2"])
    assert values(second) == {"a": [2], "b": [1], "new": [2]}
    remembered.note(1, 5, second, ["p2"], [region("b", 3)])
    assert values(remembered.on_page(1, 5, page, ["p3"])) == {"a": [2], "b": [3], "new": [2]}
    assert values(remembered.on_page(1, 6, page, ["p3"])) == values(page)


def test_a_draft_that_was_saved_since_is_believed(redis_url: str) -> None:
    remembered = Remembered(redis.Redis.from_url(redis_url))
    remembered.note(1, 5, Page([region("a", 1)], "draft 1"), ["p1"], [region("a", 2)])
    saved = Page([region("a", 7)], "draft 2")
    assert remembered.on_page(1, 5, saved, ["p2"]) == saved


def test_an_answer_whose_prompt_is_still_there_was_not_accepted(redis_url: str) -> None:
    remembered = Remembered(redis.Redis.from_url(redis_url))
    page = Page([region("a", 1)], "")
    remembered.note(1, 5, page, ["p1"], [region("a", 2)])
    assert remembered.on_page(1, 5, page, ["p1", "p2"]) == page


def test_without_redis_clicks_are_answered_all_the_same() -> None:
    remembered = Remembered(redis.Redis(port=1))
    page = Page([region("a", 1)], "")
    remembered.note(1, 5, page, ["p1"], [region("a", 2)])
    assert remembered.on_page(1, 5, page, ["p2"]) == page
