"""The last answers about a task: a page saves its draft 5 seconds after a change, and people click faster."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from ml_backend.interact.page import Page

logger = logging.getLogger(__name__)

SECONDS = 10
"""How long an answer is remembered: until the page has saved it, or it was refused."""


class Remembered:
    """Answers that a page may already show although no draft has them; in Redis, for all server processes.

    Label Studio does not say who asks. If two annotators correct the same task within `SECONDS` and neither
    has a draft, the second sees what the first has just changed. With drafts they are told apart.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def on_page(self, project: int, task: int, page: Page, prompts: Sequence[str]) -> Page:
        """The page with the answers that it accepted since its draft was saved.

        Args:
            project, task: where the page is.
            page: as Label Studio tells it.
            prompts: ids of the prompts on the page. If one of them was answered, the answer was not accepted
                as a whole: prompts disappear when it is.
        """
        try:
            found = self._redis.get(_key(project, task))
        except RedisError:
            logger.warning("Redis does not answer; a quick second click may not know of the first.")
            return page
        if found is None:
            return page
        told = json.loads(found)
        if told["draft"] != page.draft or set(told["prompts"]) & set(prompts):
            return page
        changed = {result["id"] for result in told["results"]}
        kept = [result for result in page.results if result.get("id") not in changed]
        return replace(page, results=[*kept, *told["results"]])

    def note(
        self,
        project: int,
        task: int,
        page: Page,
        prompts: Sequence[str],
        answer: Sequence[Mapping[str, Any]],
    ) -> None:
        """Remember an answer, with those before it that `page` contains.

        Args:
            project, task, prompts: as in `on_page`.
            page: what `on_page` returned.
            answer: the regions that were answered.
        """
        known = {result["id"] for result in answer}
        earlier = [one for one in page.results if one.get("remembered") and one.get("id") not in known]
        told = [*earlier, *({**result, "remembered": True} for result in answer)]
        value = json.dumps({"draft": page.draft, "prompts": list(prompts), "results": told})
        try:
            self._redis.set(_key(project, task), value, ex=SECONDS)
        except RedisError:
            logger.warning("Redis does not answer; a quick second click may not know of this one.")


def _key(project: int, task: int) -> str:
    return f"dsal-answered-{project}-{task}"
